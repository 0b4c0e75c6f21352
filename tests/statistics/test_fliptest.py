"""The test by signs: exact where all can be counted."""

from __future__ import annotations

import doctest
from itertools import product

import numpy as np
import pytest

from pabench.statistics import fliptest
from pabench.statistics.fliptest import flip_test


def test_its_p_is_the_share_of_all_signs_whose_mean_is_as_far_from_0():
    strata = [[1.0, -0.5, 2.0], [3.0, 0.25]]
    means = [
        abs(np.mean([x * s for x, s in zip(strata[0], signs[:3], strict=True)])
            + np.mean([x * s for x, s in zip(strata[1], signs[3:], strict=True)])) / 2
        for signs in product((1, -1), repeat=5)
    ]  # fmt: skip
    observed = abs(np.mean(strata[0]) + np.mean(strata[1])) / 2

    assert flip_test(strata).p == sum(mean >= observed - 1e-12 for mean in means) / 32


def test_of_many_differences_signs_are_drawn_and_none_is_impossible():
    """Seventeen all alike: 2 of 2 ** 17 signs, and no sample may call that 0."""
    assert flip_test([[1.0] * 17]).p == pytest.approx(2 / 2**17, abs=3e-4)
    assert flip_test([[1.0] * 17]).p > 0


def test_what_has_no_sign_or_no_second_value_is_not_tested():
    assert flip_test([[0.0, 0.0, 0.0]]).p is None
    assert flip_test([[80.0]]).p is None
    assert flip_test([]).p is None


def test_five_blocks_separate_nothing():
    assert flip_test([[80.0, 80.1, 79.8, 80.2, 79.9]]).p == 2 / 32


def test_doctests_hold():
    assert doctest.testmod(fliptest).failed == 0


def test_the_order_of_blocks_decides_nothing_where_signs_are_drawn():
    values = list(np.random.default_rng(0).normal(0.4, 1.0, 24))

    assert flip_test([values]).p == flip_test([values[::-1]]).p


def test_twenty_blocks_that_agree_are_counted_exactly():
    assert flip_test([[-40.0] * 19 + [-41.0]]).p == 2 / 2**20
