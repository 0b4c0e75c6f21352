"""Which criteria are tried on a model outside any suite."""

from __future__ import annotations

from pabench.run.trial import criteria


def test_all_criteria_are_timed_but_no_reference_line():
    names = [rule.name for rule in criteria([])]

    assert {"random", "snip", "synflow"} <= set(names)
    assert not {"magnitude_after_training", "small_dense"} & set(names)
    assert names == sorted(names)
