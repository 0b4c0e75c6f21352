"""What a criterion of a stranger says of itself, in a process apart."""

from __future__ import annotations

from pabench.leaderboard.verification.verify import verify

from .looking import TRUSTED, hostile


def test_code_that_ends_its_process_with_success_is_a_failure_with_its_reason(forgery):
    found = verify(hostile(forgery, "import os; os._exit(0)"), 3, seed=1, where=TRUSTED)

    (only,) = found.levels[2].flaws
    assert "steep: importing its file ended the process that did it (crash: exited with code 0" in only.found
    assert (found.passed, found.exit_code) == (2, 4)


def test_what_a_hostile_process_says_of_its_criterion_is_checked(forgery):
    code = "from pabench.leaderboard.verification import sandbox; sandbox._attempted = lambda **_: {'args': 5}"
    found = verify(hostile(forgery, code), 3, seed=1, where=TRUSTED)

    assert "is no description of a criterion" in str(found.levels[2].flaws[0])
    assert found.exit_code == 4
