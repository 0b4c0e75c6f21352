"""Accuracy against sparsity, a figure for each dataset and model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from pabench.frame import DENSE
from pabench.section import Section, Study
from pabench.statistics import mean_interval
from pabench.wording import percent

from .figure import INK, Look, legend_text, looks, short, svg


@dataclass(frozen=True)
class Drawn:
    """A figure and the sentences under it."""

    title: str
    svg: Markup
    notes: tuple[str, ...]


class Accuracy(Section):
    """Mean top-1 of each criterion over seeds, with intervals, and the dense baseline."""

    name = "accuracy"
    title = "Accuracy against sparsity"
    order = 30

    def render(self, study: Study) -> str | None:
        frame = study.plain
        lines = set(frame.loc[frame["reference_line"] != "", "criterion"])
        styles = looks([c for c in frame["criterion"].unique() if c != DENSE], lines)
        figures = [
            draw(rows, styles, dataset, model)
            for (dataset, model), rows in frame.groupby(["dataset", "model"], sort=False)
            if rows.loc[rows["sparsity"] > 0, "top1"].notna().any()
        ]
        return self.fill("figures.html.j2", intro=(), figures=figures) if figures else None


def draw(rows: pd.DataFrame, styles: dict[str, Look], dataset: str, model: str) -> Drawn:
    """The figure of one dataset and model; `rows` are its cells."""
    seen = rows[rows["top1"].notna()]
    pruned = seen[seen["sparsity"] > 0]

    def paint(figure: Figure) -> None:
        windows = _windows(seen)
        panels = figure.subplots(1, len(windows), squeeze=False)[0]
        criteria = [name for name in styles if (pruned["criterion"] == name).any()]
        for axes, window in zip(panels, windows, strict=True):
            _dense(axes, seen.loc[seen["criterion"] == DENSE, "top1"])
            for place, name in enumerate(criteria):
                _line(axes, pruned[pruned["criterion"] == name], styles[name], name, _dodge(place, len(criteria)))
            _axes(axes, rows, window)
        if len(windows) > 1:
            panels[1].set_title("the upper part", loc="left")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper")

    title = f"{dataset} · {model}"
    label = f"Top-1 accuracy against sparsity of {len(styles)} criteria, {title}"
    return Drawn(title, svg(paint, width=12, height=4.3, name=f"accuracy-{title}", label=label), _notes(rows))


def _line(axes, cells: pd.DataFrame, look: Look, name: str, dodge: float) -> None:
    """A criterion: its means joined, an interval at each, a ring where a cell is flagged."""
    points = [(s, mean_interval(group["top1"]), any(group["flags"])) for s, group in cells.groupby("sparsity")]
    x = np.array([1 - s for s, _, _ in points]) * dodge
    y = np.array([interval.mean for _, interval, _ in points])
    style = {"color": look.color, "marker": look.marker, "markersize": 5, "linewidth": 1.6}
    axes.plot(x, y, linestyle=look.line, label=legend_text(short(name)), zorder=3, **style)
    for at, (_, interval, flagged) in zip(x, points, strict=True):
        if interval.low is not None:
            axes.plot([at, at], [interval.low, interval.high], color=look.color, linewidth=1.1, alpha=0.75, zorder=2)
        if flagged:
            axes.plot([at], [interval.mean], marker="o", markersize=11, fillstyle="none", color="#d6336c", zorder=4)


def _dense(axes, top1: pd.Series) -> None:
    if top1.empty:
        return
    interval = mean_interval(top1)
    if interval.low is not None:
        axes.axhspan(interval.low, interval.high, color=INK, alpha=0.1, linewidth=0)
    axes.axhline(interval.mean, color=INK, linewidth=1.1, linestyle=(0, (7, 3)), label="dense baseline", zorder=1)


def _windows(seen: pd.DataFrame) -> list[tuple[float, float]]:
    """The range of accuracies to show; where collapsed networks squeeze all others together, those once more."""
    high, middle = seen["top1"].max(), seen["top1"].median()
    usual = seen.loc[seen["top1"] >= high - 5 * (high - middle), "top1"]
    bounds = sorted({seen["top1"].min(), usual.min()})
    return [(bound - max(0.3, 0.08 * (high - bound)), high + max(0.3, 0.08 * (high - bound))) for bound in bounds]


def _axes(axes, rows: pd.DataFrame, window: tuple[float, float]) -> None:
    sparsities = sorted(s for s in rows["sparsity"].unique() if s > 0)
    axes.set_xlim((1 - sparsities[0]) * 1.25, (1 - sparsities[-1]) / 1.25)  # first: a single one has no log range
    axes.set_xscale("log")
    axes.set_xticks([1 - s for s in sparsities], [percent(s) for s in sparsities])
    axes.minorticks_off()
    axes.set_ylim(max(0, window[0]), min(100, window[1]))
    axes.set_xlabel("sparsity (kept weights on a logarithmic scale)")
    axes.set_ylabel("top-1 accuracy, %")
    axes.grid(axis="y")


def _dodge(place: int, count: int) -> float:
    """Criteria stand side by side, so that intervals do not hide each other."""
    return float(1.018 ** ((count - 1) / 2 - place))


def _notes(rows: pd.DataFrame) -> tuple[str, ...]:
    pruned = rows[rows["sparsity"] > 0]
    sizes = pruned[pruned["top1"].notna()].groupby(["criterion", "sparsity"]).size()
    n = f"{sizes.min()}" if sizes.min() == sizes.max() else f"{sizes.min()} to {sizes.max()}"
    notes = [f"Points: mean over seeds (n = {n}), test data, last epoch."]
    if sizes.max() > 1:
        notes.append("Bars and band: 95 % t interval of the mean; a bar that leaves the frame is longer than shown.")
    else:
        notes.append("One seed: no interval can be given.")
    if absent := int((pruned["status"] != "ok").sum()):
        notes.append(f"{absent} of {len(pruned)} pruned cells have no result and are not in the figure.")
    if pruned.loc[pruned["status"] == "ok", "flags"].map(bool).any():
        notes.append("Ringed: at least one cell is flagged (collapsed or degenerate).")
    if rows.loc[rows["criterion"] == DENSE, "top1"].isna().all():
        notes.append("No dense baseline is finished.")
    return tuple(notes)
