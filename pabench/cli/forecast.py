"""What `pabench run --dry-run` and `pabench plan` print before anything runs: the grid, its cost, what it can show."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from pabench.cli.running import of_banks, tell_data
from pabench.cli.terminal import say
from pabench.leaderboard import bank
from pabench.run.clock import Clock
from pabench.run.estimate import AROUND, Workload
from pabench.run.session import Session
from pabench.run.tasks import Plan
from pabench.store.store import Store
from pabench.suite.cell import DENSE, Cell
from pabench.words import count, number, plain

if TYPE_CHECKING:  # scipy and pandas, of which a dry run needs nothing
    from pabench.run.outlook import Detection, Outlook, Reach, Wish
    from pabench.statistics.spread import Spread


def dry_run(session: Session) -> tuple[int, dict[str, Any]]:
    """Print the grid, what is done, what banks offer and how long the rest will take; returns the exit code, and the
    same for programs."""
    start = time.process_time()
    torch.set_num_threads(session.threads)
    banks = bank.open_banks(session.options.banks or ())
    everything = session.plan()
    taken = bank.offered(banks, everything.open)
    plan = session.plan(taken) if taken else everything
    work, clock = Workload.of(plan, session.survey(plan)), session.clock()
    axes = dict(_axes(session.chosen))
    told: dict[str, Any] = {
        **{axis: dict(found) for axis, found in axes.items()},
        "cells": len(session.chosen),
        "done": dict(Counter(plan.done.values())),
        "to_do": len(plan.open),
        "from_banks": len(taken),
        "scorings": work.scorings,
        "measurements": work.measurements,
        "checks": [],
        "seconds": None,
        "folder": str(session.store.folder),
    }
    for axis, found in axes.items():
        _row(axis, ", ".join(f"{name} ({n})" for name, n in found.items()))
    finished = ", ".join(f"{n} {status}" for status, n in Counter(plan.done.values()).items()) or "none"
    banked = f"; from banks: {len(taken)}" if banks else ""
    _row("cells", f"{len(session.chosen)}; done: {finished}{banked}; to do: {len(plan.open)}")
    for line in of_banks(banks, taken, everything.open):
        _row("bank", line)
    _row("scorings", f"{work.scorings}")
    if session.elsewhere:  # nothing can be tried from here
        _row("folder", f"{session.store.folder}")
        told["script"] = session.script(plan)
        say(told["script"])
        return tell_data(session), told
    seconds = work.seconds(clock, session.workers)
    if work.measurements:
        unknown = sorted(clock.unknown.intersection(work.metrics))
        left_out = f"; the time of {', '.join(unknown)} is in no estimate yet" if unknown else ""
        _row("measured", f"{work.measurements} of {', '.join(work.metrics)}{left_out}")
    with tempfile.TemporaryDirectory() as folder:  # a dry run writes nothing into the study
        for line in _checked(session, plan, Store(folder)):
            _row("check", line)
            told["checks"].append(line)
    told["seconds"] = seconds + AROUND * start
    _row("estimate", _estimate(session, work, clock, told["seconds"]))
    _row("folder", f"{session.store.folder}")
    return tell_data(session), told


def _checked(session: Session, plan: Plan, into: Store) -> Iterator[str]:
    return session.check_criteria(plan, session.unchecked(plan), into=into, stop=threading.Event())


def _row(label: str, text: str) -> None:
    say(f"{label:>11}: {text}")


def _axes(cells: list[Cell]) -> Iterator[tuple[str, Counter[str]]]:
    """By axis how many cells each of its values has."""
    yield "datasets", Counter(c.dataset.label for c in cells)
    yield "models", Counter(c.model.label for c in cells)
    yield "criteria", Counter(c.criterion.label if c.criterion else DENSE for c in cells)
    yield "sparsities", Counter(f"{c.sparsity:g}" for c in cells)
    yield "seeds", Counter(str(c.seed) for c in cells)
    if any(c.ablation for c in cells):
        yield "ablations", Counter(c.ablation or "none" for c in cells)
    if not all(c.train.is_plain for c in cells):
        yield "trainings", Counter(c.train.label for c in cells)


def _estimate(session: Session, work: Workload, clock: Clock, seconds: float) -> str:
    how = f"{session.workers} at once on {session.device}, {count(session.threads, 'thread')} each"
    again = f"; {count(len(work.dense), 'dense training')} for reference lines included" if work.dense else ""
    return f"{timedelta(seconds=round(seconds))} in all, {clock.source(session.store.folder)} ({how}{again})"


def describe(found: Outlook) -> str:
    """Everything that `pabench plan` says, in lines."""
    wish, spread = found.wish, found.spread
    lines = [
        ("suite", found.suite),
        ("seeds", f"{found.seeds}"),
        ("cells", f"{found.cells}; done: {found.done}; to do: {found.cells - found.done}"),
        ("trainings", f"{found.trainings}{_again(found)}; scorings: {found.scorings}"),
        *([("measured", f"{found.measurements} of {', '.join(found.metrics)}, time unknown")] if found.metrics else []),
        ("hours", _hours(found.hours) + (f" ({found.time})" if found.time else "")),
        ("spread", f"{_varies(spread)} points, SD between blocks of the difference of two criteria:"),
        *(("", source) for source in spread.sources),
        *([("", "a pilot of a few seeds tells more: plan with its folder as --records")] if spread.sd is None else []),
        ("detected", f"true differences, with power {wish.power:g} at {wish.alpha:g} two-sided (paired t over seeds),"),
        ("", "from where differences vary least to where they vary most:"),
    ]
    for reach in found.reaches:
        who = "one pair" if reach.pairs == 1 else f"the first of {reach.pairs} pairs (Holm)"
        on = "one model" if reach.models == 1 else f"over all {reach.models} models"
        lines.append(("", f"{on}, {who}: {_detectable(reach, found.seeds)}; {_needs(reach, wish)}"))
    if not found.reaches:
        lines.append(("", "none: the suite has fewer than two criteria to compare"))
    return "\n".join(plain(f"{label:>11}{':' if label else ' '} {text}") for label, text in lines)


def _varies(spread: Spread) -> str:
    return _range(number(spread.low), number(spread.high), number(spread.sd) if spread.sd is not None else None)


def _range(low: str, high: str, middle: str | None = None) -> str:
    """
    >>> _range("3", "9", "5"), _range("3", "9"), _range("3", "3", "3")
    ('3 to 9 (middle 5)', '3 to 9', '3')
    """
    return low if low == high else f"{low} to {high}" + (f" (middle {middle})" if middle else "")


def _again(found: Outlook) -> str:
    return f", {count(found.dense_again, 'dense one')} for reference lines among them" if found.dense_again else ""


def _detectable(reach: Reach, seeds: int) -> str:
    if seeds < 2:
        return "nothing with one seed"
    if reach.low.detectable is None:
        return f"nothing: more than 100 points with {seeds} seeds"
    return f"{_over(reach, _points)} points with {seeds} seeds"


def _needs(reach: Reach, wish: Wish) -> str:
    if reach.low.seeds is None:
        return f"no affordable number of seeds finds {wish.mde:g}"
    hours = "" if reach.low.hours is None else f", {_over(reach, lambda one: _hours(one.hours))}"
    seeds, trainings = _over(reach, lambda one: _many(one.seeds)), _over(reach, lambda one: _many(one.trainings))
    return f"{wish.mde:g} points take {seeds} seeds: {trainings} trainings{hours}"


def _over(reach: Reach, told: Callable[[Detection], str]) -> str:
    """One of its numbers from where differences vary least to where they vary most."""
    return _range(told(reach.low), told(reach.high), told(reach.middle) if reach.middle else None)


def _points(one: Detection) -> str:
    return "more than 100" if one.detectable is None else number(one.detectable)


def _many(found: int | None) -> str:
    return "too many" if found is None else f"{found:,}"


def _hours(hours: float | None) -> str:
    """
    >>> _hours(0.25), _hours(30.0), _hours(None)
    ('0:15:00 h', '30:00:00 h', 'unknown')
    """
    if hours is None:
        return "unknown"
    seconds = round(3600 * hours)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} h"
