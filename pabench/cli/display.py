"""What a run shows while it goes, a live display in a terminal and plain lines elsewhere; and how it is stopped.

Ctrl-C once: stop in order. Twice: at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

from pabench.cli.terminal import leave, say
from pabench.errors import Aborted
from pabench.run.engine import Event, Outcome
from pabench.store.quality import told
from pabench.words import count, one_line, plain

SILENT_SECONDS = 10.0
"""After the last cell: what is left to be measured is told when so long nothing was."""


class Screen(Console):
    """Of rich, on stdout; where nobody reads on, it ends the command as `say` does."""

    def on_broken_pipe(self) -> None:
        leave()


def display(
    titles: Mapping[str, str], cells: int, finished: int, total: int, elsewhere: Callable[[], int] = lambda: 0
) -> Lines:
    """Bars where the terminal can move them and has their signs, else lines."""
    screen = Screen()
    live = screen.is_terminal and not screen.is_dumb_terminal and not screen.options.ascii_only
    return (Bars if live else Lines)(titles, cells, finished, total, elsewhere)


class Lines:
    """One line a finished cell, for logs and pipes. `cells` are to be computed, `finished` of `total` were before, and
    other runners are at work on `elsewhere()`."""

    def __init__(
        self, titles: Mapping[str, str], cells: int, finished: int, total: int, elsewhere: Callable[[], int] = lambda: 0
    ) -> None:
        self._titles = {key: plain(title) for key, title in titles.items()}
        self._cells, self._finished, self._total = cells, finished, total
        self._elsewhere = elsewhere
        self._done, self._open = 0, len(titles)
        self._began = self._said = time.monotonic()

    def event(self, event: Event) -> None:
        if event.kind == "crashed":
            say(f"  tried again: {self._titles[event.key]}: {one_line(event.data['message'])}")

    def ended(self, outcome: Outcome, line: str) -> None:
        """A task ended; the line of a cell, or "" where it was none."""
        self._open -= 1
        if line:
            what = "another run" if outcome.elsewhere else f"{outcome.seconds:.1f} s"
            told = [what, self._left(), others(self._elsewhere())]
            self._say(f"[{self._finished + self._done}/{self._total}] {line} ({'; '.join(filter(None, told))})")
        elif self._rest() and time.monotonic() - self._said >= SILENT_SECONDS:
            self._say(self._rest())

    def close(self) -> None:
        pass

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        say(line)

    def _rest(self) -> str:
        """What is to be done after the last cell; "" before, and when all is done."""
        if self._done < self._cells or not self._open:
            return ""
        return f"metrics: {count(self._open, 'measurement')} to go"

    def _left(self) -> str:
        """Time left when one more cell has ended, from the pace of those that ended in this run."""
        self._done += 1
        seconds = (time.monotonic() - self._began) / self._done * (self._cells - self._done)
        return f"{timedelta(seconds=round(seconds))} left"


class Elsewhere(ProgressColumn):
    """How many tasks other runners are at work on."""

    def __init__(self, elsewhere: Callable[[], int]) -> None:
        super().__init__()
        self._elsewhere = elsewhere

    def render(self, task: Any) -> Text:
        return Text(others(self._elsewhere()))


def others(n: int) -> str:
    """What other runners do, in words; nothing where they do nothing."""
    return f"other runs compute {n}" if n else ""


class Bars(Lines):
    """For a terminal: a bar of the study's cells, and one of each running cell's epochs with its loss."""

    def __init__(
        self, titles: Mapping[str, str], cells: int, finished: int, total: int, elsewhere: Callable[[], int] = lambda: 0
    ) -> None:
        super().__init__(titles, cells, finished, total, elsewhere)
        self._study = Progress(
            TextColumn("[bold]cells"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            Elsewhere(elsewhere),
        )
        self._running = Progress(
            SpinnerColumn(), BarColumn(bar_width=20), TextColumn("{task.description}", markup=False)
        )
        self._bar = self._study.add_task("", total=total, completed=finished, left="")
        self._rows: dict[str, TaskID] = {}
        self._live = Live(Group(self._study, self._running), console=Screen(), refresh_per_second=8)
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
        self._open -= 1
        if outcome.key in self._rows:
            self._running.remove_task(self._rows.pop(outcome.key))
        if line:
            self._study.update(self._bar, advance=1, left=self._left())
            self._live.console.print(plain(line), markup=False, highlight=False)
        if rest := self._rest():
            self._study.update(self._bar, left=rest)

    def close(self) -> None:
        self._live.stop()


def _row(title: str, data: Mapping[str, Any]) -> dict[str, Any]:
    if "epoch" in data:
        quality = f"{data['top1']:.1f} %" if "top1" in data else told(data)
        text = f"{title}: epoch {data['epoch']}/{data['epochs']}, loss {data['loss']:.3f}, {quality}"
        return {"description": text, "completed": data["epoch"], "total": data["epochs"]}
    # a stage may be a title that a plugin gives to its metric
    return {"description": f"{title}: {one_line(data['stage'])}"} if "stage" in data else {}


class Stop:
    """Set by the first SIGINT, SIGTERM or SIGHUP (the terminal is closed); a second one ends everything at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def is_set(self) -> bool:
        return self.signal is not None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            raise Aborted
        self.signal = number
        with suppress(OSError):  # the terminal may be gone
            os.write(2, b"\nstopping: running cells are ended, finished ones are kept (again: at once)\n")


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Signals set the flag while the block runs; outside of the main thread they are left alone."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
