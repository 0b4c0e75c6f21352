"""Work that is done in two processes: this one, and a copy of it that is made for the purpose."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO, NoReturn, TypeVar

T = TypeVar("T")
MOST = 256
"""Works that have a number of a byte."""


def in_two(works: Sequence[Callable[[], T]]) -> list[T]:
    """What each of these returns, in their order. They are at most `MOST`, and what they return can be pickled.

    This process takes the first one, and then each of the two the next that is left. What one of them keeps for itself
    the other does not have. All is done here where no copy can be made, and what the copy had taken where it is lost
    or one of its works raises.
    """
    done = _shared(works) if len(works) > 1 and _may_copy() else {}
    return [done[place] if place in done else work() for place, work in enumerate(works)]


def _shared(works: Sequence[Callable[[], T]]) -> dict[int, T]:
    """What the two of them have done, by its place; nothing where there may be no more processes or open files."""
    done: dict[int, T] = {}
    with contextlib.ExitStack() as held:
        try:
            turns, given = _pipe(held)
            answers, told = _pipe(held)
            given.write(bytes(range(len(works))))
            given.close()
            mine = _taken(turns)
            first = next(mine)
            gc.freeze()  # to look for garbage is to write on what the two share, which then is there twice
            held.callback(gc.unfreeze)
            caller = os.getpid()
            helper = _copy()
        except OSError:
            return done
        if not helper:
            answers.close()  # or it would wait for itself to read its answers, where nobody else does
            _help(works, turns, told, caller)
        try:
            told.close()
            for place in chain([first], mine):
                done[place] = works[place]()
            done |= _told(answers)
        finally:  # also where this process was interrupted
            with contextlib.suppress(ProcessLookupError):
                os.kill(helper, signal.SIGKILL)
            os.waitpid(helper, 0)
    return done


def _may_copy() -> bool:
    """Not of a process with threads, as what they hold would stay held; macOS, torch and ray have some of their own.
    Nor where nobody is told that a process has ended."""
    several = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1
    own = threading.active_count() == 1 and not {"torch", "ray"} & sys.modules.keys()
    return several and own and sys.platform == "linux" and signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def _copy() -> int:
    """`os.fork`."""
    with warnings.catch_warnings():
        # the threads of numpy's libraries, which end before a fork and begin again after it
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _pipe(held: contextlib.ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """Where to read and where to write; both are closed at the end of `held`."""
    read, write = os.pipe()
    return held.enter_context(open(read, "rb")), held.enter_context(open(write, "wb"))


def _taken(turns: BinaryIO) -> Iterator[int]:
    """The places that nobody has taken, until there are none."""
    while place := os.read(turns.fileno(), 1):
        yield place[0]


def _help(works: Sequence[Callable[[], T]], turns: BinaryIO, answers: BinaryIO, caller: int) -> NoReturn:
    """Nothing of the process that was copied happens twice: no exit handler, no traceback, no buffer written."""
    try:
        done = {}
        for place in _taken(turns):
            if os.getppid() != caller:  # nobody waits any more
                break
            done[place] = works[place]()
        pickle.dump(done, answers, pickle.HIGHEST_PROTOCOL)
        answers.close()
    finally:
        os._exit(0)


def _told(answers: BinaryIO) -> dict[int, T]:
    """What the copy has done; nothing where it is lost."""
    try:
        found: dict[int, T] = pickle.load(answers)
    except Exception:  # of whatever cannot be read back
        return {}
    return found
