"""How much differences of criteria vary between blocks, and how well a few blocks tell that."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pabench.statistics import spread
from pabench.statistics.spread import measured, quantiles, samples, uncertainty

from .simulated import Truth, study


def cells(**top1):
    """One row a criterion and block of one model at one sparsity."""
    rows = [
        {"criterion": name, "block": block, "top1": value}
        for name, of in top1.items()
        for block, value in enumerate(of)
    ]
    same = {"dataset": "d", "model": "m", "sparsity": 0.9, "outcome": "trained", "reference_line": ""}
    return pd.DataFrame(rows).assign(**same)


def test_the_spread_is_that_of_differences_within_blocks():
    """Both rise by ten points from block to block; snip minus random is 1, 2 and 3: SD 1, corrected by 0.693."""
    found = measured(cells(random=[50, 60, 70], snip=[51, 62, 73]))

    assert found.sd == pytest.approx(1 / 0.6931**0.5, abs=1e-3)
    assert (found.pairs, found.blocks) == (1, 3)


def test_its_ends_are_what_three_blocks_leave_open():
    """Chi squared of two degrees of freedom: 0.0506 and 7.378 at 2.5 and 97.5 %; sqrt(2 / 7.378), sqrt(2 / 0.0506)."""
    found = measured(cells(random=[50, 60, 70], snip=[51, 62, 73]))

    assert uncertainty(3) == (pytest.approx(0.5207, abs=1e-4), pytest.approx(6.2847, abs=1e-4))
    assert (found.low, found.high) == (pytest.approx(0.5207, abs=1e-3), pytest.approx(6.2847, abs=1e-3))


def test_pairs_that_are_farther_apart_than_blocks_leave_open_set_the_ends():
    """In 40 blocks an SD is known to 0.82 to 1.28 times; a alone never varies, c varies ten times as much as b."""
    wave = np.tile([-1.0, 1.0], 20)
    found = measured(cells(a=50 + 0 * wave, b=50 + wave, c=50 - 10 * wave))

    sds = np.array([1, 10, 11]) * wave.std(ddof=1) * (39 / stats.chi2.median(39)) ** 0.5
    assert (found.low, found.sd, found.high) == (
        pytest.approx(np.quantile(sds, 0.1)),
        pytest.approx(sds[1]),
        pytest.approx(sds[1] * 1.284 * (stats.chi2.median(39) / 39) ** 0.5, rel=1e-3),
    )


def test_dense_networks_reference_lines_and_collapsed_pairs_say_nothing_of_it():
    found = cells(dense=[90, 80, 85], line=[10, 50, 90], a=[1, 2, 3], b=[1, 1, 1], fell=[50, 51, 10])
    found.loc[found["criterion"] == "line", "reference_line"] = "trained first"
    found.loc[found["top1"] == 10, "outcome"] = "collapsed"

    assert samples(found) == [[0, 1, 2]]
    assert samples(found[found["criterion"] == "dense"]) == []


@pytest.mark.parametrize("top1", [{"a": [1]}, {"a": [1], "b": [2]}, {"a": [1, 2, 3]}, {"a": [1, 2], "b": [2, 3]}])
def test_there_is_none_without_two_criteria_that_differ_in_two_blocks(top1):
    assert measured(cells(**top1)) is None


@pytest.mark.parametrize("blocks", [2, 3, 10])
def test_the_uncertainty_covers_the_truth_as_often_as_it_says(blocks):
    drawn = np.random.default_rng(1).normal(size=(40_000, blocks)).std(axis=1, ddof=1)
    low, high = uncertainty(blocks)

    assert ((drawn * low < 1) & (drawn * high > 1)).mean() == pytest.approx(0.95, abs=0.005)


def test_a_pilot_of_three_seeds_promises_a_range_that_the_truth_lies_in():
    """Three criteria with a true spread of 0.34 sqrt(2 * 0.45) = 0.323: the middle alone is too low in half of them."""
    rng = np.random.default_rng(2)
    found = [measured(study(rng, 3, *[Truth()] * 3)) for _ in range(60)]

    assert np.mean([one.low <= 0.3226 <= one.high for one in found]) > 0.95
    assert np.mean([one.sd < 0.3226 for one in found]) == pytest.approx(0.5, abs=0.15)


def test_eight_of_ten_pairs_lie_between_the_quantiles():
    assert quantiles([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]) == (1.0, 5.0, 9.0)


def test_doctests_hold():
    assert doctest.testmod(spread).failed == 0
