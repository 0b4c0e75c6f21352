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
    _of_mean,
    holm,
    interval_text,
    mean_interval,
    satterthwaite,
    standard_error,
    stratified_interval,
    stratified_test,
    two_samples,
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


def test_many_seeds_use_it_too():
    values = np.random.default_rng(3).exponential(size=30)

    interval = mean_interval(values.tolist())

    assert interval.method == "t"
    assert (interval.low, interval.high) == pytest.approx(
        stats.t.interval(0.95, 29, values.mean(), values.std(ddof=1) / 30**0.5)
    )


def test_an_interval_is_cut_at_what_the_number_can_be_and_both_limits_are_told():
    """99 +- 4.303 / sqrt(3) = 2.48: no accuracy is above 100."""
    interval = mean_interval([98.0, 99.0, 100.0]).within(0, 100)

    assert (interval.low, interval.high) == (pytest.approx(96.516, abs=1e-3), 100)
    assert interval_text(interval) == "[96.52, 100.00]"
    assert interval_text(mean_interval([98.0, 99.0, 100.0])) == "± 2.48"


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


def test_the_difference_of_two_strata_means_of_one_size_is_welchs_t_test():
    a, b = [1.0, 2.0, 4.0, 5.0], [3.0, 9.0, 5.0, 7.0]

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


def test_two_samples_of_one_size_are_scipys_welch():
    a, b = np.array([1.0, 2.0, 4.0, 5.0]), np.array([3.0, 9.0, 5.0, 7.0])
    theirs = stats.ttest_ind(a, b, equal_var=False)

    found, p = two_samples(a.mean() - b.mean(), (a.var(ddof=1), b.var(ddof=1)), (4, 4))

    assert p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert (found.n, found.method) == (8, "two samples")


def test_models_of_unlike_size_have_their_own_quantiles_by_their_part_in_the_variance():
    """Variances of the means 1/3 of three values and 1 of two: 1/4 of t(0.975, 2) and 3/4 of t(0.975, 1)."""
    interval = stratified_interval([[-1.0, 0.0, 1.0], [9.0, 11.0]])

    assert interval.half == pytest.approx((4.30265 / 4 + 3 * 12.7062 / 4) * (1 / 3 + 1) ** 0.5 / 2, abs=1e-3)


@pytest.mark.parametrize("strata", [[[0.1, 2.0, 1.4], [0.3, 2.5]], [[5.0, 6.0, 7.0], [4.0, 4.1]]])
def test_its_test_and_its_interval_say_the_same(strata):
    """Zero lies on the edge of the interval of a mean that is shifted to p = 0.05."""
    interval, error = stratified_interval(strata), standard_error([np.array(x) for x in strata], _of_mean)

    assert error.p(interval.half) == pytest.approx(0.05)
    assert (stratified_test(strata).p < 0.05) is (interval.low > 0)


@pytest.mark.parametrize("order", [1, -1])
def test_a_sample_without_spread_beside_one_of_another_size_takes_no_part_in_the_freedom(order):
    """Means of 0.5 and 0.7725, the error is half that of the four: t has their 3 degrees of freedom."""
    flat, four = [0.5, 0.5], [-0.31, 1.25, 0.75, 1.4]

    found = stratified_test([flat, four][::order])

    assert found.p == pytest.approx(2 * stats.t.sf(0.63625 / (np.std(four, ddof=1) / 4), 3), rel=1e-5)
    rng = np.random.default_rng(0)
    drawn = [stratified_test([flat, rng.normal(size=n)][::order]).p for n in (3, 4, 5, 6, 7) for _ in range(20)]
    assert all(0 < p <= 1 for p in drawn)


def coverage(sizes, spreads, draws=1500):
    """How often intervals of strata of normal values cover: now, and by Satterthwaite's degrees of freedom."""
    rng = np.random.default_rng(0)
    now = before = 0
    for _ in range(draws):
        strata = [rng.normal(0, spread, n) for n, spread in zip(sizes, spreads, strict=True)]
        mean = float(np.mean([x.mean() for x in strata]))
        error, freedom = satterthwaite(
            [x.var(ddof=1) / len(x) / len(sizes) ** 2 for x in strata], [n - 1 for n in sizes]
        )
        before += abs(mean) <= stats.t.ppf(0.975, freedom) * error
        now += abs(mean) <= stratified_interval(strata).half
    return now / draws, before / draws


def test_ten_seeds_of_one_model_and_two_of_another_are_covered():
    """1,500 draws tell 95 % to 0.6 % (one standard error)."""
    now, before = coverage((10, 2), (1, 1))

    assert before < 0.92
    assert 0.94 <= now <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 2), (3, 3), (5, 5), (10, 10), (3, 2), (5, 2), (10, 2), (10, 3), (10, 5)])
@pytest.mark.parametrize("spreads", [(1, 1), (1, 5), (5, 1)])
def test_strata_of_any_size_and_spread_are_covered(sizes, spreads):
    """94 % less two standard errors of 1,500 draws, at (3, 3) and 1:5; docs/statistics.md has the figures."""
    now, _ = coverage(sizes, spreads)

    assert now >= 0.928


def test_holm_equals_statsmodels():
    draw = random.Random(0)
    p_values = [draw.random() ** 3 for _ in range(40)]

    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_doctests_hold():
    assert doctest.testmod(intervals, optionflags=doctest.ELLIPSIS).failed == 0
