"""Limits of tasks: what the suite states, else ten times an estimate that is made when it is needed."""

from __future__ import annotations

import math

from pabench.run.engine import Outcome, Task
from pabench.run.timeouts import limited, reason


def task(key="a"):
    return Task(key, key, "module:function")


def test_a_stated_limit_holds_for_every_task():
    assert [one.limit() for one in limited([task("a"), task("b")], 7200.0, lambda: 1 / 0)] == [7200, 7200]


def test_without_one_it_is_ten_times_the_estimate_and_ten_minutes_at_least():
    seconds = {"short": 3.0, "long": 100.0}
    short, long = limited([task("short"), task("long")], None, lambda: lambda one: seconds[one.key])

    assert (short.timeout, long.timeout) == (600, 600)  # nothing is estimated before
    assert (short.limit(), long.limit()) == (600, 1000)


def test_the_estimate_is_made_once_for_all_tasks_that_need_one():
    made = []
    tasks = limited([task("a"), task("b")], None, lambda: made.append(1) or (lambda one: 70.0))

    assert made == []
    assert [one.limit() for one in tasks] == [700, 700]
    assert made == [1]


def test_where_nothing_can_be_estimated_nothing_is_ended():
    (one,) = limited([task()], None, lambda: 1 / 0)

    assert one.limit() == math.inf


def test_a_limit_that_was_too_short_is_told_with_its_remedy():
    late = Outcome("a", False, "timeout", "ran longer than 600 s")

    assert reason(late) == "ran longer than 600 s; if it needs more, say timeout: SECONDS in the suite"
    assert reason(Outcome("a", False, "crash", "Traceback\nValueError: no")) == "ValueError: no"
