"""What the engines of several machines have in common: the loop that hands attempts to a queue and hears of them."""

from __future__ import annotations

import abc
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pabench.parameters import NonNegativeFloat, PositiveInt
from pabench.run.engine import ALONE, POLL_SECONDS, Claims, Event, OnEvent, Outcome, Schedule, StopFlag, Task
from pabench.run.processes import Processes

AT_ONCE = 1000
"""Tasks that a cluster is given at once, where nobody says how many: its own queue decides what runs. Slurm takes as
many in one array by default."""


@dataclass(frozen=True)
class Attempt:
    """A task that is to be tried once. `alone`: nothing else may run on its GPU, or without one on its machine."""

    task: Task
    number: int
    threads: int
    alone: bool


class Queue(abc.ABC):
    """A connection to a cluster, of one run."""

    @abc.abstractmethod
    def submit(self, attempts: Sequence[Attempt]) -> None: ...

    @abc.abstractmethod
    def news(self) -> Iterator[Event | Outcome]:
        """What has happened since; waits a moment where nothing has. Each attempt has one outcome in the end, also one
        whose machine is gone."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Have what runs end in order, within its grace, and withdraw the rest."""

    @abc.abstractmethod
    def close(self) -> None:
        """End everything at once that has not ended."""


@dataclass(frozen=True, kw_only=True)
class Cluster(abc.ABC):
    """Runs tasks on other machines, each in a child process there, as the engine `processes` does on this one.

    `cpus` are the cores of each cell, and its threads. A
    task whose process, or whose machine, is gone is tried again, `attempts` times in all. What must end gets SIGTERM,
    and SIGKILL after `grace` seconds.
    """

    cpus: PositiveInt = 1
    attempts: PositiveInt = 3
    grace: NonNegativeFloat = 30.0
    preload: tuple[str, ...] = field(default_factory=lambda: Processes().preload)

    @abc.abstractmethod
    def queue(self) -> Queue: ...

    def script(self, tasks: Iterable[Task], *, threads: int) -> str:
        """What would be submitted first for these tasks, where that is a script."""
        return ""

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
        schedule, tried = Schedule(tasks, claims), Counter[str]()
        running: dict[str, Attempt] = {}
        queue: Queue | None = None
        stopped = False
        try:
            while True:
                new = []
                # what must run alone waits until all else is given away, not until it has ended: the cluster sees to it
                while not stop.is_set() and len(running) < workers and (task := schedule.next()):
                    tried[task.key] += 1
                    alone = workers == 1 or schedule.alone(task)
                    known = replace(task, timeout=task.limit(), longer=None)  # what can be asked here alone
                    running[task.key] = Attempt(known, tried[task.key], threads, alone)
                    new.append(running[task.key])
                yield from schedule.elsewhere()
                if not running:
                    if stop.is_set() or not schedule.waits:
                        return
                    time.sleep(POLL_SECONDS)
                    continue
                queue = queue or self.queue()
                if new:
                    queue.submit(new)
                if stop.is_set() and not stopped:
                    queue.stop()
                    stopped = True
                for news in queue.news():
                    if isinstance(news, Event):
                        first = news.kind == "started"
                        on_event(replace(news, data={"attempt": tried[news.key]}) if first else news)
                        continue
                    attempt = running.pop(news.key)
                    outcome = replace(news, attempts=attempt.number)
                    if schedule.settle(outcome, alone=attempt.alone, attempts=self.attempts, on_event=on_event):
                        yield outcome
        finally:
            if queue:
                queue.close()
