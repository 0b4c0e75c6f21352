"""The interface of engines: they run tasks somewhere, know nothing of pruning, and never carry a result.

A task names its function and holds plain data, so it can cross any process border; results go to the store.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pkgutil import resolve_name
from typing import Any, Literal, Protocol

from pabench.errors import Interrupted

Payload = dict[str, Any]
Report = Callable[[dict[str, Any]], None]
POLL_SECONDS = 0.1
"""How often an engine that waits looks at the stop flag and the clocks: a signal does not interrupt the wait."""
LOOK_SECONDS = 1.0
"""How often it is looked whether another runner has ended its tasks."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Task:
    """One call of `function(payload, report)`; `report(dict)` sends plain progress data to the runner.

    `function` is "module:name", imported where the task runs; `payload` is what JSON can hold. `after` are keys of
    tasks that must have ended first, however they ended; keys of no task of the run count as ended. It may take
    `timeout` seconds; `longer`, where given, is asked once they have passed how many the task may take altogether.
    `kind` is for whoever made the tasks, and nothing to an engine. Tasks that are `like` each other need about the same
    memory: where one has run out of it, all of them run alone. The payload that its function gets says so: `alone` is
    whether no other task runs beside it.

    `gives` names what a task gives, where tasks of one key may give more or less: what another runner has ended has
    ended here if it gave all of it.

    `log` is the file that gets what the task prints, where an engine runs it in a process of its own; without one it
    is lost. `guarded`: it runs code of others, which may try to outlive it.
    """

    key: str
    title: str
    function: str
    payload: Payload = field(default_factory=dict)
    after: tuple[str, ...] = ()
    timeout: float | None = None
    longer: Callable[[Task], float] | None = None
    kind: str = ""
    like: str = ""
    log: str = ""
    guarded: bool = False
    gives: tuple[str, ...] = ()

    def limit(self) -> float | None:
        """The seconds that it may take altogether, for an engine that must know them beforehand."""
        return self.timeout if self.timeout is None or self.longer is None else max(self.timeout, self.longer(self))


@dataclass(frozen=True)
class Event:
    """News of a running task: it started, sent `data` with `report`, or crashed and will be tried again."""

    key: str
    kind: Literal["started", "progress", "crashed"]
    data: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a task ended. `kind` is "" if `ok`, otherwise

    crash (it died `attempts` times), oom (memory ran out, and again when it ran alone), timeout,
    error (its function raised; `message` is the traceback), stopped (it was running when the run was stopped).
    """

    key: str
    ok: bool
    kind: Literal["", "crash", "oom", "timeout", "error", "stopped"] = ""
    message: str = ""
    attempts: int = 1
    seconds: float = 0.0
    exitcode: int | None = None  # of the last attempt; negative: killed by that signal
    elsewhere: bool = False  # another runner has ended it, however it ended

    @property
    def lost(self) -> bool:
        """Whether it ended otherwise than by itself or by who stopped the run: somebody must say so in its place."""
        return not self.ok and self.kind != "stopped"

    @property
    def reason(self) -> str:
        """Why it is not ok, in one line: the last of its message."""
        lines = self.message.strip().splitlines()
        return lines[-1] if lines else "the process ended without a record"


OnEvent = Callable[[Event], None]


class StopFlag(Protocol):
    """A `threading.Event`, or anything that can be asked like one."""

    def is_set(self) -> bool: ...


class Claims(Protocol):
    """Who runs which task, where several runners may have the same ones. An engine hands it to its `Schedule`."""

    def claim(self, task: Task) -> Literal["ours", "theirs", "ended"]:
        """Ask before a task is started. Ours: start it, nobody else will. Theirs: another runs it; ask again later.
        Ended: another has ended it."""
        ...

    def tell(self, event: Event) -> None:
        """What others may know of a task of ours."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """What became of a task of ours has been written down."""
        ...


class Alone:
    """There is no other runner."""

    def claim(self, _task: Task) -> Literal["ours", "theirs", "ended"]:
        return "ours"

    def tell(self, event: Event) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


ALONE = Alone()


class Engine(Protocol):
    """Runs tasks in the given order, as far as `after` allows, and yields each one's outcome when it ends.

    At most `workers` at a time, each computing with `threads` threads. `on_event` is called in the runner's thread.
    Once `stop` is set nothing is started, what runs is ended, and the iterator ends; closing the iterator early ends
    everything at once. ValueError if two tasks have one key or wait for each other. A task that another runner has by
    `claims` is waited for, and its outcome is `elsewhere`.
    """

    def run(
        self,
        tasks: Iterable[Task],
        *,
        workers: int,
        threads: int,
        on_event: OnEvent,
        stop: StopFlag,
        claims: Claims = ALONE,
    ) -> Iterator[Outcome]: ...


class Schedule:
    """Which task is next: the first of the given order whose predecessors have ended, and last those that run alone.

    Of the tasks that `next` gives no other runner has any. An engine yields the outcomes of `elsewhere` beside its own,
    and is not at its end while the schedule `waits`: what another runner has now may be ours if that one is killed.
    """

    def __init__(self, tasks: Iterable[Task], claims: Claims = ALONE) -> None:
        self._claims = claims
        self._theirs: list[str] = []
        self._look_at = 0.0
        self._elsewhere: list[Outcome] = []
        self._tasks: dict[str, Task] = {}
        for task in tasks:
            if task.key in self._tasks:
                raise ValueError(f"two tasks have the key {task.key}")
            self._tasks[task.key] = task
        self._rank = {key: rank for rank, key in enumerate(self._tasks)}
        self._graph = TopologicalSorter[str]()
        for task in self._tasks.values():
            self._graph.add(task.key, *(key for key in task.after if key in self._tasks))
        try:
            self._graph.prepare()
        except CycleError as error:
            raise ValueError(f"tasks wait for each other: {' -> '.join(error.args[1])}") from None
        self._ready: list[tuple[int, str]] = []
        self._waiting: list[tuple[int, str]] = []  # until nothing else runs
        self._alone: set[str] = set()
        self._admit()

    def next(self, *, idle: bool = True) -> Task | None:
        """Take the next task out; None while there is none that may start. `idle`: no other task is running."""
        self._look_again()
        while (task := self._candidate(idle)) is not None:
            whose = self._claims.claim(task)
            if whose == "ours":
                return task
            if whose == "theirs":
                self._theirs.append(task.key)
            else:
                self._elsewhere.append(Outcome(task.key, ok=True, elsewhere=True))
                self.ended(task.key)
        return None

    @property
    def waits(self) -> bool:
        """Whether there are tasks that another runner has."""
        return bool(self._theirs)

    def elsewhere(self) -> Iterator[Outcome]:
        """Of the tasks that another runner has ended, those that were not given before."""
        found, self._elsewhere = self._elsewhere, []
        yield from found

    def alone(self, task: Task) -> bool:
        """Whether no other task may run beside it."""
        return (task.like or task.key) in self._alone

    def again(self, key: str) -> None:
        """Put a task back that was taken out."""
        heapq.heappush(self._ready, (self._rank[key], key))

    def again_alone(self, key: str) -> None:
        """Put a task back for which memory was short; those like it run alone from now on."""
        self._alone.add(self._tasks[key].like or key)
        self.again(key)

    def ended(self, key: str) -> None:
        self._graph.done(key)
        self._admit()

    def settle(self, outcome: Outcome, *, alone: bool, attempts: int, on_event: OnEvent) -> bool:
        """Whether a task has ended with this outcome; else it is put back, and `on_event` hears why.

        One that crashed is tried `attempts` times in all, and one that memory was too short for once more, alone,
        unless it was `alone`.
        """
        crowded = outcome.kind == "oom" and not alone
        if crowded or (outcome.kind == "crash" and outcome.attempts < attempts):
            on_event(Event(outcome.key, "crashed", {"attempt": outcome.attempts, "message": outcome.reason}))
            (self.again_alone if crowded else self.again)(outcome.key)
            return False
        self.ended(outcome.key)
        return True

    def _candidate(self, idle: bool) -> Task | None:
        while self._ready:
            rank, key = heapq.heappop(self._ready)
            if not self.alone(self._tasks[key]):
                return self._tasks[key]
            heapq.heappush(self._waiting, (rank, key))
        return self._tasks[heapq.heappop(self._waiting)[1]] if idle and self._waiting else None

    def _look_again(self) -> None:
        """Once in a while, ask again for the tasks that another runner has."""
        if self._theirs and time.monotonic() >= self._look_at:
            theirs, self._theirs = self._theirs, []
            for key in theirs:
                self.again(key)
            self._look_at = time.monotonic() + LOOK_SECONDS

    def _admit(self) -> None:
        for key in self._graph.get_ready():
            self.again(key)


class Inline:
    """Runs each task in this process, one after another: for debuggers and tests. A task can take it down."""

    def run(
        self,
        tasks: Iterable[Task],
        *,
        workers: int,
        threads: int,
        on_event: OnEvent,
        stop: StopFlag,
        claims: Claims = ALONE,
    ) -> Iterator[Outcome]:
        schedule = Schedule(tasks, claims)
        with thread_variables(threads):
            limit_threads(threads)
        while not stop.is_set():
            task = schedule.next()
            yield from schedule.elsewhere()
            if task is None:
                if not schedule.waits:
                    return
                time.sleep(POLL_SECONDS)
                continue
            on_event(Event(task.key, "started", {"attempt": 1}))
            report = _reporter(task.key, on_event)
            start, error = time.monotonic(), ""
            try:
                resolve_name(task.function)({**task.payload, "alone": True}, report)
            except Interrupted as interrupted:
                if not stop.is_set():
                    raise
                message = f"was ended by {interrupted}"
                yield Outcome(task.key, False, "stopped", message, seconds=time.monotonic() - start)
                return
            except (Exception, SystemExit):  # of a plugin; Ctrl-C is for the runner
                error = traceback.format_exc()
            schedule.ended(task.key)
            seconds = time.monotonic() - start
            yield Outcome(task.key, not error, "error" if error else "", error, seconds=seconds)


def _reporter(key: str, on_event: OnEvent) -> Report:
    return lambda data: on_event(Event(key, "progress", json.loads(json.dumps(data))))


def limit_threads(threads: int) -> None:
    """Compute with this many threads: in libraries that are loaded already, and in those that will be."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


@contextlib.contextmanager
def thread_variables(threads: int) -> Iterator[None]:
    """For what is started meanwhile: the thread pools of many libraries are made when they are imported."""
    before = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name in THREAD_VARIABLES:
            del os.environ[name]
        os.environ.update(before)
