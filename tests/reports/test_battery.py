"""The battery of ablations: paired changes and verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pabench_reports.battery import battery as battery_of, changes, judged

from pabench.statistics.power import could_see
from pabench.suite.ablations import ABLATIONS
from pabench.suite.specs import CriterionSpec

from ..synthetic import battery
from .test_sanity import TWO, by_hand, verdict, verdicts


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


# --- The battery as a whole -------------------------------------------------------------------------------------------
def table(rows):
    """What `changes` makes, of (ablation, criterion, block, change), on one model at one sparsity."""
    found = pd.DataFrame(rows, columns=["ablation", "criterion", "block", "change"])
    sides = {"top1": 50.0, "own_top1": 50.0 + found["change"], "outcome": "trained", "own_outcome": "trained"}
    masks = {"empty": False, "own_empty": False, "fell": False}
    return found.assign(stratum="digits · lenet", sparsity=0.9, reference_line="", **sides, **masks)


def nothing(draw, criteria, seeds):
    """The changes of criteria that know nothing: the plain cell of a block is the same for all of its ablations."""
    rows = []
    for criterion in criteria:
        for seed in range(seeds):
            top1 = draw.normal()
            rows += [(ablation, criterion, f"b{seed}", top1 - draw.normal()) for ablation in ABLATIONS]
    return table(rows)


def test_of_batteries_that_know_nothing_five_in_a_hundred_give_a_verdict():
    """40 batteries of 4 criteria and 5 ablations. Corrected within each ablation 8 of them give one."""
    draw, criteria = np.random.default_rng(0), ["a", "b", "c", "d"]

    batteries = [battery_of(nothing(draw, criteria, 3), criteria) for _ in range(40)]

    spoken = sum(any(j.verdict != "not separable" for j in one.values()) for one in batteries)
    assert spoken <= 5  # 2 are meant, give or take two standard deviations of 1.4


def test_the_correction_runs_over_every_test_of_the_battery():
    """p = 0.000347 of three differences of 3, 3.1 and 3.2; of four tests Holm multiplies the smallest by four."""
    rows = [("shuffle", "snip", f"b{i}", x) for i, x in enumerate((3, 3.1, 3.2))]
    rows += [("shuffle", "grasp", f"b{i}", x) for i, x in enumerate((1, 2, 3))]
    rows += [("invert", name, f"b{i}", x) for name in ("snip", "grasp") for i, x in enumerate((-1, 0, 1.3))]

    found = battery_of(table(rows), ["snip", "grasp"])

    assert found["shuffle", "snip"].p == pytest.approx(4 * 0.000347, rel=0.01)
    assert found["shuffle", "grasp"].p == pytest.approx(3 * 0.0742, rel=0.01)


def test_what_is_not_separable_says_what_it_could_have_seen_and_its_signs():
    """Differences of -1, 2 and 3 have a variance of 4.333; the median of such estimates is ln 2 of what they estimate.

    With 2 degrees of freedom a test at 5 % finds 5.65 standard errors with power 0.8.
    """
    rows = [("shuffle", "snip", f"b{i}", x) for i, x in enumerate((-1, 2, 3))]
    sure = [("shuffle", "grasp", f"b{i}", x) for i, x in enumerate((30, 31, 32.3))]

    alone = battery_of(table(rows), ["snip"])["shuffle", "snip"]
    beside = battery_of(table(rows + sure), ["snip", "grasp"])["shuffle", "snip"]
    tight = battery_of(table([*rows, *((a, "grasp", b, x / 100) for a, _, b, x in rows)]), ["snip", "grasp"])

    assert (alone.ups, alone.downs, alone.change.n) == (2, 1, 3)
    assert alone.sees == pytest.approx(5.65 * (4.333 / 0.6931 / 3) ** 0.5, rel=0.01)
    # the other test passed, so the bar of this one was 5 %; the middle of two spreads is below its own
    assert beside.sees == pytest.approx(5.65 * (4.333 / 3) ** 0.5, rel=0.01)
    # two that failed: half the bar; a spread that is small by luck is taken to be that of its like
    assert tight["shuffle", "snip"].sees > alone.sees
    assert tight["shuffle", "grasp"].sees > 10 * could_see([[-0.01, 0.02, 0.03]], 0.025)


def test_a_verdict_needs_no_word_on_what_it_could_have_seen():
    study = battery(["shuffle"], by_hand((1, 2, 3), (3, 3.1, 3.2)), criteria=TWO)

    assert battery_of(changes(study.frame), ["snip", "grasp"])["shuffle", "grasp"].sees is None


# --- Cells that failed or collapsed -----------------------------------------------------------------------------------
def test_there_is_no_verdict_while_a_cell_of_either_failed_or_is_missing():
    """Three points in each of five blocks, and the shuffle of a sixth failed."""
    study = battery(["shuffle"], by_hand((3, 3.1, 3.2, 3.3, 3.1, 3.0), (1,) * 6),
                    lambda c: c.ablation == "shuffle" and c.seed == 5 and c.criterion.name == "snip",
                    criteria=TWO, seeds=6)  # fmt: skip

    snip = judged(changes(study.frame), "shuffle", ["snip", "grasp"])["snip"]

    assert (snip.verdict, snip.p, snip.unfinished, snip.blocks, snip.whole) == ("no verdict", None, 1, 6, 5)
    assert dict(verdicts(study, ["shuffle"]))["snip"] == (
        "no verdict on shuffled masks: cells failed or are missing in 1 of 6 blocks; n = 5."
    )


def test_where_shuffles_collapsed_in_some_blocks_there_is_no_interval_and_signs_are_the_test():
    """Two shuffles of seven fall from 89 to 10; signs: 2 of 2 ** 7, corrected for two tests 0.031."""
    study = battery(["shuffle"], by_hand((1, 1, 1, 1, 1, 80, 80), (0,) * 7), criteria=TWO, seeds=7)

    snip = judged(changes(study.frame), "shuffle", ["snip", "grasp"])["snip"]

    assert (snip.change.mean, snip.change.low, snip.flipped) == (pytest.approx(165 / 7), None, True)
    assert snip.p == pytest.approx(2 * 2 / 2**7)
    assert "(no interval; by signs, as cells collapsed)" in dict(verdicts(study, ["shuffle"]))["snip"]


def test_batteries_whose_cells_collapse_hold_their_level():
    """40 batteries of one criterion in six blocks, 30 % of the cells at chance: the t test of old gives 5 to 15 %."""
    draw, found = np.random.default_rng(0), 0
    for _ in range(40):
        rows = table([("shuffle", "a", f"b{i}", 0.0) for i in range(6)])
        for side in ("own_", ""):
            fell = draw.random(6) < 0.3
            rows[f"{side}top1"] = np.where(fell, 10.0, 90 + draw.normal(0, 0.3, 6))
            rows[f"{side}outcome"] = np.where(fell, "collapsed", "trained")
        found += battery_of(rows, ["a"])["shuffle", "a"].verdict != "not separable"

    assert found <= 5  # 2 are meant, give or take two standard deviations of 1.4


def connecting_nothing(*ablations, metric=False):
    """A study whose masks of these ablations connect nothing, by their records or by the metric."""

    def points(cell):
        noise = (0.0, 0.1, -0.1)[cell.seed]
        return 10.0 if cell.ablation in ablations else 60.0 + noise if cell.criterion else 90.0

    study = battery(["shuffle", "invert", "reinit"], points, criteria=TWO)
    empty = study.frame["ablation"].isin(ablations) & (study.frame["criterion"] != "dense")
    if metric:
        study.frame["effective_density"] = np.where(empty, 0.0, 0.1)
    else:
        study.frame["weights_on_paths"] = np.where(empty, 0.0, np.nan)
    return study


@pytest.mark.parametrize("metric", [False, True])
def test_masks_that_connect_nothing_are_counted(metric):
    study = connecting_nothing("invert", metric=metric)

    found = battery_of(changes(study.frame), ["snip"])

    assert [(found[a, "snip"].empty, found[a, "snip"].masks) for a in ("invert", "shuffle")] == [(3, 3), (0, 3)]


@pytest.mark.parametrize("metric", [False, True])
def test_the_masks_of_re_drawn_weights_are_those_of_their_parents(metric):
    study = connecting_nothing("", metric=metric)

    found = battery_of(changes(study.frame), ["snip"])

    assert (found["reinit", "snip"].empty, found["reinit", "snip"].own_empty) == (3, 3)
    assert (found["shuffle", "snip"].empty, found["shuffle", "snip"].own_empty) == (0, 3)
