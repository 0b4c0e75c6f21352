"""How much of a planted ticket each criterion finds, and what is left of its function (Fischer & Burkholz 2022)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pabench.report.frame import pruned, quality, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.store.quality import Quality
from pabench.suite.cell import Cell
from pabench.words import NOTHING, percent

from .diagnostics import digits
from .figure import INK, WIDTH, Drawn, Key, Look, Panel, Tabled, in_unit, looks_of, mark

METRIC = "planted"
AUTHORS = "planted.csv"
"""What the authors' code gives with its own defaults, run by us: one row a task, criterion and sparsity."""
SETTINGS = {"epochs": 10, "batch_size": 64, "optimizer": "adamw", "lr": 0.001, "weight_decay": 0.0}
"""The recipe of those rows, as far as a recipe of ours says it; without weight decay AdamW is their Adam."""
TICKET = "the ticket"
TICKET_LOOK = Look(INK, "", (7, 3))


@dataclass(frozen=True)
class Theirs:
    """A row of the authors' code: means over so many runs, in the units of the metric."""

    precision: float
    recall: float
    before: float
    after: float
    runs: int


@dataclass(frozen=True)
class Line:
    """A criterion at one sparsity on one model: means over `seeds`. Qualities are in points.

    `precision` and `recall` are shares, `by_layer` of each layer. `lost` and `short` are the most layers of a seed.
    """

    criterion: str
    sparsity: float
    precision: float
    recall: float
    lost: int
    short: int
    before: float
    before_loss: float
    after: float
    after_loss: float
    seeds: int
    by_layer: tuple[tuple[float, float], ...]
    theirs: Theirs | None


@dataclass(frozen=True)
class Found:
    """All lines of one dataset and model, with its ticket: sparsity, weights, and quality in points by itself."""

    title: str
    quality: Quality
    lines: tuple[Line, ...]
    sparsity: float
    size: int
    ticket: float
    layers: tuple[str, ...]

    @property
    def nearest(self) -> float:
        """The sparsity of the study that is closest to the ticket's, by what is left of the weights."""
        return min((line.sparsity for line in self.lines), key=lambda s: abs(np.log((1 - s) / (1 - self.sparsity))))

    @property
    def compared(self) -> bool:
        """Whether there are figures of the authors' code."""
        return any(line.theirs for line in self.lines)

    @property
    def said(self) -> str:
        """What the lines at the sparsity of the ticket allow to say."""
        at = [line for line in self.lines if line.sparsity == self.nearest]
        most, left, best = (max(at, key=key) for key in (_recall, _before, _after))
        what, text = self.quality.title, self.quality.text
        ticket = f"the ticket has {percent(round(self.sparsity, 5))}, {self.size} weights"
        kept = (
            f"the most that a criterion keeps of the ticket is {digits(100 * most.recall)} % ({most.criterion})"
            if most.recall
            else "no criterion keeps a single weight of the ticket"
        )
        return (
            f"At {percent(self.nearest)} sparsity ({ticket}) {kept}. Before training the ticket alone has "
            f"{what} {text(self.ticket)}, and the best mask {text(left.before)} ({left.criterion}); after training the "
            f"best has {text(best.after)} ({best.criterion})."
        )


class Planted(Section):
    """Precision and recall of each mask against the planted ticket, and what it computes before and after training."""

    name = "planted"
    title = "Planted tickets"
    order = 46

    def render(self, study: Study) -> str | None:
        found = _found(study)
        if not found:
            return None
        return self.fill(
            "planted.html.j2", intro=(), found=found, figures=self.figures(study), digits=digits, nothing=NOTHING
        )

    def figures(self, study: Study) -> list[Drawn]:
        styles = looks_of(study.plain)
        return [draw(one, styles) for one in _found(study)]


def _found(study: Study) -> list[Found]:
    if f"{METRIC}.recall" not in study.frame:
        return []
    measured = pruned(study.plain)
    measured = measured[measured[f"{METRIC}.recall"].notna()]
    return [_of(study, title, rows) for title, rows in strata(measured)]


def _of(study: Study, title: str, rows: pd.DataFrame) -> Found:
    of, prefix = quality(rows), f"{METRIC}.recall."
    layers = tuple(c.removeprefix(prefix) for c in rows if c.startswith(prefix) and rows[c].notna().any())
    cell = study.cells[rows["key"].iloc[0]]
    lines = [
        _line(cells, of, layers, theirs(cell, str(criterion), float(sparsity)))
        for (criterion, sparsity), cells in rows.groupby(["criterion", "sparsity"], sort=False)
    ]
    ticket = float(rows[f"{METRIC}.ticket_quality"].mean()) / of.point
    size, sparsity = round(rows[f"{METRIC}.size"].mean()), float(rows[f"{METRIC}.sparsity"].mean())
    return Found(title, of, tuple(lines), sparsity, size, ticket, layers)


def _line(cells: pd.DataFrame, of: Quality, layers: Sequence[str], theirs: Theirs | None) -> Line:
    mean = cells.drop(columns=["flags"]).mean(numeric_only=True)
    by_layer = tuple((_at(mean, f"precision.{n}"), _at(mean, f"recall.{n}")) for n in layers)
    first = cells.iloc[0]
    return Line(
        criterion=str(first["criterion"]),
        sparsity=float(first["sparsity"]),
        precision=_at(mean, "precision"),
        recall=_at(mean, "recall"),
        lost=int(cells[f"{METRIC}.lost_layers"].max()),
        short=int(cells[f"{METRIC}.short_layers"].max()),
        before=_at(mean, "quality") / of.point,
        before_loss=_at(mean, "loss"),
        after=float(mean["top1"]),
        after_loss=float(mean["loss"]),
        seeds=len(cells),
        by_layer=by_layer,
        theirs=theirs,
    )


def _at(mean: pd.Series, name: str) -> float:
    return float(mean.get(f"{METRIC}.{name}", float("nan")))


@cache
def _rows() -> list[dict[str, str]]:
    text = (files(__package__ or "pabench_reports") / AUTHORS).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def theirs(cell: Cell, criterion: str, sparsity: float) -> Theirs | None:
    """What the authors' code gives where dataset, network, recipe, criterion and sparsity are those of the cell."""
    args, data = cell.model.args, cell.dataset.args
    alike = all(getattr(cell.recipe, name) == value for name, value in SETTINGS.items())
    if not alike or (data.get("noise"), data.get("samples")) != (0.01, 10_000):
        return None
    wanted = {
        "dataset": cell.dataset.name,
        "criterion": criterion,
        "sparsity": f"{sparsity:g}",
        "width": str(args.get("width", 100)),
        "depth": str(args.get("depth", 5)),
    }
    row = next((row for row in _rows() if all(row[key] == value for key, value in wanted.items())), None)
    if row is None:
        return None
    precision, recall, before, after = (float(row[name]) for name in ("precision", "recall", "before", "after"))
    return Theirs(precision, recall, before, after, int(row["runs"]))


# --- The figure -------------------------------------------------------------------------------------------------------


def draw(found: Found, styles: Mapping[str, Look]) -> Drawn:
    """Recall, and quality before and after training, against sparsity."""
    of = found.quality
    criteria = [name for name in styles if any(line.criterion == name for line in found.lines)]
    whats = (
        ("recall", "share of the ticket kept, %", lambda line: 100 * line.recall, None, 100.0),
        ("before", f"{of.axis} before training", _before, of, found.ticket),
        ("after", f"{of.axis} after training", _after, of, found.ticket),
    )
    panels = tuple(
        Panel(
            partial(_paint, found, styles, criteria, axis, value, unit, ticket),
            WIDTH,
            2.9,
            f"planted-{name}-{found.title}",
            f"{axis} against sparsity, {found.title}: {', '.join(criteria)}",
        )
        for name, axis, value, unit, ticket in whats
    )
    sparsities = sorted({line.sparsity for line in found.lines})
    heads = (
        "Criterion",
        *(
            f"{what}, {percent(s)}"
            for what in ("recall %", f"{of.head} before", f"{of.head} after")
            for s in sparsities
        ),
    )
    notes = (
        "Means over seeds. The broken line across is the ticket by itself before any training, the one upwards its",
        "sparsity. A criterion that finds the whole ticket there keeps nothing else, and its network computes the",
        "function.",
    )
    keys = [*(Key(name, styles[name]) for name in criteria), Key(TICKET, TICKET_LOOK)]
    return Drawn(
        found.title,
        panels,
        notes,
        Tabled(heads, tuple(_numbers(found, criteria, sparsities))),
        tuple(keys),
        of=found.title,
    )


def _numbers(
    found: Found, criteria: Iterable[str], sparsities: Sequence[float]
) -> Iterable[tuple[str, tuple[str, ...]]]:
    for name in criteria:
        at = {line.sparsity: line for line in found.lines if line.criterion == name}
        texts = [
            [digits(100 * at[s].recall) for s in sparsities],
            [found.quality.text(at[s].before) for s in sparsities],
            [found.quality.text(at[s].after) for s in sparsities],
        ]
        yield name, tuple(text for row in texts for text in row)


def _paint(
    found: Found,
    styles: Mapping[str, Look],
    criteria: Sequence[str],
    label: str,
    value: Any,
    of: Quality | None,
    ticket: float,
    figure: Figure,
) -> None:
    axes = figure.subplots()
    sparsities = sorted({line.sparsity for line in found.lines})
    places = {s: place for place, s in enumerate(sparsities)}
    densities = [np.log(1 - s) for s in reversed(sparsities)]
    at = float(np.interp(np.log(1 - found.sparsity), densities, list(reversed(range(len(sparsities))))))
    told = f"{TICKET}: {found.size} weights, sparsity {digits(100 * found.sparsity)} %"
    axes.axvline(at, color=INK, linewidth=0.9, linestyle=TICKET_LOOK.line, zorder=1, gid=mark(TICKET, told))
    shown = of.text(ticket) if of else "100 %"
    axes.axhline(
        ticket, color=INK, linewidth=0.9, linestyle=TICKET_LOOK.line, zorder=1, gid=mark(TICKET, f"{TICKET}: {shown}")
    )
    for nth, name in enumerate(criteria):
        lines = sorted((line for line in found.lines if line.criterion == name), key=lambda line: line.sparsity)
        look, aside = styles[name], 0.02 * (nth - (len(criteria) - 1) / 2)
        x, y = [places[line.sparsity] + aside for line in lines], [value(line) for line in lines]
        axes.plot(x, y, linestyle=look.line, color=look.color, linewidth=1.6, zorder=3, gid=mark(name))
        for place, height, line in zip(x, y, lines, strict=True):
            text = of.text(height) if of else f"{digits(height)} %"
            tip = mark(name, f"{name} at {percent(line.sparsity)}: {text}, n = {line.seeds}")
            axes.plot([place], [height], marker=look.marker, color=look.color, markersize=5, zorder=3, gid=tip)
    axes.set_xticks(range(len(sparsities)), [percent(s) for s in sparsities])
    axes.set_xlim(-0.3, len(sparsities) - 0.7)
    axes.set_xlabel("sparsity")
    axes.set_ylabel(label)
    axes.grid(axis="y")
    if of:
        in_unit(axes, of)


def _recall(line: Line) -> float:
    return line.recall


def _before(line: Line) -> float:
    return line.before


def _after(line: Line) -> float:
    return line.after
