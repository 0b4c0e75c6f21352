"""The battery of ablations: paired changes and verdicts."""

from __future__ import annotations

import pytest
from pabench_reports.battery import changes, judged

from pabench.suite.specs import CriterionSpec

from ..synthetic import battery
from .test_sanity import TWO, by_hand, verdict


def test_changes_are_paired_within_blocks_and_corrected_over_criteria():
    """snip loses 1, 2 and 3 points: mean 2, standard error 0.5774, t = 3.464, p = 0.0742 with 2 degrees of freedom.

    grasp loses 3, 3.1 and 3.2: standard error 0.0577, t = 53.7, p = 0.000347, doubled by Holm.
    """
    study = battery(["shuffle"], by_hand((1, 2, 3), (3, 3.1, 3.2)), criteria=TWO)

    found = judged(changes(study.frame), "shuffle", ["snip", "grasp"])

    snip, grasp = found["snip"], found["grasp"]
    # t(0.975, 2) = 4.3027
    assert (snip.change.mean, snip.change.half, snip.change.n) == pytest.approx((2, 2.4841, 3), abs=1e-3)
    assert (snip.p, grasp.p) == pytest.approx((0.0742, 2 * 0.000347), rel=0.01)
    assert (snip.verdict, grasp.verdict) == ("not separable", "better")


def test_reference_lines_are_corrected_among_themselves():
    lines = [CriterionSpec(f"line{n}", version=1, trains=True, reference_line="trained") for n in range(3)]
    alone = battery(["shuffle"], by_hand((1, 2, 3), (3, 3.1, 3.2)), criteria=TWO)
    beside = battery(["shuffle"], by_hand((1, 2, 3), (3, 3.1, 3.2)), criteria=[*TWO, *lines])
    names = ["snip", "grasp", *(line.name for line in lines)]

    few = judged(changes(alone.frame), "shuffle", names[:2])
    many = judged(changes(beside.frame), "shuffle", names)

    assert {name: many[name].p for name in few} == {name: few[name].p for name in few}


def test_two_seeds_that_differ_a_little_separate_nothing():
    """40 and 50 points: standard error 5, t = 9, and still p = 0.0704 with one degree of freedom."""
    study = battery(["shuffle"], by_hand((40, 50), (40, 50)), criteria=TWO, seeds=2)

    assert set(verdict(study).values()) == {"not separable"}


def test_values_without_spread_are_no_evidence():
    """An ablation that changed no mask gives a change of 0 in each block."""
    study = battery(["shuffle"], by_hand((0, 0, 0), (1, 1, 1)), criteria=TWO)

    assert set(verdict(study).values()) == {"not separable"}


def test_a_block_counts_if_it_is_finished_at_every_sparsity():
    def lost(cell):
        return (cell.criterion and cell.criterion.name, cell.ablation, cell.sparsity, cell.seed) == lost_at

    lost_at = ("snip", "shuffle", 0.98, 1)
    study = battery(["shuffle"], by_hand((1, 2, 4), (1, 1.1, 1.2)), lost, criteria=TWO, sparsities=[0.9, 0.98])

    change = judged(changes(study.frame), "shuffle", ["snip"])["snip"].change

    assert (change.mean, change.n) == (2.5, 2)


def test_several_models_count_the_same_and_one_without_data_is_left_out():
    def points(cell):
        lost = {"resnet20": (1, 2, 3), "vgg11_bn": (5, 6, 7)}[cell.model.name][cell.seed]
        return 90.0 - (lost if cell.ablation else 0)

    both = battery(["shuffle"], points, criteria=TWO, models=["resnet20", "vgg11_bn"])
    one = battery(
        ["shuffle"], points, lambda c: c.model.name == "vgg11_bn", criteria=TWO, models=["resnet20", "vgg11_bn"]
    )

    assert [judged(changes(s.frame), "shuffle", ["snip"])["snip"].change.mean for s in (both, one)] == [4.0, 2.0]
