"""Every forgery of the list falls: at its level, with its sentence and exit code."""

from __future__ import annotations

from contextlib import suppress

import pytest

from pabench.leaderboard.verification import reproduced
from pabench.leaderboard.verification.verify import verify

from .forgeries import LIES, Lie
from .looking import TRUSTED

COMPUTED = 3
"""The first level that computes anything."""


def told(forgery, lie: Lie) -> None:
    lie.forge(forgery)
    if lie.careful:
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # what was forged may have no means
            forgery.means()
        forgery.listing()

    found = verify(forgery.folder, max(2, lie.level), sample=100, seed=1, fresh=4, where=TRUSTED)

    said = [str(flaw) for flaw in found.levels[-1].flaws]
    assert found.levels[-1].number == lie.level, said[:3]
    assert any(lie.told in line for line in said), said[:3]
    assert found.exit_code == lie.code


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie.level < COMPUTED], ids=str)
def test_a_forgery_falls_where_its_form_or_its_parts_tell(forgery, lie):
    told(forgery, lie)


@pytest.mark.slow
@pytest.mark.parametrize("lie", [lie for lie in LIES if lie.level >= COMPUTED], ids=str)
def test_a_forgery_falls_where_it_is_computed_again(forgery, lie, monkeypatch):
    monkeypatch.setattr(reproduced, "MOST_DETECTABLE", 100.0)  # one epoch: seeds differ by many points
    told(forgery, lie)


def test_there_are_as_many_as_have_been_tried_and_each_is_another():
    assert len({str(lie) for lie in LIES}) == len(LIES) >= 116
    assert {lie.level for lie in LIES} == {1, 2, 3, 4}
