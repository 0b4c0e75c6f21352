"""The engine `ray`: each attempt is a task of Ray, which finds cores and a share of a GPU for it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from pabench.errors import MissingError, PabenchError
from pabench.parameters import PositiveFloat
from pabench.run.engine import POLL_SECONDS, Event, Outcome
from pabench.run.engines import gpus
from pabench.run.engines.cluster import Attempt, Cluster, Queue
from pabench.run.processes import Child

OBJECTS = 100 * 2**20
"""Bytes of shared memory of a local Ray: results go to the store, and nothing large through Ray."""
PATIENCE = 0.5
"""Seconds that news is waited for, before the stop flag is looked at again."""


@dataclass(frozen=True, kw_only=True)
class Ray(Cluster):
    """Cells as tasks of Ray: of the cluster at `address`, or at $RAY_ADDRESS, or of a local one that it starts.

    `gpus` is the share of a GPU of each cell that computes on one. Ray retries nothing: the attempts are counted here,
    as with every engine.
    """

    address: str = ""
    gpus: PositiveFloat = 0.5

    def queue(self) -> RayQueue:
        try:
            import ray
        except ImportError as error:
            raise MissingError("--engine ray: Ray is not installed; pip install 'pabench[ray]'") from error
        if not ray.is_initialized():
            _connect(self.address)
        return RayQueue(self)


def _connect(address: str) -> None:
    """Join a cluster, or start one of this machine, which ends with this process."""
    import ray

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a benchmark reports to nobody
    address = address or os.environ.get("RAY_ADDRESS", "")
    local = {"address": "local", "include_dashboard": False, "object_store_memory": OBJECTS}
    how: dict[str, Any] = {"address": address} if address else local
    try:
        ray.init(log_to_driver=False, logging_level="error", **how)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PabenchError(f"--engine ray: no cluster at {address or 'this machine'}: {error}") from error
    finally:
        for number, handler in before.items():  # Ray takes SIGTERM for itself, and a run stops in order by it
            signal.signal(number, handler)


@dataclass
class RayQueue(Queue):
    """Attempts that Ray has been given, by the stream of what each says."""

    engine: Ray
    streams: dict[Any, Attempt] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # on the machine of the runner: lost with it, and with no other
        self.bell = ray.remote(Bell).options(num_cpus=0, scheduling_strategy=here).remote()
        self.rung = self.bell.wait.remote()
        self.attend = ray.remote(attend)
        self.stopped = False

    def submit(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            how = self._resources(attempt)
            options = {"max_retries": 0, "num_returns": "streaming", "name": attempt.task.title, **how}
            # in a list the reference is handed on, not waited for
            stream = self.attend.options(**options).remote(attempt, self.engine.preload, self.engine.grace, [self.rung])
            self.streams[stream] = attempt

    def _resources(self, attempt: Attempt) -> dict[str, float]:
        """What Ray keeps free for it: of a machine or a GPU that it needs for itself, everything."""
        import ray

        if gpus.wanted(attempt.task):
            return {"num_cpus": attempt.threads, "num_gpus": 1 if attempt.alone else self.engine.gpus}
        if not attempt.alone:
            return {"num_cpus": attempt.threads}
        return {"num_cpus": max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])}

    def news(self) -> Iterator[Event | Outcome]:
        import ray

        streams = list(self.streams)
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        if not ready:
            ready, _ = ray.wait(streams, timeout=PATIENCE)
        for stream in ready:
            key = self.streams[stream].task.key
            try:
                news = ray.get(next(stream))
            except (ray.exceptions.RayError, StopIteration) as error:
                news = self._lost(key, error)
            if isinstance(news, Event):
                self.started.add(key)
            else:
                del self.streams[stream]
                self.started.discard(key)
            yield news

    def _lost(self, key: str, error: Exception) -> Outcome:
        """Of an attempt whose worker or machine is gone, or that was withdrawn."""
        import ray

        message = str(error).strip()
        if not isinstance(error, ray.exceptions.RayTaskError):  # whose last line tells; of others the first sentence
            message = message.partition("\n")[0].partition(". ")[0]
        if isinstance(error, ray.exceptions.OutOfMemoryError):
            return Outcome(key, False, "oom", message)
        if self.stopped:
            return Outcome(key, False, "stopped", "was withdrawn when the run was stopped")
        return Outcome(key, False, "crash", message)

    def stop(self) -> None:
        import ray

        self.stopped = True
        self.bell.ring.remote()
        for stream, attempt in self.streams.items():
            if attempt.task.key not in self.started:
                ray.cancel(stream)

    def close(self) -> None:
        import ray

        for stream in self.streams:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.cancel(stream, force=True)
        ray.kill(self.bell)


class Bell:
    """Rings when the run is stopped: what `wait` returns is there from then on, for all who look."""

    def __init__(self) -> None:
        import asyncio

        self.rung = asyncio.Event()

    async def wait(self) -> None:
        await self.rung.wait()

    async def ring(self) -> None:
        self.rung.set()


def attend(attempt: Attempt, preload: tuple[str, ...], grace: float, rung: list[Any]) -> Iterator[Event | Outcome]:
    """In a worker of Ray: run a task in a child, and say what it says, last its outcome.

    The child ends with the worker, and the worker with the runner.
    """
    yield Event(attempt.task.key, "started", {})
    said: list[Event] = []
    child = Child(attempt.task, attempt.number, attempt.threads, preload, alone=attempt.alone)
    stop, over = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(rung, stop, over), daemon=True).start()
    try:
        while not child.receive(said.append):
            child.keep_time(grace, stopped=stop.is_set())
            while said:
                yield said.pop(0)
            wait(child.ends, POLL_SECONDS)
    except BaseException:
        child.kill()
        child.close(stopped=True)
        raise
    finally:
        over.set()
    while said:  # Ray talks to the iterator that it is given: no `yield from`
        yield said.pop(0)
    yield child.close(stopped=stop.is_set())


def _listen(rung: list[Any], stop: threading.Event, over: threading.Event) -> None:
    """Set `stop` when the bell has rung. In a thread of its own: while the main thread of a task waits for something,
    were it for no time at all, Ray gives the cores of the task to others."""
    import ray

    while not (over.is_set() or stop.is_set()):
        if ray.wait(rung, timeout=PATIENCE)[0]:
            stop.set()
