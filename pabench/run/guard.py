"""A process between the fork server and a task that runs code of others: nothing that the task starts outlives it.

A process can leave its group and its session, but not its ancestors: whatever the task has started, and started from
there, becomes a child of the guard when the task has ended, and is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from pabench.run import worker
from pabench.run.engine import Payload

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(function: str, payload: Payload, threads: int, runner: Connection, output: Connection) -> None:
    """As `worker.main`, in a child, whose process id is the first message: {"group": ...}.

    The guard ends as the child has ended. Costs a fork, 17 ms of a process with torch: tasks that run no code of
    others have none.
    """
    os.setsid()
    _control(PR_SET_CHILD_SUBREAPER, 1)
    pid = os.fork()
    if pid == 0:
        _control(PR_SET_PDEATHSIG, signal.SIGKILL)  # a guard that is killed takes the task along
        worker.main(function, payload, threads, runner, output)
    worker.send(runner, group=pid)
    threading.Thread(target=_follow_runner, args=(pid,), daemon=True, name="pabench-guard").start()
    ended, status = 0, 0
    while ended != pid:
        ended, status = os.wait()
    _end_all()
    _end_as(status)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _follow_runner(pid: int) -> None:
    """Kill the task when the runner is gone: the guard itself goes on until nothing is left of it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _end_all() -> None:
    """Kill all children until there are none: those of a killed one become the guard's own."""
    with contextlib.suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:  # there are some, and all of them live
                for child in _children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                os.wait()


def _children() -> list[int]:
    """Process ids of this process's children, where the system tells of processes in /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # after the name, which may hold anything: state, parent
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def _end_as(status: int) -> None:
    """End with the exit code, or by the signal, that the task ended with; without a second core dump."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
