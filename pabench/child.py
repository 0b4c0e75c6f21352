"""The runner's side of one task of the `processes` engine: its child process, from start to outcome."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Literal

from pabench import worker
from pabench.engine import Event, Outcome, Task
from pabench.errors import PabenchError


class Child:
    """A running task: its process, the pipe on which it reports, and why it is being ended, if it is."""

    def __init__(self, task: Task, threads: int, preload: tuple[str, ...]) -> None:
        self.task = task
        self.reason: Literal["", "timeout", "error", "stopped"] = ""
        self.message = ""
        self.done = False
        self.kill_at: float | None = None
        self.oom_kills = _oom_kills()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(preload))
        self.pipe, childs_end = context.Pipe(duplex=False)
        self.process = context.Process(
            target=worker.main, args=(task.function, task.payload, threads, childs_end), name=task.title
        )
        self.started = time.monotonic()
        try:
            with worker.thread_variables(threads), _hidden_main():
                self.process.start()
        except (OSError, EOFError) as error:
            raise PabenchError(
                f"the server of worker processes died ({error!r}); expected it to import {', '.join(preload)}: "
                "try these imports by hand"
            ) from error
        childs_end.close()

    @property
    def ends(self) -> list[Connection | int]:
        """What becomes readable when there is news."""
        return [self.process.sentinel] if self.pipe.closed else [self.process.sentinel, self.pipe]

    def receive(self, on_event: Callable[[Event], None]) -> bool:
        """Take all that the child has sent; True if it has ended, and then there is no more."""
        ended = not self.process.is_alive()
        try:
            while not self.pipe.closed and self.pipe.poll():
                message = json.loads(self.pipe.recv_bytes())
                if "progress" in message:
                    on_event(Event(self.task.key, "progress", message["progress"]))
                elif "done" in message:
                    self.done = True
                elif not self.reason:
                    self.reason, self.message = "error", message["error"]
        except (EOFError, OSError, ValueError, KeyError, TypeError):  # it died in mid-message, or a plugin wrote there
            self.pipe.close()
        return ended

    def keep_time(self, grace: float, *, stopped: bool) -> None:
        """End the child when it is over time or the run is stopped: SIGTERM first, SIGKILL after the grace."""
        now = time.monotonic()
        if self.kill_at is not None:
            if now > self.kill_at:
                self.kill()
            return
        timeout = self.task.timeout
        if self.done or self.reason:  # it is about to exit
            self.kill_at = now + grace
        elif timeout is not None and now - self.started > timeout:
            self._terminate("timeout", f"ran longer than {timeout:g} s", now + grace)
        elif stopped:
            self._terminate("stopped", "was running when the run was stopped", now + grace)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def close(self, attempts: int, *, stopped: bool) -> Outcome:
        """The outcome of a child that has ended or was killed; whatever it started is killed too."""
        self.process.join(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        exitcode = self.process.exitcode
        self.pipe.close()
        with contextlib.suppress(ValueError):  # in uninterruptible sleep even now
            self.process.close()
        kind: Any = self.reason or ("stopped" if stopped else "crash")
        message = self.message or f"{_cause(exitcode)} before it was done"
        if kind == "crash" and exitcode == -signal.SIGKILL and _oom_kills() > self.oom_kills:
            kind, message = "oom", f"{message}, while the kernel's out-of-memory killer was at work"
        if self.done:
            kind, message = "", ""
        seconds = time.monotonic() - self.started
        return Outcome(self.task.key, self.done, kind, message, attempts, seconds, exitcode)

    def _terminate(self, reason: Literal["timeout", "stopped"], message: str, kill_at: float) -> None:
        self.reason, self.message, self.kill_at = reason, message, kill_at
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        """To all the child has started, or to it alone as long as it has not made its own session."""
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    @property
    def _pid(self) -> int:
        assert self.process.pid is not None  # it has been started
        return self.process.pid


def _cause(exitcode: int | None) -> str:
    """How a process ended.

    >>> _cause(-11), _cause(0)
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
