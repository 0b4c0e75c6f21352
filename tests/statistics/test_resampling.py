"""Interquartile means, probabilities of a win, and how often their intervals hold what they should."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy import stats

from pabench.statistics import resampling
from pabench.statistics.intervals import Interval, mean_interval, stratified_interval
from pabench.statistics.resampling import interquartile_mean, win_probability, wins

DROPS = -np.array([1.0, 2.0, 4.0, 8.0, 15.0])


def blocks(rng: np.random.Generator, n: int, spread: float = 1.0) -> np.ndarray:
    """Five sparsities, each lower than the last; those of a block share most of their deviation."""
    return DROPS + spread * (rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 5)))


def covered(intervals: list[Interval], truth: float) -> float:
    return sum(x.low <= truth <= x.high for x in intervals) / len(intervals)


@pytest.mark.parametrize("shape", [(1, 4), (3, 5), (10, 3)])
def test_the_interquartile_mean_equals_scipys_trimmed_mean(shape):
    values = np.random.default_rng(0).normal(size=shape)

    assert interquartile_mean([values]).mean == pytest.approx(stats.trim_mean(values.ravel(), 0.25))


def test_what_one_wild_quarter_does_never_shows():
    """Of 1 to 8 the middle half is 3, 4, 5, 6, whatever becomes of the two highest."""
    tame, wild = np.arange(1.0, 9.0), np.array([1, 2, 3, 4, 5, 6, 700, 8000.0])

    assert interquartile_mean([tame[:, None]]).mean == interquartile_mean([wild[:, None]]).mean == 4.5


def test_with_few_blocks_its_interval_is_the_jackknifes():
    """Four blocks of one value, none trimmed when one is left out: leave-one-out means of 0, 1, 2, 3 less its ends.

    Three values leave out none at either end (a quarter of 3, rounded down): means 2, 5/3, 4/3, 1 around 1.5; their
    squares sum to 5/9, times 3/4 is 5/12: standard error 0.6455, t(0.975, 3) = 3.1824.
    """
    found = interquartile_mean([np.array([[0.0], [1.0], [2.0], [3.0]])])

    assert (found.mean, found.n, found.method) == (1.5, 4, "t")
    assert found.half == pytest.approx(3.1824 * (5 / 12) ** 0.5, abs=1e-3)


def test_blocks_are_resampled_whole():
    """Ten blocks of five equal values know no more than ten single values: their interval is as wide."""
    single = np.random.default_rng(4).normal(size=(10, 1))

    assert interquartile_mean([np.repeat(single, 4, axis=1)]).half > 0.8 * interquartile_mean([single]).half


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]])
def test_one_block_or_no_spread_gives_no_interval(values):
    found = interquartile_mean([np.array(values)])

    assert (found.low, found.high, found.method) == (None, None, "none")


def middles(n, sparsities, draws):
    """How often the intervals cover that of a large sample: now, and by the jackknife's standard error alone."""
    rng = np.random.default_rng(1)
    large = np.sort(blocks(np.random.default_rng(0), 100_000)[:, -sparsities:].ravel())
    truth = large[len(large) // 4 : -(len(large) // 4)].mean()
    now = before = 0
    for _ in range(draws):
        grid = blocks(rng, n)[:, -sparsities:]
        left = np.array([interquartile_mean([np.delete(grid, row, axis=0)]).mean for row in range(n)])
        error = ((n - 1) / n * ((left - left.mean()) ** 2).sum()) ** 0.5
        found = interquartile_mean([grid])
        before += abs(found.mean - truth) <= stats.t.ppf(0.975, n - 1) * error
        now += found.low <= truth <= found.high
    return now / draws, before / draws


def test_its_interval_of_three_blocks_covers_as_it_says():
    now, _ = middles(3, 5, 300)

    assert 0.93 <= now <= 0.99


def test_its_interval_of_two_sparsities_covers_as_it_says():
    """The middle half of six cells is that of four: leaving a block out may hardly move it."""
    now, before = middles(3, 2, 1000)

    assert before < 0.935
    assert 0.94 <= now <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("sparsities", [1, 2, 3, 5])
def test_its_interval_covers_at_any_number_of_blocks_and_sparsities(n, sparsities):
    """94 % less two standard errors of 1,000 draws; docs/statistics.md has the figures of more."""
    now, _ = middles(n, sparsities, 1000)

    assert now >= 0.925


def test_a_win_counts_one_a_tie_a_half():
    a, b = np.array([[3.0, 1.0, 2.0, 0.0]]), np.array([[2.0, 1.0, 1.0, 5.0]])

    assert wins(a, b) == [2.5 / 4]
    assert wins(b, a) == [1.5 / 4]


def test_the_interval_of_wins_is_clopper_and_pearsons():
    oracle = stats.binomtest(7, 9).proportion_ci(method="exact")

    found = win_probability([[1.0] * 7 + [0.0] * 2])

    assert (found.mean, found.low, found.high, found.n) == pytest.approx((7 / 9, oracle.low, oracle.high, 9))


def test_all_blocks_won_exclude_a_half_from_six_blocks_on_as_the_sign_test_does():
    lows = {n: win_probability([[1.0] * n]).low for n in (3, 5, 6)}

    assert lows == pytest.approx({n: 0.025 ** (1 / n) for n in lows})
    assert lows[5] < 0.5 < lows[6]


def test_models_count_the_same_and_the_smaller_one_widens_the_interval():
    """Shares 1 of two blocks and 0 of eight: 1/2, with 4 / (1/2 + 1/8) = 6.4 blocks' worth."""
    found, even = win_probability([[1.0] * 2, [0.0] * 8]), win_probability([[1.0] * 5, [0.0] * 5])

    assert found.mean == even.mean == 0.5
    assert found.high - found.low > even.high - even.low


@pytest.mark.parametrize("n", [3, 10])
def test_the_interval_of_wins_covers_at_least_what_it_says(n):
    rng = np.random.default_rng(2)
    truth = stats.norm.cdf(0.5 / 2**0.5)

    def drawn():
        above = 0.5 + rng.normal(size=(n, 1)) + rng.normal(size=(n, 5))
        return win_probability([wins(above, np.zeros_like(above))])

    assert covered([drawn() for _ in range(200)], truth) >= 0.95


def test_students_interval_of_three_seeds_covers_as_it_says():
    rng = np.random.default_rng(3)
    one = [mean_interval(rng.normal(size=3)) for _ in range(600)]
    two = [stratified_interval([rng.normal(size=3), 3 * rng.normal(size=3)]) for _ in range(600)]

    assert 0.92 <= covered(one, 0.0) <= 0.98
    assert 0.92 <= covered(two, 0.0) <= 0.98


def test_doctests_hold():
    assert doctest.testmod(resampling, optionflags=doctest.ELLIPSIS).failed == 0
