"""What results are compared by, and how it is told."""

from __future__ import annotations

import pytest

from pabench.store.quality import R2, TOP1, points_of, quality_of, told, value_of


def test_a_point_is_a_percent_of_accuracy_and_a_hundredth_of_r2():
    assert points_of({"top1": 93.4}) == 93.4
    assert points_of({"r2": 0.5}) == pytest.approx(50.0)
    assert (quality_of({"top1": 1.0}), quality_of({"r2": -3.0})) == (TOP1, R2)
    assert value_of({"r2": -3.0}) == -3.0


def test_r2_is_told_without_a_percent_sign_and_may_be_negative():
    assert told({"r2": -1.25}) == "R² −1.2500"
    assert R2.text(-125.0) == "−1.2500"
    assert told({"top1": 50.0}) == "50.00 %"
