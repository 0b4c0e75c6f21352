"""How small a difference can be found, and how many seeds one takes."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from pabench.statistics import power
from pabench.statistics.power import Comparison, TTest, could_see, typical_sd, unbiased, unbiased_sd


@pytest.mark.parametrize("seeds", [2, 3, 5, 30, 200])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_the_detectable_difference_equals_that_of_statsmodels(seeds, alpha):
    """Its upper tail at half the level: two-sided it is NaN for some large effects; the other tail is nothing."""
    found = Comparison(0.4, alpha).detectable(seeds)

    theirs = TTestPower().power(found / 0.4, seeds, alpha / 2, alternative="larger")
    assert theirs == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(("seeds", "alpha"), [(2, 0.05), (3, 0.05), (3, 0.005), (10, 0.05)])
def test_over_two_models_it_is_found_as_often_as_it_says_by_welchs_test(seeds, alpha):
    """The mean of two models' differences is tested as a against -b by scipy; a pooled test would promise less."""
    effect = Comparison(1.0, alpha, strata=2).detectable(seeds)
    a, b = np.random.default_rng(1).normal(size=(2, 40_000, seeds))

    p = stats.ttest_ind(a + effect, -b - effect, axis=1, equal_var=False).pvalue

    assert (p < alpha).mean() == pytest.approx(0.8, abs=0.01)


def test_small_studies_of_several_models_detect_less_than_all_degrees_of_freedom_would():
    """In deviations; a t test with all S (n - 1) degrees of freedom would need 1.54 (power 0.70) and 1.77 (0.46)."""
    two, four = Comparison(1.0, strata=2), Comparison(1.0, 0.05 / 45, strata=4)

    assert two.detectable(3) == pytest.approx(1.76, abs=0.02)
    assert two.power(1.54, 3) == pytest.approx(0.70, abs=0.01)
    assert four.detectable(3) == pytest.approx(2.48, abs=0.02)
    assert four.power(1.77, 3) == pytest.approx(0.46, abs=0.01)


def test_a_pooled_test_of_two_samples_has_the_power_that_statsmodels_gives():
    theirs = TTestIndPower().power(effect_size=0.8, nobs1=6, alpha=0.05)

    assert TTest(10).power(0.8 * 3**0.5) == pytest.approx(theirs, abs=1e-4)  # error sqrt(2 / 6)


def test_a_simulation_finds_the_detectable_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    effect = Comparison(0.34).detectable(5)
    values = effect + 0.34 * rng.normal(size=(20_000, 5))
    t = values.mean(axis=1) / (values.std(axis=1, ddof=1) / 5**0.5)

    assert (abs(t) > 2.7764).mean() == pytest.approx(0.8, abs=0.01)  # t(0.975, 4)


def test_seeds_are_the_fewest_that_reach_the_power():
    comparison = Comparison(0.34, alpha=0.005)
    seeds = comparison.seeds(0.5)

    assert comparison.power(0.5, seeds) >= 0.8 > comparison.power(0.5, seeds - 1)
    assert comparison.detectable(seeds) <= 0.5 < comparison.detectable(seeds - 1)


def test_one_seed_detects_nothing_and_no_number_of_seeds_finds_next_to_nothing():
    assert Comparison(0.34).detectable(1) is None
    assert Comparison(0.34).seeds(1e-6) is None


@pytest.mark.parametrize("sd", [1e-3, 0.34, 50.0])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 120])
def test_no_spread_level_or_size_makes_it_lose_its_way(sd, alpha):
    for seeds in (2, 3, 10, 1000):
        for strata in (1, 5):
            comparison = Comparison(sd, alpha, strata)
            assert comparison.power(comparison.detectable(seeds), seeds) == pytest.approx(0.8, abs=1e-3)


def test_the_typical_spread_of_small_samples_is_that_they_come_from():
    rng = np.random.default_rng(0)

    assert typical_sd(list(0.34 * rng.normal(size=(1000, 3)))) == pytest.approx(0.34, rel=0.06)
    assert typical_sd(list(0.34 * rng.normal(size=(1000, 10)))) == pytest.approx(0.34, rel=0.06)


def test_an_estimated_spread_is_as_often_too_high_as_too_low_once_corrected():
    """Of three values the median of the variance is 0.693 of the true one: 1, 2 and 3 have 1 and get 1.201."""
    drawn = np.random.default_rng(0).normal(size=(20_000, 3)).std(axis=1, ddof=1)

    assert (drawn * unbiased(1.0, 2) > 1).mean() == pytest.approx(0.5, abs=0.01)
    assert unbiased_sd([1, 2, 3]) == pytest.approx(1.2011, abs=1e-4)


def test_a_collapsed_pair_does_not_move_the_typical_spread():
    usual = [[0.0, 0.3, -0.3]] * 4

    assert typical_sd([*usual, [0.0, 40.0, -40.0]]) == typical_sd(usual)


@pytest.mark.parametrize("samples", [[], [[1.0]], [[2.0, 2.0, 2.0]]])
def test_no_spread_is_none(samples):
    assert typical_sd(samples) is None


def test_doctests_hold():
    assert doctest.testmod(power).failed == 0


def test_what_a_test_could_have_seen_is_what_it_detects_with_the_spread_of_its_values():
    """1, 2 and 3 have a spread of 1, and two models of them half the variance of one."""
    assert could_see([[1, 2, 3]], 0.01) == pytest.approx(Comparison(1.0, 0.01).detectable(3))
    assert could_see([[1, 2, 3], [5, 6, 7]], 0.01) == pytest.approx(Comparison(1.0, 0.01, strata=2).detectable(3))


def test_values_that_lie_together_by_luck_promise_no_more_than_their_like():
    assert could_see([[1, 1.1, 1.2]], 0.05, typical=1.0) == pytest.approx(Comparison(1.0).detectable(3))
    assert could_see([[1, 3, 5]], 0.05, typical=1.0) == pytest.approx(Comparison(2.0).detectable(3))


def test_models_of_unlike_size_see_what_the_smallest_alone_would():
    """Variances 1/3 and 1/2 of the means, a quarter of their sum, and one degree of freedom: found in 85 %."""
    seen = could_see([[1, 2, 3], [4, 4 + 2**0.5]], 0.05)

    assert seen == pytest.approx(TTest(1).detectable() * ((1 / 3 + 1 / 2) / 4) ** 0.5)


def test_a_model_with_one_block_can_see_nothing():
    assert could_see([[1.0], [1.0, 2.0, 3.0]], 0.05, typical=1.0) is None
    assert could_see([], 0.05) is None
    assert could_see([[0.0, 0.0]], 0.05) is None
