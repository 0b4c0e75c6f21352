"""What one level says it found."""

from __future__ import annotations

from dataclasses import replace

from pabench.leaderboard.verification.level import Level
from pabench.leaderboard.verification.verify import verify


def test_a_level_that_gave_no_result_is_not_passed(submission):
    found = verify(submission)

    assert not Level(3).passed
    assert replace(found, asked=3).exit_code == 5
    assert replace(found, asked=3, levels=(*found.levels, Level(3))).exit_code == 5
