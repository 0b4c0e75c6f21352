"""What scoring costs: time, peak memory and gradient passes of each criterion, and what accuracy it buys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pabench.report.frame import pruned, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.words import seconds, size

from .figure import COLORS, MARKERS, Drawn, legend_text, log_axis, short, svg
from .pareto import pareto


@dataclass(frozen=True)
class Cost:
    """A criterion on one model: n scored cells, mean and range of the time, largest peak memory.

    `passes`: scoring in forward and backward passes of one batch; `epochs`: in epochs of the study's own training;
    NaN where nothing tells. `note` says why a reference line is none of the criteria.
    """

    model: str
    criterion: str
    note: str
    n: int
    time: float
    fastest: float
    slowest: float
    peak: float
    passes: float
    epochs: float


class ScoringCost(Section):
    """Mean time and largest peak memory of scoring, for each criterion and model, and accuracy against time."""

    name = "cost"
    title = "Scoring cost"
    order = 50

    def render(self, study: Study) -> str | None:
        masked = pruned(study.plain)
        scored = masked[masked["scoring_seconds"].notna()]
        if scored.empty:
            return None
        epochs = {key: cell.recipe.epochs for key, cell in study.cells.items()}
        scored = scored.assign(passes=passes(scored), epoch=scored["training_seconds"] / scored["key"].map(epochs))
        lines = [
            _cost(f"{dataset} · {model}", str(criterion), rows)
            for (dataset, model, criterion), rows in scored.groupby(["dataset", "model", "criterion"], sort=False)
        ]
        fronts = [pareto(rows, title) for title, rows in strata(scored)]
        figures = [draw(lines), *(front for front in fronts if front)]
        devices = sorted(x for x in scored["device"].unique() if x)
        known = any(math.isfinite(line.passes) for line in lines)
        return self.fill("cost.html.j2", intro=(), lines=lines, figures=figures, devices=devices, known=known)


def passes(rows: pd.DataFrame) -> pd.Series:
    """Scoring time over the time of one forward and one backward pass of as many images; NaN where it was not timed.

    The pass is timed beside each scoring, on the same network, in float32 (older records: in the precision of the
    scoring). A criterion that looks at no images is compared to the pass as it was timed.
    """
    images = rows["scoring_images"].where(rows["scoring_images"] > 0, rows["gradient_images"])
    return rows["scoring_seconds"] / (rows["gradient_seconds"] * images / rows["gradient_images"])


def _cost(model: str, criterion: str, rows: pd.DataFrame) -> Cost:
    times = rows["scoring_seconds"]
    return Cost(
        model=model,
        criterion=criterion,
        note=str(rows["reference_line"].iloc[0]),
        n=len(rows),
        time=times.mean(),
        fastest=times.min(),
        slowest=times.max(),
        peak=rows["scoring_peak_bytes"].max(),
        passes=rows["passes"].median(),
        epochs=(times / rows["epoch"]).median(),
    )


def draw(lines: list[Cost]) -> Drawn:
    """Time, and memory where it was measured: criteria downwards, one marker per model."""
    criteria = list(dict.fromkeys(line.criterion for line in lines))
    panels = [("time", "scoring time", seconds)]
    if any(line.peak > 0 for line in lines):
        panels.append(("peak", "peak memory while scoring", size))

    def paint(figure: Figure) -> None:
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (attribute, label, wording) in zip(all_axes, panels, strict=True):
            _panel(axes, lines, attribute)
            values = [getattr(line, attribute) for line in lines if getattr(line, attribute) > 0]
            log_axis(axes, _ticks(max(values) / min(values), binary=attribute == "peak"), wording, label)
            axes.grid(axis="x")
            axes.set_yticks(range(len(criteria)), [short(name, 26) for name in criteria])
            axes.tick_params(axis="y", length=0)
        all_axes[0].invert_yaxis()
        figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside right upper")

    height = 1.1 + 0.36 * len(criteria)
    drawing = svg(paint, width=12, height=height, name="cost", label="Scoring time and peak memory by criterion")
    return Drawn("Time and memory", drawing, ("Points: means over cells; lines: fastest to slowest; numbers below.",))


def _panel(axes: Any, lines: list[Cost], attribute: str) -> None:
    """The models side by side at the place of each criterion, as far as `attribute` was measured."""
    criteria = list(dict.fromkeys(line.criterion for line in lines))
    models = list(dict.fromkeys(line.model for line in lines))
    for place, model in enumerate(models):
        own = [line for line in lines if line.model == model and getattr(line, attribute) > 0]
        shift = 0.2 * (place - (len(models) - 1) / 2)
        y = [criteria.index(line.criterion) + shift for line in own]
        color, marker = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
        x = [getattr(line, attribute) for line in own]
        axes.plot(x, y, linestyle="none", marker=marker, color=color, label=legend_text(short(model)))
        if attribute == "time":
            axes.hlines(y, [line.fastest for line in own], [line.slowest for line in own], color=color)


def _ticks(spread: float, *, binary: bool) -> LogLocator:
    """Round numbers on a logarithmic axis, some of them also where the values span less than a decade."""
    if binary:
        return LogLocator(base=8 if spread > 64 else 2)
    return LogLocator(base=10, subs=(1,) if spread > 100 else (1, 2, 5))
