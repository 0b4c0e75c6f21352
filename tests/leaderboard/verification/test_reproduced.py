"""Level 4: accuracies are compared with those of fresh seeds."""

from __future__ import annotations

import numpy as np
import pytest

from pabench.leaderboard.verification.reproduced import agreements, enough
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify

from .looking import looked_at, said


@pytest.mark.slow
def test_an_honest_submission_is_reproduced_with_seeds_that_it_does_not_have(submission, monkeypatch):
    monkeypatch.setattr(
        "pabench.leaderboard.verification.reproduced.MOST_DETECTABLE", 100.0
    )  # one epoch: seeds differ by many points
    found = verify(submission, 4, sample=2, seed=3, fresh=2, where=Where(trust=("steep",)))

    assert found.passed == 4
    assert len(found.levels[3].outcomes) == 2
    assert {len(o["fresh"]) for o in found.levels[3].outcomes} == {2}
    assert any(note.startswith("a true difference of") for note in found.levels[3].notes)


def test_accuracies_are_compared_by_a_t_test_of_the_fresh_spread_with_its_power():
    """Both settings: fresh deviations of 1 from their means, 4 values, 2 means: variance 4 / 2 = 2, error sqrt(2)."""
    found = agreements({"a": ([80, 100], [90, 92]), "b": ([70, 72], [40, 42])})

    # t(0.995, 2) = 9.925
    assert found["a"].difference == 1
    assert found["a"].high == pytest.approx(1 + 9.925 * 2**0.5, abs=1e-2)
    assert found["a"].agrees
    # t = 30 / sqrt(2) = 21.2 with 2 degrees of freedom: p = 2 * P(T > 21.2) = 2.215e-3, twice that with Holm
    assert found["b"].p == pytest.approx(4.43e-3, rel=0.01)
    assert not found["b"].agrees
    assert found["a"].detectable > 6.5


def test_a_noisy_row_of_the_submitter_does_not_hide_a_lie_in_another():
    """The reported values of b lie 40 points apart; the fresh ones of all know a deviation of 0.5."""
    near = [-0.5, 0.0, 0.5]
    lie, noise = ([60 + x for x in near], [50 + x for x in near]), ([30, 50, 70], [50 + x for x in near])

    found = agreements({"a": lie, "b": noise})
    assert not found["a"].agrees
    assert found["a"].detectable == agreements({"a": lie, "b": lie})["a"].detectable < 5


def test_how_many_fresh_seeds_would_tell_is_the_fewest_that_do():
    spread = [40.0, 50.0, 60.0]
    found = agreements({"a": ([50.0] * 60, spread), "b": ([50.0] * 60, spread)})
    assert found["a"].detectable > 10

    wanted = enough(found.values())
    # so many values with the same deviation of 10
    for seeds, tells in ((wanted, True), (wanted - 1, False)):
        values = np.linspace(-1, 1, seeds)
        again = list(50 + 10 * values / values.std(ddof=1))
        assert (agreements({"a": ([50.0] * 60, again), "b": ([50.0] * 60, again)})["a"].detectable <= 10) == tells
    assert enough(agreements({"a": ([50.0], spread)}).values()) is None


def test_the_detectable_difference_is_found_as_often_as_it_says():
    """Simulated: 2 settings of 3 and 3 seeds with deviation 1, one with a true difference of what is detectable."""
    one = [-1.0, 0.0, 1.0]  # variance 1, so that 4 degrees of freedom know a deviation of 1
    shift = agreements({"a": (one, one), "b": (one, one)})["a"].detectable

    values = np.random.default_rng(0).normal(size=(20_000, 4, 3))
    values[:, 0] += shift
    pooled = values[:, [1, 3]].var(axis=2, ddof=1).mean(axis=1) ** 0.5
    t = (values[:, 0].mean(axis=1) - values[:, 1].mean(axis=1)) / (pooled * (2 / 3) ** 0.5)
    # t(1 - 0.0025, 4) = 5.598
    assert np.mean(np.abs(t) > 5.5976) == pytest.approx(0.8, abs=0.01)


def test_one_fresh_seed_is_no_test():
    with pytest.raises(ValueError, match="nothing is known of their spread"):
        agreements({"a": ([90.0, 91.0], [91.0])})


@pytest.mark.slow
def test_an_honest_study_with_other_trainings_is_reproduced_and_a_forged_one_is_not(
    trained_submission, trained_forgery, monkeypatch
):
    monkeypatch.setattr("pabench.leaderboard.verification.reproduced.MOST_DETECTABLE", 100.0)
    looked_at(monkeypatch, "snip")
    found = verify(trained_submission, 4, sample=4, seed=3, fresh=3, where=Where(engine="inline"))
    assert found.passed == 4
    titles = " ".join(outcome["title"] for outcome in found.levels[3].outcomes)
    assert {"signin", "rigl", "set"} <= {name for name in ("signin", "rigl", "set") if name in titles}

    for seed in (0, 1):
        trained_forgery.scored(trained_forgery.record(train="rigl", seed=seed), 99.0)
    forged = said(trained_forgery, 4)
    assert any("rigl" in flaw and "no difference that is significant" in flaw for flaw in forged)
