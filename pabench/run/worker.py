"""The child's side of the `processes` engine: run one task, tell the runner, leave nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from typing import Any

from pabench.errors import ExhaustedError, Interrupted
from pabench.run.engine import Payload, limit_threads

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT_BYTES = 2**30
"""Blocks below this size, and as much free memory at the heap's end, stay with the process."""
MAX_MESSAGE = 64 * 1024
"""Characters of a traceback that are sent, its end: more than any of a plugin needs, and what a pipe holds."""


def main(function: str, payload: Payload, threads: int, runner: Connection, output: Connection) -> None:
    """Call the task's function in a session of its own, then exit at once, whatever threads it left running.

    Messages are JSON objects: {"progress": ...} any number of times, then {"done": true} or {"error": traceback,
    "kind": that of the outcome}. What it prints goes to `output`.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # from whoever sends it, as SIGTERM: it is tried again
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    _die_with_runner()
    limit_threads(threads)
    keep_memory()
    try:
        resolve_name(function)(payload, lambda data: send(runner, progress=data))
    except Interrupted:  # by whoever sent SIGTERM: the runner, which knows why, or another, and then it is tried again
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:  # SystemExit and KeyboardInterrupt of a plugin too
        kind = "oom" if isinstance(error, ExhaustedError) else "error"
        send(runner, error=traceback.format_exc()[-MAX_MESSAGE:], kind=kind)
    else:
        send(runner, done=True)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def keep_memory() -> None:
    """Keep what is freed for the next allocation, until `malloc_trim` gives it back (`scoring.meter` calls it).

    By itself glibc returns large blocks at once. Each step of a training then asks for thousands of pages again, and
    the kernel clears them first: a seventh of the time of a small convolutional network.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):  # not in musl
        for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            libc.mallopt(parameter, KEPT_BYTES)


def send(runner: Connection, **message: Any) -> None:
    """A message to the runner."""
    runner.send_bytes(json.dumps(message).encode())


def _die_with_runner() -> None:
    """Kill this session when the runner is gone, which closes the pipe of which it holds the other end.

    On Linux the kernel does it, since a thread cannot while native code holds the interpreter lock.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        pipe: int = parent.sentinel
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        parent.join()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="pabench-lifeline").start()
