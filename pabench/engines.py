"""The built-in engines: one child process per task, or everything in this process."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import ClassVar

from pabench import worker
from pabench.child import Child
from pabench.engine import Event, Outcome, Report, Schedule, StopFlag, Task, resolve

# How often the stop flag and the clocks are looked at, in seconds: a signal does not interrupt the wait for children.
POLL_SECONDS = 0.1
PRELOAD = ("torch", "torchvision", "timm", "pabench.worker", "pabench.run")


@dataclass(frozen=True)
class Inline:
    """Runs each task in this process, one after another: for debuggers and tests. A task can take it down."""

    name: ClassVar[str] = "inline"

    def run(
        self,
        tasks: Iterable[Task],
        *,
        workers: int,
        threads: int,
        on_event: Callable[[Event], None],
        stop: StopFlag,
    ) -> Iterator[Outcome]:
        schedule = Schedule(tasks)
        with worker.thread_variables(threads):
            worker.limit_threads(threads)
        while not stop.is_set() and (task := schedule.next()):
            on_event(Event(task.key, "started", {"attempt": 1}))
            report = _reporter(task.key, on_event)
            start, error = time.monotonic(), ""
            try:
                resolve(task.function)(task.payload, report)
            except (Exception, SystemExit):
                error = traceback.format_exc()
            schedule.ended(task.key)
            seconds = time.monotonic() - start
            yield Outcome(task.key, not error, "error" if error else "", error, seconds=seconds)


@dataclass(frozen=True)
class Processes:
    """One child process per task, forked from a server that has the modules of `preload` imported.

    A child that dies without saying that it is done is tried again, `attempts` times in all. A child that must end
    (timeout, stop) gets SIGTERM, and after `grace` seconds SIGKILL with all that it started. The server starts with
    the first task of the process and keeps its modules and its thread count; later engines can only lower or raise
    torch's.
    """

    preload: tuple[str, ...] = PRELOAD
    attempts: int = 3
    grace: float = 10.0
    name: ClassVar[str] = "processes"

    def run(
        self,
        tasks: Iterable[Task],
        *,
        workers: int,
        threads: int,
        on_event: Callable[[Event], None],
        stop: StopFlag,
    ) -> Iterator[Outcome]:
        schedule = Schedule(tasks)
        attempt: dict[str, int] = {}
        children: list[Child] = []
        try:
            while True:
                while not stop.is_set() and len(children) < workers and (task := schedule.next()):
                    attempt[task.key] = attempt.get(task.key, 0) + 1
                    on_event(Event(task.key, "started", {"attempt": attempt[task.key]}))
                    children.append(Child(task, threads, self.preload))
                if not children:
                    return
                wait([end for child in children for end in child.ends], POLL_SECONDS)
                for child in list(children):
                    if not child.receive(on_event):
                        child.keep_time(self.grace, stopped=stop.is_set())
                        continue
                    children.remove(child)
                    key = child.task.key
                    outcome = child.close(attempt[key], stopped=stop.is_set())
                    if outcome.kind in {"crash", "oom"} and attempt[key] < self.attempts:
                        on_event(Event(key, "crashed", {"attempt": attempt[key], "message": outcome.message}))
                        schedule.again(key)
                    else:
                        schedule.ended(key)
                        yield outcome
        finally:
            for child in children:
                child.kill()
            for child in children:
                child.close(attempt[child.task.key], stopped=True)


def _reporter(key: str, on_event: Callable[[Event], None]) -> Report:
    return lambda data: on_event(Event(key, "progress", json.loads(json.dumps(data))))
