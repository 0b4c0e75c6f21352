"""A small file makes no large work: what judging a hostile submission costs, in seconds of CPU and in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from .large import costs

SECONDS, MIB = 15.0, 72.0
"""Three times the seconds that are promised, for a busy machine takes longer; 64 MiB, and an eighth for allocators."""


@pytest.mark.slow
@pytest.mark.parametrize("quick", [True, False])
def test_a_hostile_submission_is_told_within_seconds_and_little_memory(
    submission: Path, tmp_path: Path, record_property, quick
):
    found = costs(submission, tmp_path, quick=quick)

    record_property("injected", len(found))
    assert {name: cost for name, cost in found.items() if cost.seconds > SECONDS or cost.mib > MIB} == {}
    assert {name for name, cost in found.items() if not cost.said} <= {"16 MiB of one text"}  # a message may be long
    assert [cost for cost in found.values() if any("the judge ended" in line for line in cost.said)] == []
