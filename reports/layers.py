"""Density of each layer under each criterion."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pabench.report.frame import pruned, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.words import percent, plain, span

from .figure import INK, WIDTH, Drawn, Grid, Panel, Tabled, short

INTRO = (
    "The share of weights that each criterion keeps in each layer, from the first layer to the last.",
    "A cross marks a layer that is empty in at least one seed: nothing passes through it.",
)


NUMBERS = 1500
"""Up to this many densities stand on the page as text; each cell has its own in any case."""


class Layers(Section):
    """A heat map of criteria and layers at each sparsity, from the receipts."""

    name = "layers"
    title = "Layer densities"
    order = 40
    seen = "first"

    def render(self, study: Study) -> str | None:
        figures = self.figures(study)
        return self.fill("figures.html.j2", intro=INTRO, figures=figures) if figures else None

    def figures(self, study: Study) -> list[Drawn]:
        criteria = list(pruned(study.plain)["criterion"].unique())
        found = [(title, layer_densities(study, rows)) for title, rows in strata(study.plain)]
        return [draw(densities, criteria, title) for title, densities in found if len(densities)]


def layer_densities(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and layer: criterion, sparsity, seed, depth (place in the network), layer, density."""
    columns = ("criterion", "sparsity", "seed", "depth", "layer", "density")
    found: dict[str, list[Any]] = {column: [] for column in columns}
    for key, *cell in zip(*(rows[column] for column in ("key", *columns[:3])), strict=True):
        receipt = study.records.get(key, {}).get("receipt")
        layers = receipt["layers"] if receipt else []
        for column, value in zip(columns, cell, strict=False):
            found[column] += [value] * len(layers)
        found["depth"] += range(len(layers))
        found["layer"] += [layer["name"] for layer in layers]
        found["density"] += [layer["kept"] / layer["total"] for layer in layers]
    shown = {name: plain(name) for name in set(found["layer"])}
    return pd.DataFrame({**found, "layer": [shown[name] for name in found["layer"]]})


def draw(densities: pd.DataFrame, criteria: list[str], title: str) -> Drawn:
    """One panel per sparsity: rows are criteria, columns are layers."""
    sparsities = sorted(densities["sparsity"].unique())
    layers = densities.drop_duplicates("depth").sort_values("depth")["layer"].tolist()
    present = [name for name in criteria if (densities["criterion"] == name).any()]
    lowest = densities.loc[densities["density"] > 0, "density"].min()
    norm = LogNorm(10 ** math.floor(math.log10(min(lowest, 0.1))), 1)

    def painted(sparsity: float) -> Callable[[Figure], None]:
        def paint(figure: Figure) -> None:
            axes = figure.subplots()
            image = _panel(axes, densities[densities["sparsity"] == sparsity], present, len(layers), norm)
            axes.set_title(f"sparsity {percent(sparsity)}", loc="left")
            every = max(1, math.ceil(len(layers) / 60))
            names = [short(x.removesuffix(".weight"), 24) for x in layers[::every]]
            axes.set_xticks(range(0, len(layers), every), names, rotation=90)
            wording = FuncFormatter(lambda value, _: percent(value))
            bar = figure.colorbar(image, ax=axes, format=wording, aspect=12, pad=0.02)
            bar.minorticks_off()
            bar.outline.set_visible(False)

        return paint

    width = min(12.0, max(WIDTH, 1.9 + 0.15 * len(layers)))
    height = 1.7 + 0.2 * len(present)
    panels = [
        Panel(
            painted(s),
            width,
            height,
            f"layers-{s:g}-{title}",
            f"Layer densities of {len(present)} criteria at {percent(s)}, {title}",
            Grid(present, [x.removesuffix(".weight") for x in layers], _texts(densities, s, present, len(layers))),
        )
        for s in sparsities
    ]
    seeds = densities.groupby(["criterion", "sparsity"])["seed"].nunique()
    notes = (f"Mean over seeds (n = {span(seeds)}), on a logarithmic scale.",)
    return Drawn(title, tuple(panels), notes, _numbers(densities, present, layers), of=title)


def _texts(densities: pd.DataFrame, sparsity: float, criteria: list[str], depth: int) -> list[list[str]]:
    """The density of each layer under each criterion, "" where there is none."""
    some = densities[densities["sparsity"] == sparsity]
    mean = some.pivot_table(index="criterion", columns="depth", values="density", aggfunc="mean")
    values = mean.reindex(index=criteria, columns=range(depth)).to_numpy(float)
    return [["" if math.isnan(value) else f"{100 * value:.3g} %" for value in row] for row in values]


def _numbers(densities: pd.DataFrame, criteria: list[str], layers: list[str]) -> Tabled | None:
    """A line for each criterion and sparsity; None for more numbers than a page should carry twice."""
    lines = []
    for sparsity in sorted(densities["sparsity"].unique()):
        some = densities[densities["sparsity"] == sparsity]
        table = some.pivot_table(index="criterion", columns="depth", values="density", aggfunc="mean")
        for name in (name for name in criteria if name in table.index):
            values = tuple(f"{100 * value:.3g} %" for value in table.loc[name])
            lines.append((f"{name}, {percent(sparsity)}", values))
    if len(lines) * len(layers) > NUMBERS:
        return None
    return Tabled(("Criterion, sparsity", *(x.removesuffix(".weight") for x in layers)), tuple(lines))


def _panel(axes, some: pd.DataFrame, criteria: list[str], depth: int, norm: LogNorm):
    shape = {"index": criteria, "columns": range(depth)}
    mean = some.pivot_table(index="criterion", columns="depth", values="density", aggfunc="mean").reindex(**shape)
    least = some.pivot_table(index="criterion", columns="depth", values="density", aggfunc="min").reindex(**shape)
    values = np.clip(mean.to_numpy(float), norm.vmin, 1)
    image = axes.imshow(values, norm=norm, cmap="viridis", aspect="auto", interpolation="none")
    rows, columns = np.nonzero(least.to_numpy(float) == 0)
    axes.plot(columns, rows, linestyle="none", marker="x", color="#ff4d6d", markersize=5, markeredgewidth=1.6)
    axes.set_yticks(range(len(criteria)), [short(name, 26) for name in criteria])
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=INK, labelsize=7.5)
    axes.spines[:].set_visible(False)
    return image
