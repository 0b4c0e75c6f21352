"""The stress run (`tests/stress.py`) on a small study."""

from __future__ import annotations

import pytest

from .stress import stress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_records_of_a_study_in_a_storm_of_kills_are_those_of_a_calm_one(tmp_path, record_property):
    found = stress(tmp_path, seeds=2, epochs=40, workers=8, runners=2, every=1.0)

    record_property("injected", found["workers killed"] + found["runners killed"])
    assert (found["cells"], found["lost"], found["different"], found["quarantined"]) == (42, 0, 0, 0)
    assert found["workers killed"] + found["runners killed"] >= 5
