"""Figures of metrics: of what they are taken, which of two counts, and what is still lacking."""

from __future__ import annotations

from dataclasses import replace

from pabench.store.figures import Measurements, about, entry, file, pairs, single
from pabench.suite.specs import MetricSpec, TrainSpec

from ..synthetic import CRITERIA, cells

MASK = MetricSpec("density", stage="mask", source="a")
TRAINING = MetricSpec("steps", stage="training", source="b")
PAIR = MetricSpec("overlap", stage="pair", source="c")
NAMES = [CRITERIA["random"], CRITERIA["snip"], CRITERIA["grasp"]]
_, *PRUNED = cells(NAMES, models=["resnet20"], sparsities=[0.8, 0.9], seeds=1)


def test_masks_and_trainings_are_measured_one_by_one_and_re_drawn_weights_have_no_mask_of_their_own():
    one = PRUNED[0]
    redrawn = replace(one, ablation="reinit")

    assert [of for of, _ in single([one], [MASK, TRAINING, PAIR])] == [(one.pruning_key,), (one.key,)]
    assert list(single([redrawn], [MASK, TRAINING])) == [((redrawn.key,), TRAINING)]


def test_masks_of_one_sparsity_are_compared_each_pair_once():
    """Three criteria make three pairs at each of two sparsities."""
    found = [of for of, _ in pairs(PRUNED, [MASK, PAIR])]

    assert len(found) == len(set(found)) == 6
    assert all(one < other for one, other in found)


def test_what_was_measured_counts_before_what_failed_whatever_comes_first():
    of = ("k",)
    good, bad = entry(of, MASK, {"density": 0.5}), entry(of, MASK, {}, "ValueError: no luck")

    for order in ([good, bad], [bad, good]):
        known = Measurements(file([one]) for one in order)
        assert known.numbers(of, MASK) == {"density": 0.5}
        assert not known.lacks(of, MASK, retry=True)


def test_what_failed_is_lacking_with_retry_alone_and_says_why():
    known = Measurements([file([entry(("k",), MASK, {}, "ValueError: no luck")])])

    assert known.numbers(("k",), MASK) == {}
    assert (known.lacks(("k",), MASK), known.lacks(("k",), MASK, retry=True)) == (False, True)
    assert known.lacks(("k",), TRAINING)
    assert list(known.errors([MASK])) == [(("k",), MASK, "ValueError: no luck")]
    assert list(known.errors([TRAINING])) == []


def test_figures_are_about_keys_if_all_that_they_compare_are_among_them():
    one, two, both = (file([entry(of, MASK, {})]) for of in (("a",), ("b",), ("a", "b")))

    assert list(about({"1": one, "2": two, "12": both}, {"a", "c"})) == ["1"]
    assert list(about({"1": one, "2": two, "12": both}, ("a", "b"))) == ["1", "2", "12"]


def test_a_mask_that_is_trained_in_several_ways_is_measured_once():
    one = PRUNED[0]
    other = replace(one, train=TrainSpec("set", {}, {"drop": 0.3}, 1))

    found = [of for of, _ in single([one, other], [MASK, TRAINING])]

    assert found == [(one.pruning_key,), (one.key,), (other.key,)]
