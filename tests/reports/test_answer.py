"""Tests of pabench_reports.answer."""

from __future__ import annotations

import pytest
from pabench_reports.answer import BLALOCK, BOTH, FRANKLE, OWN, SOURCES, answer


@pytest.mark.parametrize(("good", "state"), [(True, "met"), (False, "missing"), (None, "not applicable")])
def test_an_answer_is_met_missing_or_does_not_apply(good, state):
    found = answer("Are there seeds?", OWN, "3 of 3", good)

    assert (found.question, found.text, found.state, found.source) == ("Are there seeds?", "3 of 3", state, OWN)


def test_every_source_that_is_named_is_explained():
    assert set(SOURCES) == {BLALOCK, FRANKLE, OWN}
    assert BOTH.split("; ") == [BLALOCK, FRANKLE]
    assert all("arXiv:" in SOURCES[paper] for paper in (BLALOCK, FRANKLE))
