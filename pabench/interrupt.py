"""Ctrl-C once: stop in order. Twice: at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pabench.errors import Aborted


class Stop:
    """Set by the first SIGINT or SIGTERM; a second SIGINT ends everything at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def is_set(self) -> bool:
        return self.signal is not None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            raise Aborted
        self.signal = number
        os.write(2, b"\nstopping: running cells are ended, finished ones are kept (again: at once)\n")


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Signals set the flag while the block runs; outside of the main thread they are left alone."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
