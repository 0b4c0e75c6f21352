"""Density of each layer under each criterion."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pabench.report.frame import criteria_of, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.report.told import NOTHING, Layers as Named
from pabench.words import percent, plain, span

from .figure import INK, WIDTH, Drawn, Grid, Panel, Plate, Tabled, short

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
        criteria = criteria_of(study.plain)
        found = [(title, layer_densities(study, rows)) for title, rows in strata(study.plain)]
        return [draw(densities, criteria, title) for title, densities in found if len(densities)]


def layer_densities(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """One row per pruned cell (sparsity, criterion, seed), and its layers as columns in the order of the network.

    Where cells have networks of different layers, a column is called as in the first that has so many, and those that
    have fewer are NaN there.
    """
    told = [study.told.get(key, NOTHING) for key in rows["key"]]
    alike: dict[Named, list[int]] = defaultdict(list)
    for place, one in enumerate(told):
        if one.layers:
            alike[one.layers].append(place)
    found = np.full((len(told), max(map(len, alike), default=0)), np.nan)
    names: list[str] = []
    for layers, places in alike.items():
        kept = np.array([told[place].kept for place in places], float)
        found[places, : len(layers)] = kept / np.array([total for _, total in layers], float)
        names += [plain(name) for name, _ in layers[len(names) :]]
    index = pd.MultiIndex.from_frame(rows[["sparsity", "criterion", "seed"]])
    return pd.DataFrame(found, index, names)[[bool(one.layers) for one in told]]


def draw(densities: pd.DataFrame, criteria: list[str], title: str) -> Drawn:
    """One panel per sparsity: rows are criteria, columns are layers."""
    layers = [name.removesuffix(".weight") for name in densities.columns]
    seeds = densities.groupby(level=["sparsity", "criterion"])
    means, least = seeds.mean(), seeds.min()
    present = [name for name in criteria if name in means.index.unique("criterion")]
    lowest = np.fmin.reduce(densities.where(densities > 0), axis=None, initial=0.1)  # none where nothing is left
    norm = LogNorm(10 ** math.floor(math.log10(lowest)), 1)
    width = min(12.0, max(WIDTH, 1.9 + 0.15 * len(layers)))
    height = 1.7 + 0.2 * len(present)
    plate, panels = Plate(), []
    for s in means.index.unique("sparsity"):
        mean, worst = (found.loc[s].reindex(present).to_numpy() for found in (means, least))
        panels.append(
            Panel(
                partial(_paint, mean, worst, present, layers, norm, f"sparsity {percent(s)}"),
                width,
                height,
                f"layers-{s:g}-{title}",
                f"Layer densities of {len(present)} criteria at {percent(s)}, {title}",
                Grid(present, layers, _texts(mean)),
                plate,
            )
        )
    n = densities.index.to_frame(index=False).groupby(["criterion", "sparsity"])["seed"].nunique()
    notes = (f"Mean over seeds (n = {span(n)}), on a logarithmic scale.",)
    return Drawn(title, tuple(panels), notes, _numbers(means, present, layers), of=title)


def _texts(mean: np.ndarray) -> list[list[str]]:
    """The density of each layer under each criterion, "" where there is none."""
    return [["" if math.isnan(value) else f"{100 * value:.3g} %" for value in row] for row in mean]


def _numbers(means: pd.DataFrame, criteria: list[str], layers: list[str]) -> Tabled | None:
    """A line for each criterion and sparsity; None for more numbers than a page should carry twice."""
    if means.size > NUMBERS:
        return None
    lines = [
        (f"{name}, {percent(sparsity)}", tuple(_texts(found.loc[[name]].to_numpy())[0]))
        for sparsity in means.index.unique("sparsity")
        for name in criteria
        if name in (found := means.loc[sparsity]).index
    ]
    return Tabled(("Criterion, sparsity", *layers), tuple(lines))


def _paint(
    mean: np.ndarray,
    least: np.ndarray,
    criteria: list[str],
    layers: list[str],
    norm: LogNorm,
    heading: str,
    figure: Figure,
) -> None:
    """The heat map; on a figure that has one already, of the same criteria and layers, what differs in it alone."""
    if not figure.axes:
        _frame(figure, criteria, layers, norm)
    axes = figure.axes[0]
    axes.images[0].set_data(np.clip(mean, norm.vmin, 1))
    rows, columns = np.nonzero(least == 0)
    axes.lines[0].set_data(columns, rows)
    axes.set_title(heading, loc="left", animated=True)


def _frame(figure: Figure, criteria: list[str], layers: list[str], norm: LogNorm) -> None:
    """Axes, names and scale, with an image and crosses that have no data yet."""
    axes = figure.subplots()
    nothing = np.full((len(criteria), len(layers)), np.nan)
    image = axes.imshow(nothing, norm=norm, cmap="viridis", aspect="auto", interpolation="none", animated=True)
    cross = {"linestyle": "none", "marker": "x", "color": "#ff4d6d", "markersize": 5, "markeredgewidth": 1.6}
    axes.plot([], [], animated=True, **cross)
    axes.set_yticks(range(len(criteria)), [short(name, 26) for name in criteria])
    axes.tick_params(length=0)
    axes.tick_params(axis="x", labelcolor=INK, labelsize=7.5)
    axes.spines[:].set_visible(False)
    every = max(1, math.ceil(len(layers) / 60))
    names = [short(name, 24) for name in layers[::every]]
    axes.set_xticks(range(0, len(layers), every), names, rotation=90)
    bar = figure.colorbar(image, ax=axes, format=FuncFormatter(lambda value, _: percent(value)), aspect=12, pad=0.02)
    bar.minorticks_off()
    bar.outline.set_visible(False)
