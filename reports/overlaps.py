"""How much the masks of two criteria share, as matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from pabench.report.frame import pruned
from pabench.report.study import Study
from pabench.suite.specs import MetricSpec
from pabench.words import percent, plain, span

from .figure import WIDTH, Drawn, Grid, Panel, Tabled, short

WRITTEN = 12
"""Up to this many criteria the numbers are written into the matrix."""


def overlaps(study: Study) -> pd.DataFrame:
    """One row per pair of criteria, sparsity, model and seed: jaccard, chance and chance_in_layers, where known."""
    spec = next((metric for metric in study.metrics if metric.name == "overlap"), None)
    place = ["dataset", "model", "sparsity", "seed"]
    found: list[tuple[Any, ...]] = []
    if spec is not None:
        masks = {key: cell.pruning_key for key, cell in study.cells.items()}
        rows = pruned(study.plain)
        for where, some in rows.assign(mask=rows["key"].map(masks)).groupby(place, sort=False):
            found += [(*where, *pair) for pair in _pairs(study, spec, some)]
    return pd.DataFrame(found, columns=[*place, "first", "second", *NUMBERS])


def _pairs(study: Study, spec: MetricSpec, rows: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The criteria and numbers of each two masks of one block and sparsity that were compared."""
    for one, other in combinations(rows.itertuples(), 2):
        numbers = study.measured.numbers(sorted((one.mask, other.mask)), spec)
        if numbers.get("jaccard") is not None:
            yield one.criterion, other.criterion, *(numbers[name] for name in NUMBERS)


NUMBERS = ("jaccard", "chance", "chance_in_layers")


def draw(pairs: pd.DataFrame, criteria: list[str], title: str) -> Drawn:
    """A matrix for each sparsity: below the diagonal what two masks share, above it what their layer counts explain."""
    sparsities = sorted(pairs["sparsity"].unique())
    present = [c for c in criteria if ((pairs["first"] == c) | (pairs["second"] == c)).any()]

    def painted(sparsity: float) -> Callable[[Figure], None]:
        def paint(figure: Figure) -> None:
            some = pairs[pairs["sparsity"] == sparsity]
            axes = figure.subplots()
            image = _panel(axes, some, present)
            axes.set_title(f"sparsity {percent(sparsity)} · by chance {some['chance'].mean():.3f}", loc="left")
            axes.set_xticks(range(len(present)), [short(plain(c), 18) for c in present], rotation=90)
            axes.set_yticks(range(len(present)), [short(plain(c), 18) for c in present])
            bar = figure.colorbar(image, ax=axes, aspect=20, pad=0.02)
            bar.outline.set_visible(False)

        return paint

    side = 0.34 * len(present)
    panels = [
        Panel(
            painted(s),
            max(WIDTH, side + 2.2),
            side + 1.8,
            f"overlap-{s:g}-{title}",
            f"Mask overlap of {len(present)} criteria at {percent(s)}, {title}",
            Grid(present, present, _texts(matrix(pairs[pairs["sparsity"] == s], present))),
        )
        for s in sparsities
    ]
    seeds = pairs.groupby(["first", "second", "sparsity"])["seed"].nunique()
    notes = (f"Mean over seeds (n = {span(seeds)}).",)
    return Drawn(f"Mask overlap, {title}", tuple(panels), notes, _numbers(pairs), of=title)


def _texts(values: np.ndarray) -> list[list[str]]:
    return [["" if math.isnan(value) else f"{value:.3f}" for value in row] for row in values]


def _numbers(pairs: pd.DataFrame) -> Tabled:
    """A line for each pair: Jaccard index and what its layer counts explain, at each sparsity."""
    sparsities = sorted(pairs["sparsity"].unique())
    means = pairs.groupby(["first", "second", "sparsity"], sort=False)[["jaccard", "chance_in_layers"]].mean()
    lines = []
    for first, second in dict.fromkeys((a, b) for a, b, _ in means.index):
        known = [means.loc[(first, second, s)] if (first, second, s) in means.index else None for s in sparsities]
        values = ("–" if row is None else f"{row.iloc[0]:.3f} / {row.iloc[1]:.3f}" for row in known)
        lines.append((f"{plain(first)}, {plain(second)}", tuple(values)))
    heads = ("Masks of, overlap / explained by layers", *(percent(s) for s in sparsities))
    return Tabled(heads, tuple(lines))


def matrix(pairs: pd.DataFrame, criteria: list[str]) -> np.ndarray:
    """Means over seeds: [row, column] is the Jaccard index below the diagonal and `chance_in_layers` above it."""
    place = {c: i for i, c in enumerate(criteria)}
    means = pairs.groupby(["first", "second"])[["jaccard", "chance_in_layers"]].mean()
    found = np.full((len(criteria), len(criteria)), np.nan)
    for (first, second), row in means.iterrows():
        low, high = sorted((place[first], place[second]))
        found[high, low], found[low, high] = row["jaccard"], row["chance_in_layers"]
    return found


def _panel(axes, pairs: pd.DataFrame, criteria: list[str]):
    values = matrix(pairs, criteria)
    norm = PowerNorm(0.5, 0, 1)  # overlaps of sparse masks are small
    image = axes.imshow(values, norm=norm, cmap="viridis", aspect="auto", interpolation="none")
    if len(criteria) <= WRITTEN:
        for (i, j), value in np.ndenumerate(values):
            if math.isfinite(value):
                ink = "#101418" if value > 0.45 else "#f4f6f8"  # viridis is light from there on
                axes.text(j, i, f"{value:.2f}".lstrip("0"), ha="center", va="center", color=ink, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image
