"""Intervals and tests of means."""

from __future__ import annotations

import doctest
import random

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pabench.statistics import intervals
from pabench.statistics.intervals import (
    holm,
    mean_interval,
    stratified_interval,
    stratified_test,
    welch,
)


def test_the_interval_of_three_seeds_uses_students_t():
    interval = mean_interval([91.0, 91.3, 91.6])

    # SD 0.3, standard error 0.3 / sqrt(3) = 0.17321, t(0.975, 2 df) = 4.30265
    assert (interval.mean, interval.half) == pytest.approx((91.3, 0.74525), abs=1e-4)
    assert (interval.n, interval.method) == (3, "t")


def test_one_seed_has_no_interval():
    interval = mean_interval([91.0])

    assert (interval.mean, interval.low, interval.high, interval.half, interval.method) == (
        91.0,
        None,
        None,
        None,
        "none",
    )


def test_many_blocks_use_the_bca_bootstrap_and_give_the_same_interval_every_time():
    values = np.random.default_rng(3).exponential(size=30).tolist()

    first, second = mean_interval(values), mean_interval(values)

    assert first == second
    assert first.method == "bootstrap"
    # of skewed data the upper arm is the longer one, unlike the t interval's
    assert first.high - first.mean > first.mean - first.low > 0


def test_the_bootstrap_of_ten_normal_values_is_about_as_wide_as_students_interval():
    """A plain one has 1.96 sqrt(9 / 10) / 2.262 = 82 % of its width."""
    draws = [np.random.default_rng(i).normal(size=10) for i in range(12)]

    shares = [mean_interval(x).half / (2.2622 * x.std(ddof=1) / 10**0.5) for x in draws]

    assert 0.93 <= np.mean(shares) <= 1.07


def test_strata_weigh_the_same_however_many_blocks_they_have():
    assert stratified_interval([[1.0, 3.0], [10.0, 10.0, 11.0, 13.0]]).mean == pytest.approx((2 + 11) / 2)


def test_two_strata_of_equal_spread_and_size_have_all_their_degrees_of_freedom():
    interval = stratified_interval([[-1.0, 0.0, 1.0], [9.0, 10.0, 11.0]])

    # each mean has variance 1/3, so their mean (1/3 + 1/3) / 4 = 1/6; t(0.975, 4 df) = 2.77645
    assert interval.half == pytest.approx(2.77645 * (1 / 6) ** 0.5, abs=1e-4)


def test_the_test_of_one_stratum_is_the_paired_t_test():
    a, b = [91.2, 90.8, 91.5, 91.1], [90.9, 90.7, 91.0, 90.6]

    test = stratified_test([[x - y for x, y in zip(a, b, strict=True)]])

    assert test.p == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_the_difference_of_two_strata_means_is_welchs_t_test():
    a, b = [1.0, 2.0, 4.0], [3.0, 9.0, 5.0, 7.0]

    test = stratified_test([a, [-x for x in b]])

    assert test.p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0, 5.0], [91.3 - 91.2, 71.3 - 71.2, 51.3 - 51.2]])
def test_values_without_spread_are_no_evidence(values):
    """No p, and no interval of width 0 either: equal values, or values that only rounding tells apart."""
    interval = mean_interval(values)

    assert stratified_test([values]).p is None
    assert (interval.mean, interval.low, interval.high, interval.method) == (np.mean(values), None, None, "none")


@pytest.mark.parametrize("n", [3, 12])
def test_no_stratum_with_spread_gives_no_interval_and_one_does(n):
    assert stratified_interval([[2.0] * n, [1.0] * n]).low is None
    assert stratified_interval([[2.0] * n, [1.0] * (n - 1) + [1.5]]).half > 0


def test_welchs_test_and_interval_from_summaries_are_scipys():
    a, b = np.array([1.0, 2.0, 4.0]), np.array([3.0, 9.0, 5.0, 7.0])
    theirs = stats.ttest_ind(a, b, equal_var=False)

    found, p = welch(a.mean() - b.mean(), (a.var(ddof=1), b.var(ddof=1)), (3, 4))

    assert p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert (found.n, found.method) == (7, "Welch")


def test_holm_equals_statsmodels():
    draw = random.Random(0)
    p_values = [draw.random() ** 3 for _ in range(40)]

    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_doctests_hold():
    assert doctest.testmod(intervals, optionflags=doctest.ELLIPSIS).failed == 0
