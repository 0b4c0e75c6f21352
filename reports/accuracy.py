"""Accuracy against sparsity and, of three sparsities or more, against effective density and training FLOPs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pabench.report.frame import quality, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.intervals import Interval
from pabench.statistics.outcomes import FAILED, collapses, seeds_interval
from pabench.store.quality import TOP1, Quality
from pabench.store.verdict import called, tally
from pabench.suite.cell import DENSE
from pabench.words import count, percent, span

from .figure import (
    INK,
    INTERVAL,
    WIDTH,
    Drawn,
    Key,
    Look,
    Panel,
    Tabled,
    in_unit,
    log_axis,
    looks_of,
    mark,
    with_limits,
)

EFFECTIVE = "effective_density"
BASELINE = "dense baseline"
DENSE_LOOK = Look(INK, "", (7, 3))


@dataclass(frozen=True)
class Point:
    """A criterion at one sparsity: its place on the horizontal axis, its mean top-1, and whether a cell is flagged."""

    sparsity: float
    x: float
    top1: Interval
    flagged: bool


FEWEST = 3
"""Sparsities from which on other horizontal axes show what the first does not."""


@dataclass(frozen=True)
class Against:
    """A panel with another horizontal axis, the sentences under it, and lines of where its points are."""

    panel: Panel
    notes: list[str]
    lines: list[tuple[str, tuple[str, ...]]]


class Accuracy(Section):
    """Mean top-1 of each criterion over seeds, with intervals, and the dense baseline."""

    name = "accuracy"
    title = "Accuracy"
    order = 22

    def render(self, study: Study) -> str | None:
        figures = self.figures(study)
        return self.fill("figures.html.j2", intro=(), figures=figures) if figures else None

    def figures(self, study: Study) -> list[Drawn]:
        styles = looks_of(study.plain)
        return [
            draw(study, rows, styles, title)
            for title, rows in strata(study.plain)
            if rows.loc[rows["sparsity"] > 0, "top1"].notna().any()
        ]


def draw(study: Study, rows: pd.DataFrame, styles: dict[str, Look], title: str) -> Drawn:
    """Top-1 of one dataset and model, whose cells are `rows`: against sparsity and, of three, against what is left."""
    seen = rows[rows["top1"].notna()]
    pruned = seen[seen["sparsity"] > 0]
    criteria = [name for name in styles if (pruned["criterion"] == name).any()]
    points = {
        name: _points(pruned[pruned["criterion"] == name], lambda some: 1 - some["sparsity"]) for name in criteria
    }
    panels, notes, lines = (
        list(_by_sparsity(points, rows, seen, styles, title)),
        list(_notes(rows)),
        _means(points, quality(rows)),
    )
    if rows.loc[rows["sparsity"] > 0, "sparsity"].nunique() >= FEWEST:
        for one in filter(None, (_effective(rows, styles, title), _flops(study, rows, styles, title))):
            panels.append(one.panel)
            notes += one.notes
            lines += one.lines
    heads = f"Criterion, {quality(rows).head} [95 % interval]", *(percent(s) for s in _sparsities(points))
    keys = [Key(name, styles[name]) for name in criteria]
    keys += [Key(BASELINE, DENSE_LOOK)] if (seen["criterion"] == DENSE).any() else []
    return Drawn(title, tuple(panels), tuple(notes), Tabled(heads, tuple(lines)), tuple(keys), of=title)


def _by_sparsity(
    points: dict[str, list[Point]], rows: pd.DataFrame, seen: pd.DataFrame, styles: dict[str, Look], title: str
) -> Iterator[Panel]:
    """The figure, and an enlarged one where few accuracies or intervals squeeze all others together."""

    def axis(axes) -> None:
        sparsities = sorted(s for s in rows["sparsity"].unique() if s > 0)
        axes.set_xlim((1 - sparsities[0]) * 1.25, (1 - sparsities[-1]) / 1.25)  # first: a single one has no log range
        axes.set_xscale("log")
        shown = _apart([1 - s for s in sparsities])
        axes.set_xticks(shown, [percent(1 - density) for density in shown])
        axes.minorticks_off()
        axes.set_xlabel("sparsity")

    shown = [point.top1 for line in points.values() for point in line]
    dense = seen[seen["criterion"] == DENSE]
    shown += [seeds_interval(dense)] if len(dense) else []
    label = f"{_called(rows)} against sparsity, {title}: {', '.join(points)}"
    for window, what in zip(_windows(seen, shown), ("", "enlarged: bars may leave the frame"), strict=False):
        name = f"accuracy-{title}{'-enlarged' if what else ''}"
        yield _curves(
            points, dense, styles, axis, window, of=quality(rows),
            name=name, label=label + (f"; {what}" if what else ""), heading=what,
        )  # fmt: skip


def _called(rows: pd.DataFrame) -> str:
    return "Top-1 accuracy" if quality(rows) is TOP1 else quality(rows).title


def _apart(densities: list[float]) -> list[float]:
    """Those of falling densities whose names do not touch each other on a panel's logarithmic axis."""
    room = 0.11 * math.log(densities[0] / densities[-1] * 1.6)
    kept: list[float] = []
    for density in densities:
        if not kept or math.log(kept[-1] / density) > room:
            kept.append(density)
    return kept


def _effective(rows: pd.DataFrame, styles: dict[str, Look], title: str) -> Against | None:
    """Top-1 against the share of weights on a live path; None where it was not measured."""
    if EFFECTIVE not in rows or not (rows["top1"].notna() & (rows["sparsity"] > 0) & (rows[EFFECTIVE] > 0)).any():
        return None
    seen = rows[rows["top1"].notna()]
    known = seen[(seen["sparsity"] > 0) & (seen[EFFECTIVE] > 0)]
    pruned = seen[seen["sparsity"] > 0]
    notes = [
        "Effective density: the share of weights that lie on a path from the input to an output (arXiv:2107.02306).",
        "A point further right than others of its sparsity keeps more weights that do nothing.",
    ]
    if cut := int((pruned[EFFECTIVE] == 0).sum()):
        notes.append(f"Left out of it, as no path is left: {count(cut, 'cell')}.")
    if unknown := int(pruned[EFFECTIVE].isna().sum()):
        notes.append(f"Left out of it, as not measured: {count(unknown, 'cell')}.")
    return _against(
        known, seen, styles, lambda cells: cells[EFFECTIVE], notes, title=title,
        name="effective", axis="effective density",
    )  # fmt: skip


def _flops(study: Study, rows: pd.DataFrame, styles: dict[str, Look], title: str) -> Against | None:
    """Top-1 against training FLOPs, in parts of the dense network's; None where FLOPs are not known."""
    seen = rows[rows["top1"].notna()]
    trained = [key for key, cell in study.cells.items() if cell.criterion and cell.criterion.trains]
    trains = seen["key"].isin(trained)
    known = seen[(seen["sparsity"] > 0) & (seen["flops_pruned"] > 0) & (seen["flops_dense"] > 0) & ~trains]
    if known.empty:
        return None
    notes = [
        "Training FLOPs: those of a forward pass with the kept weights, divided by those of the dense network.",
        "All networks are trained on as many images, so the number of epochs does not change this share.",
        "Scoring is not counted, and hardware that does not skip zeros computes all FLOPs of the dense network.",
    ]
    if left := sorted(set(seen.loc[trains, "criterion"])):
        notes.append(f"Not shown against FLOPs, as more than the pruned network is trained: {', '.join(left)}.")
    return _against(
        known, seen, styles, lambda cells: cells["flops_pruned"] / cells["flops_dense"], notes, title=title,
        name="flops", axis="training FLOPs, share of dense",
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
) -> Against:
    criteria = [one for one in styles if (known["criterion"] == one).any()]
    points = {one: _points(known[known["criterion"] == one], where) for one in criteria}
    dense = seen[seen["criterion"] == DENSE]
    shown = [point.top1 for line in points.values() for point in line]
    shown += [seeds_interval(dense)] if len(dense) else []

    def horizontal(axes) -> None:
        values = [point.x for line in points.values() for point in line]
        axes.set_xlim(min(values) / 1.25, min(1.0, max(values) * 1.25))
        # 2 and 5 between powers of ten would touch each other over more than one of them
        ticks = LogLocator(subs=(1, 2, 5) if max(values) / min(values) < 20 else (1,))
        log_axis(axes, ticks, percent, axis)
        axes.invert_xaxis()

    label = f"{_called(seen)} against {axis}, {title}: {', '.join(points)}"
    panel = _curves(
        points, dense, styles, horizontal, _windows(seen, shown)[0], of=quality(seen),
        name=f"{name}-{title}", label=label, axis=axis,
    )  # fmt: skip
    return Against(panel, notes, _told(points, axis, lambda point: f"{100 * point.x:.3g} %"))


def _points(cells: pd.DataFrame, where: Callable[[pd.DataFrame], pd.Series]) -> list[Point]:
    return [
        Point(float(sparsity), float(where(group).mean()), seeds_interval(group), any(group["flags"]))
        for sparsity, group in cells.groupby("sparsity")
    ]


def _curves(
    points: dict[str, list[Point]],
    dense: pd.DataFrame,
    styles: dict[str, Look],
    place: Callable[..., None],
    window: tuple[float, float],
    *,
    of: Quality,
    name: str,
    label: str,
    heading: str = "",
    axis: str = "",
) -> Panel:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        _dense(axes, dense, of)
        for nth, (criterion, line) in enumerate(points.items()):
            _line(axes, line, styles[criterion], criterion, 1.0 if axis else _dodge(nth, len(points)), axis, of)
        place(axes)
        axes.set_ylim(*window)
        axes.set_ylabel(of.axis)
        in_unit(axes, of)
        axes.grid(axis="y")
        axes.set_title(heading, loc="left")

    return Panel(paint, WIDTH, 2.9, name, label)


def _line(axes, line: list[Point], look: Look, name: str, dodge: float, axis: str, of: Quality) -> None:
    """A criterion: its means joined, an interval at each, a ring where a cell is flagged."""
    x, y = np.array([p.x for p in line]) * dodge, [p.top1.mean for p in line]
    axes.plot(x, y, linestyle=look.line, color=look.color, linewidth=1.6, zorder=3, gid=mark(name))
    for at, point in zip(x, line, strict=True):
        where = f"{name} at {percent(point.sparsity)}" + (f", {axis} {100 * point.x:.3g} %" if axis else "")
        told = f"{where}: {with_limits(point.top1, of)}, n = {point.top1.n}"
        axes.plot(
            [at], [point.top1.mean], marker=look.marker, color=look.color, markersize=5, zorder=3, gid=mark(name, told)
        )
        if point.top1.low is not None:
            style = {"color": look.color, "linewidth": 1.1, "alpha": 0.75, "zorder": 2}
            axes.plot([at, at], [point.top1.low, point.top1.high], gid=mark(name), **style)
        if point.flagged:
            style = {"marker": "o", "markersize": 11, "fillstyle": "none", "color": "#d6336c", "zorder": 4}
            axes.plot([at], [point.top1.mean], gid=mark(name), **style)


def _dense(axes, cells: pd.DataFrame, of: Quality) -> None:
    if cells.empty:
        return
    interval = seeds_interval(cells)
    if interval.low is not None:
        axes.axhspan(interval.low, interval.high, color=INK, alpha=0.1, linewidth=0, gid=mark(BASELINE))
    told = f"{BASELINE}: {with_limits(interval, of)}, n = {interval.n}"
    axes.axhline(interval.mean, color=INK, linewidth=1.1, linestyle=DENSE_LOOK.line, zorder=1, gid=mark(BASELINE, told))


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
    # R² has no lower limit
    return (max(0.0, low - margin) if low >= 0 else low - margin), min(100.0, high + margin)


def _dodge(place: int, count: int) -> float:
    """Criteria stand side by side, so that intervals do not hide each other: 1.8 % of the density from one to the next,
    about a line's width, and a dozen of them over a fifth of it."""
    return float(1.018 ** ((count - 1) / 2 - place))


def _sparsities(points: dict[str, list[Point]]) -> list[float]:
    return sorted({point.sparsity for line in points.values() for point in line})


def _means(points: dict[str, list[Point]], of: Quality) -> list[tuple[str, tuple[str, ...]]]:
    """A line for each criterion: mean and interval at each sparsity."""
    return _told(points, "", lambda point: with_limits(point.top1, of))


def _told(points: dict[str, list[Point]], what: str, text: Callable[[Point], str]) -> list[tuple[str, tuple[str, ...]]]:
    """A line for each criterion: a text at each sparsity."""
    lines = []
    for name, line in points.items():
        at = {point.sparsity: text(point) for point in line}
        lines.append((f"{name}, {what}" if what else name, tuple(at.get(s, "–") for s in _sparsities(points))))
    return lines


def _notes(rows: pd.DataFrame) -> tuple[str, ...]:
    pruned = rows[rows["sparsity"] > 0]
    sizes = pruned[pruned["top1"].notna()].groupby(["criterion", "sparsity"]).size()
    notes = [f"Points: mean over seeds (n = {span(sizes)}), test data, last epoch."]
    if sizes.max() > 1:
        notes.append(f"Bars and band: {INTERVAL}, cut at {'0 and 100' if quality(rows) is TOP1 else '1'}.")
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
