"""Accuracy against sparsity, against effective density and against training FLOPs, for each dataset and model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pabench.report.frame import strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.intervals import Interval
from pabench.statistics.outcomes import FAILED, collapses, seeds_interval
from pabench.store.verdict import called, tally
from pabench.suite.cell import DENSE
from pabench.words import count, percent, span

from .figure import INK, INTERVAL, Drawn, Look, Tabled, legend_text, log_axis, looks_of, short, svg, with_limits

EFFECTIVE = "effective_density"


@dataclass(frozen=True)
class Point:
    """A criterion at one sparsity: its place on the horizontal axis, its mean top-1, and whether a cell is flagged."""

    sparsity: float
    x: float
    top1: Interval
    flagged: bool


class Accuracy(Section):
    """Mean top-1 of each criterion over seeds, with intervals, and the dense baseline."""

    name = "accuracy"
    title = "Accuracy against density and FLOPs"
    order = 30

    def render(self, study: Study) -> str | None:
        styles = looks_of(study.plain)
        figures = []
        for title, rows in strata(study.plain):
            if not rows.loc[rows["sparsity"] > 0, "top1"].notna().any():
                continue
            drawn = (draw(rows, styles, title), _effective(rows, styles, title), _flops(study, rows, styles, title))
            figures += [figure for figure in drawn if figure]
        return self.fill("figures.html.j2", intro=(), figures=figures) if figures else None


def draw(rows: pd.DataFrame, styles: dict[str, Look], title: str) -> Drawn:
    """Top-1 against sparsity of one dataset and model; `rows` are its cells."""
    seen = rows[rows["top1"].notna()]
    pruned = seen[seen["sparsity"] > 0]
    criteria = [name for name in styles if (pruned["criterion"] == name).any()]
    points = {
        name: _points(pruned[pruned["criterion"] == name], lambda some: 1 - some["sparsity"]) for name in criteria
    }
    label = f"Top-1 accuracy against sparsity, {title}: {', '.join(criteria)}"

    def axis(axes) -> None:
        sparsities = sorted(s for s in rows["sparsity"].unique() if s > 0)
        axes.set_xlim((1 - sparsities[0]) * 1.25, (1 - sparsities[-1]) / 1.25)  # first: a single one has no log range
        axes.set_xscale("log")
        axes.set_xticks([1 - s for s in sparsities], [percent(s) for s in sparsities])
        axes.minorticks_off()
        axes.set_xlabel("sparsity (kept weights on a logarithmic scale)")

    drawing = _curves(points, seen, styles, axis, name=f"accuracy-{title}", label=label, dodge=True)
    return Drawn(title, drawing, _notes(rows), _numbers(points))


def _effective(rows: pd.DataFrame, styles: dict[str, Look], title: str) -> Drawn | None:
    """Top-1 against the share of weights on a live path; None where it was not measured."""
    if EFFECTIVE not in rows or not (rows["top1"].notna() & (rows["sparsity"] > 0) & (rows[EFFECTIVE] > 0)).any():
        return None
    seen = rows[rows["top1"].notna()]
    known = seen[(seen["sparsity"] > 0) & (seen[EFFECTIVE] > 0)]
    pruned = seen[seen["sparsity"] > 0]
    notes = [
        "Means over seeds at the mean share of weights that lie on a live path (arXiv:2107.02306).",
        "A point that lies further right than others of its sparsity keeps more weights that do nothing.",
    ]
    if cut := int((pruned[EFFECTIVE] == 0).sum()):
        notes.append(f"Left out, as no path is live: {count(cut, 'cell')}.")
    if unknown := int(pruned[EFFECTIVE].isna().sum()):
        notes.append(f"Left out, as not measured: {count(unknown, 'cell')}.")
    return _against(
        known, seen, styles, lambda cells: cells[EFFECTIVE], notes, title=f"{title}, against effective density",
        name=f"effective-{title}", axis="effective density (logarithmic scale)",
    )  # fmt: skip


def _flops(study: Study, rows: pd.DataFrame, styles: dict[str, Look], title: str) -> Drawn | None:
    """Top-1 against training FLOPs, in parts of the dense network's; None where FLOPs are not known."""
    seen = rows[rows["top1"].notna()]
    trained = [key for key, cell in study.cells.items() if cell.criterion and cell.criterion.trains]
    trains = seen["key"].isin(trained)
    known = seen[(seen["sparsity"] > 0) & (seen["flops_pruned"] > 0) & (seen["flops_dense"] > 0) & ~trains]
    if known.empty:
        return None
    notes = [
        "Training FLOPs in parts of the dense network's: forward FLOPs of the kept weights over those of all.",
        "Epochs and images are the same and cancel; so does, nearly, the backward pass: it is cheaper in layer 1.",
        "Scoring is not in it. A multiplication and an addition are two FLOPs.",
        "Hardware that does not skip zeros computes all of them.",
    ]
    if left := sorted(set(seen.loc[trains, "criterion"])):
        notes.append(f"Not shown, as more than the pruned network is trained: {', '.join(left)}.")
    return _against(
        known, seen, styles, lambda cells: cells["flops_pruned"] / cells["flops_dense"], notes,
        title=f"{title}, against training FLOPs", name=f"flops-{title}",
        axis="training FLOPs, share of dense (log scale)",
    )  # fmt: skip


def _against(
    known: pd.DataFrame,
    seen: pd.DataFrame,
    styles: dict[str, Look],
    where: Callable[[pd.DataFrame], pd.Series],
    notes: list[str],
    *,
    title: str,
    name: str,
    axis: str,
) -> Drawn:
    criteria = [one for one in styles if (known["criterion"] == one).any()]
    points = {one: _points(known[known["criterion"] == one], where) for one in criteria}

    def horizontal(axes) -> None:
        values = [point.x for line in points.values() for point in line]
        axes.set_xlim(min(values) / 1.25, min(1.0, max(values) * 1.25))
        # 2 and 5 between powers of ten would touch each other over more than two of them
        ticks = LogLocator(subs=(1, 2, 5) if max(values) / min(values) < 200 else (1,))
        log_axis(axes, ticks, percent, axis)
        axes.invert_xaxis()

    label = f"Top-1 accuracy {title.rpartition(', ')[2]}, {title.rpartition(', ')[0]}"
    drawing = _curves(points, seen, styles, horizontal, name=name, label=label, dodge=False)
    return Drawn(title, drawing, tuple(notes), _numbers(points, axis.partition(" (")[0]))


def _points(cells: pd.DataFrame, where: Callable[[pd.DataFrame], pd.Series]) -> list[Point]:
    return [
        Point(float(sparsity), float(where(group).mean()), seeds_interval(group), any(group["flags"]))
        for sparsity, group in cells.groupby("sparsity")
    ]


def _curves(
    points: dict[str, list[Point]],
    seen: pd.DataFrame,
    styles: dict[str, Look],
    axis: Callable[..., None],
    *,
    name: str,
    label: str,
    dodge: bool,
):
    dense = seen[seen["criterion"] == DENSE]
    shown = [point.top1 for line in points.values() for point in line]
    shown += [seeds_interval(dense)] if len(dense) else []

    def paint(figure: Figure) -> None:
        windows = _windows(seen, shown)
        panels = figure.subplots(1, len(windows), squeeze=False)[0]
        for axes, window in zip(panels, windows, strict=True):
            _dense(axes, dense)
            for place, (criterion, line) in enumerate(points.items()):
                _line(axes, line, styles[criterion], criterion, _dodge(place, len(points)) if dodge else 1.0)
            axis(axes)
            axes.set_ylim(*window)
            axes.set_ylabel("top-1 accuracy, %")
            axes.grid(axis="y")
        if len(windows) > 1:
            panels[1].set_title("enlarged: bars may leave the frame", loc="left")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper")

    return svg(paint, width=12, height=max(4.3, 0.6 + 0.23 * len(points)), name=name, label=label)


def _line(axes, line: list[Point], look: Look, name: str, dodge: float) -> None:
    """A criterion: its means joined, an interval at each, a ring where a cell is flagged."""
    style = {"color": look.color, "marker": look.marker, "markersize": 5, "linewidth": 1.6}
    x, y = np.array([p.x for p in line]) * dodge, [p.top1.mean for p in line]
    axes.plot(x, y, linestyle=look.line, label=legend_text(short(name)), zorder=3, **style)
    for at, point in zip(x, line, strict=True):
        if point.top1.low is not None:
            axes.plot(
                [at, at], [point.top1.low, point.top1.high], color=look.color, linewidth=1.1, alpha=0.75, zorder=2
            )
        if point.flagged:
            axes.plot([at], [point.top1.mean], marker="o", markersize=11, fillstyle="none", color="#d6336c", zorder=4)


def _dense(axes, cells: pd.DataFrame) -> None:
    if cells.empty:
        return
    interval = seeds_interval(cells)
    if interval.low is not None:
        axes.axhspan(interval.low, interval.high, color=INK, alpha=0.1, linewidth=0)
    axes.axhline(interval.mean, color=INK, linewidth=1.1, linestyle=(0, (7, 3)), label="dense baseline", zorder=1)


def _windows(seen: pd.DataFrame, shown: Sequence[Interval]) -> list[tuple[float, float]]:
    """The range of every accuracy and interval; where few of them squeeze all others together, those once more."""
    limits = [limit for one in shown for limit in (one.low, one.high) if limit is not None]
    whole = _framed([*seen["top1"], *limits])
    high, middle = seen["top1"].max(), seen["top1"].median()
    # five times as far below the best as half of all cells
    usual = _framed(list(seen.loc[seen["top1"] >= high - 5 * (high - middle), "top1"]))
    # a third of the height: one more panel is worth its room
    return [whole, usual] if whole[1] - whole[0] > 3 * (usual[1] - usual[0]) else [whole]


def _framed(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = max(0.3, 0.08 * (high - low))  # points: so that equal accuracies have an axis, too
    return max(0.0, low - margin), min(100.0, high + margin)


def _dodge(place: int, count: int) -> float:
    """Criteria stand side by side, so that intervals do not hide each other: 1.8 % of the density from one to the next,
    about a line's width, and a dozen of them over a fifth of it."""
    return float(1.018 ** ((count - 1) / 2 - place))


def _numbers(points: dict[str, list[Point]], axis: str = "") -> Tabled:
    """A line for each criterion: mean and interval at each sparsity, after it the place on another axis."""
    sparsities = sorted({point.sparsity for line in points.values() for point in line})
    lines = []
    for name, line in points.items():
        at = {point.sparsity: point for point in line}
        lines.append((name, tuple(_told(at[s], axis) if s in at else "–" for s in sparsities)))
    head = f"Criterion, top-1 % [95 % interval]{f' at {axis}' if axis else ''}"
    return Tabled((head, *(percent(s) for s in sparsities)), tuple(lines))


def _told(point: Point, axis: str) -> str:
    return with_limits(point.top1) + (f" at {100 * point.x:.3g} %" if axis else "")


def _notes(rows: pd.DataFrame) -> tuple[str, ...]:
    pruned = rows[rows["sparsity"] > 0]
    sizes = pruned[pruned["top1"].notna()].groupby(["criterion", "sparsity"]).size()
    notes = [f"Points: mean over seeds (n = {span(sizes)}), test data, last epoch."]
    if sizes.max() > 1:
        notes.append(f"Bars and band: {INTERVAL}, cut at 0 and 100.")
    else:
        notes.append("One seed: no interval can be given.")
    if absent := int((pruned["status"] != "ok").sum()):
        notes.append(f"{absent} of {len(pruned)} pruned cells have no result and are not in the figure.")
    if failed := sorted(set(pruned.loc[pruned["outcome"] == FAILED, "criterion"])):
        notes.append(f"Means of survivors, as cells failed by themselves: {', '.join(failed)}.")
    if fell := collapses(pruned).count:
        notes.append(f"No bar where a cell collapsed to chance ({fell} did): the mean is over all of them.")
    if flagged := tally(pruned.loc[pruned["status"] == "ok", "flags"]):
        notes.append(f"Ringed: at least one cell is flagged ({', '.join(map(called, flagged.by_flag))}).")
    if rows.loc[rows["criterion"] == DENSE, "top1"].isna().all():
        notes.append("No dense baseline is finished.")
    return tuple(notes)
