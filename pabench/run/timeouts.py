"""How long tasks may take before they are ended: as the suite says, else ten times what they are estimated to take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from pabench.run.engine import Outcome, Task
from pabench.words import one_line

LEAST_SECONDS = 600.0
"""Nothing is ended before, whatever the estimate: an estimate of something short is off by a lot on a busy machine."""
TIMES = 10


def limited(tasks: Iterable[Task], stated: float | None, clock: Callable[[], Callable[[Task], float]]) -> list[Task]:
    """The tasks with their limits: `stated` seconds for each, or by the estimate of the function that `clock` gives.

    Few tasks ever need an estimate, which may take timing some steps: it is made for those that have run for
    `LEAST_SECONDS`, and by then there are records of others like them.
    """
    estimate = cache(clock)

    def longer(task: Task) -> float:
        try:
            return TIMES * estimate()(task)
        except Exception:  # of a plugin, a device, data: whoever cannot tell how long something takes ends nothing
            return math.inf

    if stated is not None:
        return [replace(task, timeout=stated) for task in tasks]
    return [replace(task, timeout=LEAST_SECONDS, longer=longer) for task in tasks]


def reason(outcome: Outcome) -> str:
    """Why a task did not end by itself, in one line, with the remedy of a limit that was too short."""
    more = "; if it needs more, say timeout: SECONDS in the suite" if outcome.kind == "timeout" else ""
    return f"{one_line(outcome.reason)}{more}"
