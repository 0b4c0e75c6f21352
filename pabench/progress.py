"""What a run shows while it goes: a live display in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from pabench.engine import Event, Outcome


class Display(Protocol):
    """Where news of a run goes."""

    def event(self, event: Event) -> None: ...

    def ended(self, outcome: Outcome, line: str) -> None: ...

    def close(self) -> None: ...


class Clock:
    """Time left, from the pace so far: the mean time of a cell among those that ended in this run."""

    def __init__(self, cells: int) -> None:
        self.began = time.monotonic()
        self.cells = cells
        self.done = 0

    def left(self) -> str:
        if not self.done:
            return "time left unknown"
        seconds = (time.monotonic() - self.began) / self.done * (self.cells - self.done)
        return f"{timedelta(seconds=round(seconds))} left"


class Lines:
    """One line a finished cell, for logs and pipes."""

    def __init__(self, console: Console, titles: Mapping[str, str], cells: int, finished: int, total: int) -> None:
        self._console, self._clock = console, Clock(cells)
        self._finished, self._total = finished, total

    def event(self, event: Event) -> None:
        if event.kind == "crashed":
            self._console.print(f"  a process died and is tried again: {event.data}", markup=False, highlight=False)

    def ended(self, outcome: Outcome, line: str) -> None:
        if not line:
            return
        self._clock.done += 1
        self._finished += 1
        text = f"[{self._finished}/{self._total}] {line} ({outcome.seconds:.1f} s; {self._clock.left()})"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        pass


class Bars:
    """Bars: the study's cells, and each running cell's epochs with its loss."""

    def __init__(self, console: Console, titles: Mapping[str, str], cells: int, finished: int, total: int) -> None:
        self._console, self._titles, self._clock = console, titles, Clock(cells)
        self._study = Progress(
            TextColumn("[bold]cells"), BarColumn(bar_width=40), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        )
        self._running = Progress(
            SpinnerColumn(), BarColumn(bar_width=20), TextColumn("{task.description}", markup=False)
        )
        self._bar = self._study.add_task("", total=total, completed=finished, left="")
        self._rows: dict[str, TaskID] = {}
        self._live = Live(Group(self._study, self._running), console=console, refresh_per_second=8)
        self._live.start()

    def event(self, event: Event) -> None:
        title = self._titles[event.key]
        if event.kind == "started":
            self._rows[event.key] = self._running.add_task(title, total=None)
        elif event.kind == "crashed":
            self._running.remove_task(self._rows.pop(event.key))
        elif event.key in self._rows:
            self._running.update(self._rows[event.key], **_row(title, event.data))

    def ended(self, outcome: Outcome, line: str) -> None:
        if outcome.key in self._rows:
            self._running.remove_task(self._rows.pop(outcome.key))
        if line:
            self._clock.done += 1
            self._study.update(self._bar, advance=1, left=self._clock.left())
            self._live.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._live.stop()


def _row(title: str, data: Mapping[str, Any]) -> dict[str, Any]:
    if "epoch" in data:
        text = f"{title}: epoch {data['epoch']}/{data['epochs']}, loss {data['loss']:.3f}, {data['top1']:.1f} %"
        return {"description": text, "completed": data["epoch"], "total": data["epochs"]}
    return {"description": f"{title}: {data['stage']}"} if "stage" in data else {}


def display(console: Console, titles: Mapping[str, str], *, cells: int, finished: int, total: int) -> Display:
    """`cells` are to be computed now, `finished` of `total` were there before."""
    kind = Bars if console.is_terminal else Lines
    return kind(console, titles, cells, finished, total)
