"""A stranger's code runs where it is trusted, in processes that judge nothing."""

from __future__ import annotations

import sys

import pytest

from pabench.errors import SuiteError
from pabench.leaderboard.verification import rederived, rerun
from pabench.leaderboard.verification.rederived import overlap
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify
from pabench.run.engine import Event, Task

from .looking import INLINE, TRUSTED, hostile, looked_at


def test_a_source_forged_throughout_gives_other_masks(forgery):
    forgery.source("steep", "w.abs()", "-w.abs()")
    folder = forgery.listing()

    found = verify(folder, 3, seed=1, where=Where(trust=("steep",)))

    assert [level.passed for level in found.levels] == [True, True, False]
    (only,) = found.levels[2].flaws
    assert "steep" in only.cell
    assert "0.0000 of the kept weights in common" in str(only)


def test_each_task_is_told_as_it_begins_with_the_time_that_is_left(submission, monkeypatch):
    looked_at(monkeypatch, "random", "snip")
    told = []

    verify(submission, 3, seed=1, where=Where(**INLINE, told=told.append))

    assert [(step.level, step.number, step.of) for step in told] == [(3, n + 1, len(told)) for n in range(len(told))]
    assert {step.title.split(" / ")[2].split()[0] for step in told} == {"random", "snip"}
    assert told[0].left is None
    assert all(step.left > 0 for step in told[1:])
    assert str(told[0]) == f"level 3: 1 of {len(told)}: {told[0].title}"


def test_time_left_is_that_of_the_pace_so_far(monkeypatch):
    monkeypatch.setattr(rerun.time, "monotonic", lambda: 100.0)
    told = []
    tell = rerun._steps(4, [Task(name, name, "") for name in "abc"], told.append)

    tell(Event("a", "started", {}))
    monkeypatch.setattr(rerun.time, "monotonic", lambda: 110.0)
    tell(Event("b", "started", {}))
    tell(Event("b", "crashed", {}))
    tell(Event("b", "started", {}))
    monkeypatch.setattr(rerun.time, "monotonic", lambda: 130.0)
    tell(Event("c", "started", {}))

    assert [(step.number, step.left) for step in told] == [(1, None), (2, 20.0), (2, 20.0), (3, 15.0)]


@pytest.mark.parametrize(
    ("theirs", "taken"),
    [([1, 1, 2], 1), ([2, 4, 4], 4), ([4, 4, 4], 4), ([8, 8, 1], 4), ([None, [1]], 4), ([0], 4), ([], 4)],
)
def test_as_many_threads_are_taken_as_most_of_the_records_had_where_there_are_so_many(theirs, taken, monkeypatch):
    monkeypatch.setattr(rerun, "threads", lambda workers: 4)
    records = [{"environment": {} if n is None else {"threads": n}} for n in theirs]

    assert rerun._threads(records) == taken


def test_code_of_a_submitter_runs_only_where_it_is_trusted_by_name(submission):
    found = verify(submission, 3, seed=1)

    (only,) = found.levels[2].flaws
    assert "go ahead with --trust steep" in only.found
    assert found.exit_code == 5
    assert not [name for name in sys.modules if name.startswith("pabench_plugin_steep")]


def test_code_that_rewrites_the_judge_judges_nothing(forgery, monkeypatch):
    """steep's scores are negated and its masks are not; it makes every comparison in its own process come out well."""
    forgery.source("steep", "w.abs()", "-w.abs()")
    folder = hostile(
        forgery, "from pabench.leaderboard.verification import rederived; rederived.overlap = lambda one, other: 1.0"
    )
    looked_at(monkeypatch, "steep")

    found = verify(folder, 3, seed=1, where=TRUSTED)

    (only,) = found.levels[2].flaws
    assert "0.0000 of the kept weights in common" in str(only)
    assert rederived.overlap is overlap
    assert not [name for name in sys.modules if name.startswith("pabench_plugin_steep")]


def test_code_of_one_criterion_is_not_in_the_process_of_another(forgery, monkeypatch):
    looked_at(monkeypatch, "snip", "steep")
    found = verify(
        hostile(forgery, "import pabench.training.prune; pabench.training.prune.scored = None"),
        3,
        seed=1,
        where=TRUSTED,
    )

    outcomes = {o["title"].split(" / ")[2].split()[0]: o["outcome"] for o in found.levels[2].outcomes}
    assert outcomes == {"snip": "equal", "steep": "no mask"}


def test_a_strangers_code_does_not_run_in_the_process_that_judges_it(submission):
    with pytest.raises(SuiteError, match=r"--engine inline: steep-[0-9a-f]{8}\.py comes from the submitter"):
        verify(submission, 3, where=Where(trust=("steep",), **INLINE))
