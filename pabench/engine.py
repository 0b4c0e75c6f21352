"""The interface of engines: they run tasks somewhere, know nothing of pruning, and never carry a result.

A task names its function and holds plain data, so it can cross any process border; results go to the store.
"""

from __future__ import annotations

import heapq
import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, ClassVar, Literal, Protocol

Payload = dict[str, Any]
Report = Callable[[dict[str, Any]], None]
TaskFunction = Callable[[Payload, Report], object]


@dataclass(frozen=True)
class Task:
    """One call of `function(payload, report)`; `report(dict)` sends plain progress data to the runner.

    `function` is "module:name", imported where the task runs; `payload` is what JSON can hold. `after` are keys of
    tasks that must have ended first, however they ended; keys of no task of the run count as ended. `timeout` is in
    seconds.
    """

    key: str
    title: str
    function: str
    payload: Payload = field(default_factory=dict)
    after: tuple[str, ...] = ()
    timeout: float | None = None


@dataclass(frozen=True)
class Event:
    """News of a running task: it started, sent `data` with `report`, or crashed and will be tried again."""

    key: str
    kind: Literal["started", "progress", "crashed"]
    data: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a task ended. `kind` is "" if `ok`, otherwise

    crash (it died `attempts` times), oom (as crash, by the kernel's out-of-memory killer), timeout,
    error (its function raised; `message` is the traceback), stopped (it was running when the run was stopped).
    """

    key: str
    ok: bool
    kind: Literal["", "crash", "oom", "timeout", "error", "stopped"] = ""
    message: str = ""
    attempts: int = 1
    seconds: float = 0.0
    exitcode: int | None = None  # of the last attempt; negative: killed by that signal


class StopFlag(Protocol):
    """A `threading.Event`, or anything that can be asked like one."""

    def is_set(self) -> bool: ...


class Engine(Protocol):
    """Runs tasks in the given order, as far as `after` allows, and yields each one's outcome when it ends.

    At most `workers` at a time, each computing with `threads` threads. `on_event` is called in the runner's thread.
    Once `stop` is set nothing is started, what runs is ended, and the iterator ends; closing the iterator early ends
    everything at once. ValueError if two tasks have one key or wait for each other.
    """

    name: ClassVar[str]

    def run(
        self,
        tasks: Iterable[Task],
        *,
        workers: int,
        threads: int,
        on_event: Callable[[Event], None],
        stop: StopFlag,
    ) -> Iterator[Outcome]: ...


class Schedule:
    """Which task is next: the first of the given order whose predecessors have ended."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks: dict[str, Task] = {}
        for task in tasks:
            if task.key in self._tasks:
                raise ValueError(f"two tasks have the key {task.key}")
            self._tasks[task.key] = task
        self._rank = {key: rank for rank, key in enumerate(self._tasks)}
        self._graph = TopologicalSorter({t.key: [k for k in t.after if k in self._tasks] for t in self._tasks.values()})
        try:
            self._graph.prepare()
        except CycleError as error:
            raise ValueError(f"tasks wait for each other: {' -> '.join(error.args[1])}") from None
        self._ready: list[tuple[int, str]] = []
        self._admit()

    def next(self) -> Task | None:
        """Take the next task out; None while there is none that may start."""
        return self._tasks[heapq.heappop(self._ready)[1]] if self._ready else None

    def again(self, key: str) -> None:
        """Put a task back that was taken out."""
        heapq.heappush(self._ready, (self._rank[key], key))

    def ended(self, key: str) -> None:
        self._graph.done(key)
        self._admit()

    def _admit(self) -> None:
        for key in self._graph.get_ready():
            self.again(key)


def resolve(function: str) -> TaskFunction:
    """The function that "module:name" names."""
    module, _, name = function.partition(":")
    found: TaskFunction = getattr(importlib.import_module(module), name)
    return found
