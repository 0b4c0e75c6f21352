"""What a cell counts as, and rates with exact intervals."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pabench.statistics import outcomes
from pabench.statistics.intervals import mean_interval
from pabench.statistics.outcomes import Rate, chance_bound, failures, outcome, seeds_interval
from pabench.store.record import MACHINE

from .simulated import Truth, study

NOTHING = float("nan")


@pytest.mark.parametrize("kind", ["diverged", "plugin-error", "crash"])
def test_failures_of_the_criterion_or_its_training_are_its_own(kind):
    assert outcome("failed", kind, NOTHING, (), 10.9) == "failed"


@pytest.mark.parametrize("kind", MACHINE)
def test_failures_of_the_machine_are_missing_cells(kind):
    assert outcome("failed", kind, NOTHING, (), 10.9) == "missing"


@pytest.mark.parametrize(
    ("status", "kind", "counts"),
    [
        ("skipped", "degenerate", "failed"),
        ("skipped", "declined", "declined"),
        ("skipped", "inapplicable", "missing"),
        ("missing", "", "missing"),
    ],
)
def test_scores_that_are_refused_are_a_failure_and_what_did_not_run_is_missing(status, kind, counts):
    assert outcome(status, kind, NOTHING, (), 10.9) == counts


@pytest.mark.parametrize(
    ("top1", "flags", "counts"),
    [
        (10.0, (), "collapsed"),
        (9.1, (), "collapsed"),  # below chance is no better than chance
        (10.9, (), "collapsed"),
        (11.2, (), "trained"),
        (19.6, ("dead",), "collapsed"),  # one class for all images, a frequent one: digits of street numbers
        (84.0, ("collapsed",), "trained"),  # an empty layer that a shortcut leads around
    ],
)
def test_a_cell_collapsed_if_guessing_explains_its_accuracy_or_it_is_dead(top1, flags, counts):
    assert outcome("ok", "", top1, flags, chance_bound(10.0, 10_000)) == counts


@pytest.mark.parametrize(("classes", "images"), [(10, 360), (10, 10_000), (100, 10_000), (2, 50)])
def test_one_guessing_network_in_a_thousand_is_above_the_bound(classes, images):
    bound = round(chance_bound(100 / classes, images) * images / 100)

    assert stats.binom.sf(bound, images, 1 / classes) <= 0.001 < stats.binom.sf(bound - 1, images, 1 / classes)


def test_a_rate_has_the_exact_interval_of_clopper_and_pearson():
    """0 of 3: the upper limit p has (1 - p) ** 3 = 0.025. 2 of 10: quantiles of beta distributions."""
    none, two = Rate(0, 3).interval, Rate(2, 10).interval

    assert (none.low, none.high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 3)))
    assert (two.low, two.high) == pytest.approx((stats.beta.ppf(0.025, 2, 9), stats.beta.ppf(0.975, 3, 8)))
    assert Rate(0, 0).limits == ""


def test_a_block_failed_if_any_of_its_sparsities_did_and_lost_blocks_count_in_no_rate():
    """Block 0 fails at one of two sparsities, block 1 lost a cell to the machine, blocks 2 and 3 are whole."""
    cells = study(np.random.default_rng(0), 4, Truth(), sparsities=2)
    cells.loc[(cells["block"] == 0) & (cells["sparsity"] == 1), "outcome"] = "failed"
    cells.loc[(cells["block"] == 1) & (cells["sparsity"] == 1), "outcome"] = "missing"

    assert failures(cells) == Rate(1, 3)


def test_a_block_that_failed_and_lacks_a_cell_counts_no_more_than_one_that_lacks_it_alone():
    """All blocks lack one of two sparsities, as in a study that is half run; block 0 has failed at the other."""
    cells = study(np.random.default_rng(0), 5, Truth(), sparsities=2)
    cells.loc[cells["sparsity"] == 1, "outcome"] = "missing"
    cells.loc[(cells["block"] == 0) & (cells["sparsity"] == 0), "outcome"] = "failed"

    assert failures(cells) == Rate(0, 0)


def test_a_mean_over_collapsed_cells_has_no_interval():
    cells = study(np.random.default_rng(0), 5, Truth())
    assert seeds_interval(cells) == mean_interval(cells["top1"])

    cells.loc[0, ["top1", "outcome"]] = 10.0, "collapsed"

    found = seeds_interval(cells)
    assert (found.mean, found.low, found.n) == (pytest.approx(cells["top1"].mean()), None, 5)


def test_t_does_not_cover_the_mean_over_all_and_does_that_of_what_trained():
    """A tenth of the cells falls to 10: of three most samples have none, and lie 8 points above the mean."""
    rng = np.random.default_rng(0)
    covered, given = {"all": 0, "trained": 0}, {"all": 0, "trained": 0}
    for _ in range(400):
        cells = study(rng, 3, Truth(falls=0.1))
        every, trained = cells["top1"], cells.loc[cells["outcome"] == "trained", "top1"]
        for what, values, truth in (("all", every, 82.0), ("trained", trained, 90.0)):
            found = mean_interval(values)
            given[what] += len(values) > 1
            covered[what] += found.low is not None and found.low <= truth <= found.high

    assert covered["all"] < 0.35 * given["all"]
    assert covered["trained"] > 0.93 * given["trained"]


def test_doctests_hold():
    assert doctest.testmod(outcomes).failed == 0


def test_an_interval_of_r2_is_cut_at_1_alone():
    """Half and nothing, in points: 25 +- 12.7 * 25, of which accuracies keep what is above 0."""
    rows = pd.DataFrame({"top1": [50.0, 0.5], "outcome": ["trained", "trained"]})

    assert seeds_interval(rows).low == 0
    found = seeds_interval(rows.assign(r2=rows["top1"] / 100))
    assert found.low == pytest.approx(25.25 - 12.706 * 24.75, abs=0.1)
    assert found.high == 100
