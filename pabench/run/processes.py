"""The engine `processes`: one child process per task, with the runner's side of it from start to outcome."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import signal
import sys
import time
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from pabench.errors import PabenchError
from pabench.run import guard, worker
from pabench.run.engine import (
    ALONE,
    POLL_SECONDS,
    Claims,
    Event,
    OnEvent,
    Outcome,
    Schedule,
    StopFlag,
    Task,
    thread_variables,
)
from pabench.run.engines import gpus
from pabench.run.output import Log

PRELOAD = ("torch", "numpy.random", "pabench.run.warm")
AS_IN_RUNNER = re.compile(r"(torchvision|timm|pabench\.(data|diagnostics)\..*|pabench_criteria\..*)")
"""What not every study needs, and takes long to import, or long enough where every child does it: preloaded where the
runner, which has built the networks and found the data and plugins of all tasks, has imported it. No code of others."""
CHUNK = 2**20
"""Bytes of what a child printed that are taken at once."""


@dataclass(frozen=True)
class Processes:
    """One child process per task, forked from a server that has the modules of `preload` imported.

    A child that dies without saying that it is done is tried again, `attempts` times in all. One that memory was too
    short for is tried again once, alone, unless it was alone. A child that must end
    (timeout, stop) gets SIGTERM, and after `grace` seconds SIGKILL with all that it started. The server starts with
    the first task of the process and keeps its modules and its thread count; later engines can only lower or raise
    torch's.
    """

    preload: tuple[str, ...] = field(default_factory=lambda: (*filter(AS_IN_RUNNER.fullmatch, sys.modules), *PRELOAD))
    attempts: int = 3
    grace: float = 10.0

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
        schedule, attempts = Schedule(tasks, claims), Counter[str]()
        children: list[Child] = []
        try:
            while True:
                while not stop.is_set() and _room(children, workers):
                    if (task := schedule.next(idle=not children)) is None:
                        break
                    attempts[task.key] += 1
                    on_event(Event(task.key, "started", {"attempt": attempts[task.key]}))
                    alone = workers == 1 or schedule.alone(task)
                    task = gpus.placed(task, [child.task for child in children])
                    children.append(Child(task, attempts[task.key], threads, self.preload, alone=alone))
                yield from schedule.elsewhere()
                if not children and (stop.is_set() or not schedule.waits):
                    return
                wait(list(chain.from_iterable(child.ends for child in children)), POLL_SECONDS)
                for child in list(children):
                    if not child.receive(on_event):
                        child.keep_time(self.grace, stopped=stop.is_set())
                        continue
                    children.remove(child)
                    outcome = child.close(stopped=stop.is_set())
                    if schedule.settle(outcome, alone=child.alone, attempts=self.attempts, on_event=on_event):
                        yield outcome
        finally:
            for child in children:  # all at once, since each takes a moment to be gone
                child.kill()
            for child in children:
                child.close(stopped=True)


class Child:
    """A running task: its process, the pipe on which it reports, and why it is being ended, if it is."""

    def __init__(self, task: Task, attempt: int, threads: int, preload: tuple[str, ...], *, alone: bool) -> None:
        self.task = task
        self.attempt = attempt
        self.alone = alone
        self.reason: Literal["", "timeout", "error", "oom", "stopped"] = ""
        self.message = ""
        self.done = False
        self.kill_at: float | None = None
        self.limit = task.timeout
        self.oom_kills = _oom_kills()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pabench.run.server", *preload])
        self.pipe, childs_end = context.Pipe(duplex=False)
        self.output, printing = context.Pipe(duplex=False)
        self.log = Log(task.log) if task.log else None
        self.process = context.Process(
            target=guard.main if task.guarded else worker.main,
            args=(task.function, {**task.payload, "alone": alone}, threads, childs_end, printing),
            name=task.title,
        )
        self.started = time.monotonic()
        try:
            with thread_variables(threads), _hidden_main():
                self.process.start()
        except (OSError, EOFError) as error:
            raise PabenchError(
                f"the server of worker processes died ({error!r}); expected it to import {', '.join(preload)}: "
                "try these imports by hand"
            ) from error
        childs_end.close()
        printing.close()
        assert self.process.pid is not None  # it has been started
        self.group = self.process.pid  # that of its guard, until the guard says otherwise

    @property
    def ends(self) -> list[Connection | int]:
        """What becomes readable when there is news."""
        return [self.process.sentinel, *(end for end in (self.pipe, self.output) if not end.closed)]

    def receive(self, on_event: OnEvent) -> bool:
        """Take all that the child has sent; True if it has ended, and then there is no more."""
        ended = not self.process.is_alive()
        self._drain()
        try:
            while not self.pipe.closed and self.pipe.poll():
                message = json.loads(self.pipe.recv_bytes())
                if "group" in message:
                    self.group = int(message["group"])
                elif "progress" in message:
                    on_event(Event(self.task.key, "progress", message["progress"]))
                elif "done" in message:
                    self.done = True
                elif not self.reason:
                    self.reason, self.message = message["kind"], message["error"]
        except (EOFError, OSError, ValueError, KeyError, TypeError):  # it died in mid-message, or a plugin wrote there
            self.pipe.close()
        return ended

    def _drain(self) -> None:
        """Take a part of what the child has printed."""
        if self.output.closed or not self.output.poll():
            return
        if not (data := os.read(self.output.fileno(), CHUNK)):
            self.output.close()
        elif self.log:
            self.log.add(data)

    def keep_time(self, grace: float, *, stopped: bool) -> None:
        """End the child when it is over time or the run is stopped: SIGTERM first, SIGKILL after the grace."""
        now = time.monotonic()
        if self.kill_at is not None:
            if now > self.kill_at:
                self.kill()
            return
        if self.done or self.reason:  # it is about to exit
            self.kill_at = now + grace
        elif self._late(now):
            self._terminate("timeout", f"ran longer than {self.limit:g} s", now + grace)
        elif stopped:
            self._terminate("stopped", "was running when the run was stopped", now + grace)

    def _late(self, now: float) -> bool:
        """Whether it has taken longer than it may; what only an estimate tells is asked for when it matters."""
        if self.limit is None or now - self.started <= self.limit:
            return False
        if self.limit == self.task.timeout:
            self.limit = self.task.limit() or self.limit
        return time.monotonic() - self.started > self.limit

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def close(self, *, stopped: bool) -> Outcome:
        """The outcome of a child that has ended or was killed; whatever it started is killed too."""
        self.process.join(5)  # it has ended, or was sent SIGKILL: longer means uninterruptible sleep
        if not self.task.guarded:  # a guard has done so
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.group, signal.SIGKILL)
        exitcode = self.process.exitcode
        while not self.output.closed and self.output.poll():
            self._drain()
        self.output.close()
        if self.log:
            self.log.close()
        self.pipe.close()
        with contextlib.suppress(ValueError):  # in uninterruptible sleep even now
            self.process.close()
        kind: Any = self.reason or ("stopped" if stopped else "crash")
        message = self.message or f"{cause(exitcode)} before it was done"
        if kind == "crash" and exitcode == -signal.SIGKILL and _oom_kills() > self.oom_kills:
            kind, message = "oom", f"{message}, while the kernel's out-of-memory killer was at work"
        if self.done:
            kind, message = "", ""
        seconds = time.monotonic() - self.started
        return Outcome(self.task.key, self.done, kind, message, self.attempt, seconds, exitcode)

    def _terminate(self, reason: Literal["timeout", "stopped"], message: str, kill_at: float) -> None:
        self.reason, self.message, self.kill_at = reason, message, kill_at
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        """To all the child has started, or to it alone as long as it has not made its own session."""
        try:
            os.killpg(self.group, number)
        except ProcessLookupError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.group, number)


def _room(children: list[Child], workers: int) -> bool:
    """Whether one more task may run beside these."""
    return len(children) < workers and not (children and children[-1].alone)


def cause(exitcode: int | None) -> str:
    """How a process ended.

    >>> cause(-11), cause(0)
    ('killed by signal 11 (SIGSEGV)', 'exited with code 0')
    """
    if exitcode is None or exitcode >= 0:
        return f"exited with code {exitcode}"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = "unnamed"
    return f"killed by signal {-exitcode} ({name})"


def _oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory; 0 where it does not say."""
    with contextlib.suppress(OSError), open("/proc/vmstat") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    return 0


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Children must not run the runner's script again, which multiprocessing would have them do."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
