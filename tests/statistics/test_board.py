"""The board: mean ranks, differences to random, and what they rest on."""

from __future__ import annotations

import pytest
from scipy import stats

from pabench.statistics.board import board, caveats
from pabench.statistics.outcomes import Rate

from ..synthetic import CRITERIA, cells, failed, record, study_of, with_top1


def test_mean_ranks_and_differences_are_those_a_hand_computes():
    """Two seeds, one sparsity: random 80 and 82, snip 84 and 85: differences 4 and 3."""
    top1 = {("random", 0): 80.0, ("random", 1): 82.0, ("snip", 0): 84.0, ("snip", 1): 85.0}
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=2)
    given = with_top1(lambda cell: top1[cell.criterion.name, cell.seed])

    made = board(study_of(expected, random=given, snip=given).frame)

    snip, rand = made.ranked
    assert (snip.criterion, snip.mean_rank, rand.mean_rank) == ("snip", 1.0, 2.0)
    # mean 3.5, SD 0.7071, standard error 0.5, t(0.975, 1 df) = 12.706
    assert (snip.difference.mean, snip.difference.half) == pytest.approx((3.5, 6.353), abs=1e-3)
    assert (snip.letters, rand.letters, snip.ranks) == ("a", "a", (1, 2))


def test_a_mean_rank_has_the_interval_of_its_blocks():
    """random has 80; snip 90 and 90, 90 and 70, 70 and 70: means of 90, 80 and 70, and ranks of 1, 1.5 and 2.

    Mean 1.5, SD 0.5, t(0.975, 2) 0.5 / sqrt(3) = 1.242: cut at the first and the last rank of two.
    """
    beaten = {(1, 0.95), (2, 0.9), (2, 0.95)}
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9, 0.95], seeds=3)
    snip = with_top1(lambda c: 70.0 if (c.seed, c.sparsity) in beaten else 90.0)

    made = board(study_of(expected, snip=snip, random=with_top1(lambda c: 80.0)).frame)

    ranks = {s.criterion: s.rank for s in made.ranked}
    assert (ranks["snip"].mean, ranks["snip"].n) == (1.5, 3)
    assert (ranks["snip"].low, ranks["snip"].high) == (1.0, 2.0)
    assert made.shared == 3


def test_blocks_that_all_agree_give_a_rank_no_interval():
    """Three blocks in one order are no proof that a fourth would have it."""
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], seeds=3)

    made = board(study_of(expected, snip=with_top1(lambda c: 90.0), random=with_top1(lambda c: 80.0)).frame)

    assert [(s.mean_rank, s.rank.low, s.rank.high) for s in made.ranked] == [(1.0, None, None), (2.0, None, None)]


def test_a_model_without_a_common_block_is_left_out_of_a_pair_and_counted():
    def on_one_model(cell):
        return record(cell) if cell.model.name == "resnet20" else failed(cell)

    made = board(study_of(cells(), grasp=on_one_model).frame)

    grasp = next(s for s in made.ranked if s.criterion == "grasp")
    assert (grasp.difference.n, made.blocks, made.compared) == (3, 6, 2)
    assert grasp.difference.low < grasp.difference.mean < grasp.difference.high


def test_the_difference_to_random_does_not_depend_on_who_is_ranked():
    def rarely(cell):
        return with_top1(lambda c: 80)(cell) if cell.seed == 0 else failed(cell)

    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=3)

    made = board(study_of(expected, random=rarely, snip=with_top1(lambda c: 90)).frame)

    assert [s.criterion for s in made.unranked] == ["random"]
    assert (made.ranked[0].difference.mean, made.ranked[0].difference.n) == (10.0, 1)


def test_a_failure_costs_other_pairs_no_block():
    def sometimes(cell):
        return failed(cell) if (cell.seed, cell.sparsity) == (0, 0.99) else record(cell)

    made = board(study_of(cells(models=["resnet20"]), magnitude=sometimes).frame)

    differences = {s.criterion: s.difference.n for s in made.ranked if s.difference}
    assert differences == {"synflow (steps=100)": 3, "grasp": 3, "snip": 3, "magnitude": 2}
    assert (made.shared, made.blocks) == (2, 3)
    assert (made.fewest, made.most) == (2, 3)


def test_a_criterion_that_always_fails_somewhere_is_shown_unranked():
    def at_the_end(cell):
        return failed(cell) if cell.sparsity == 0.99 else record(cell)

    made = board(study_of(cells(models=["resnet20"]), magnitude=at_the_end).frame)

    (unranked,) = made.unranked
    assert (unranked.criterion, unranked.count("failed"), sorted(unranked.means)) == ("magnitude", 3, [0.8, 0.95])
    assert made.shared == 3


def test_the_rank_of_a_block_is_that_of_the_mean_that_is_tested():
    """snip is 1 above random at one sparsity and 9 below at the other: its mean is the lower one in each block."""
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9, 0.95], seeds=3)
    snip = with_top1(lambda c: 81.0 if c.sparsity == 0.9 else 71.0)

    made = board(study_of(expected, snip=snip, random=with_top1(lambda c: 80.0)).frame)

    assert [(s.criterion, s.mean_rank) for s in made.ranked] == [("random", 1.0), ("snip", 2.0)]


# --- Models of one block ----------------------------------------------------------------------------------------------
def models_of(sizes, gap=5.0):
    """random and snip, `gap` points apart give or take a tenth, on models of so many seeds."""
    names = ["resnet20", "vgg11_bn", "vgg16_bn", "resnet32"][: len(sizes)]
    kept = dict(zip(names, sizes, strict=True))
    every = cells([CRITERIA["random"], CRITERIA["snip"]], models=names, sparsities=[0.9], seeds=max(sizes))
    expected = [c for c in every if c.seed < kept[c.model.name]]
    above = with_top1(lambda c: 80 + gap + 0.1 * c.seed + 0.1 * names.index(c.model.name))
    return board(study_of(expected, snip=above, random=with_top1(lambda c: 80.0)).frame)


def test_one_model_of_a_single_seed_does_not_switch_the_test_off():
    """Differences of 5, 5.1 and 5.2 on one model, 5.1 on the other: the test is of the three, the ranks are of all."""
    made = models_of([3, 1])

    assert made.separable
    pair = made.pairs["random", "snip"]
    assert (pair.n, pair.common, pair.mean) == (3, 4, pytest.approx(-5.1))
    assert pair.test.p == pytest.approx(stats.ttest_1samp([5.0, 5.1, 5.2], 0).pvalue)
    assert (made.shared, made.thin) == (4, ("cifar10 · vgg11_bn",))
    assert [s.rank.low for s in made.ranked] == [None, None]
    assert any(said.startswith("A single seed in common on cifar10 · vgg11_bn:") for said in caveats(made))


def test_where_most_models_have_one_seed_models_are_the_sample():
    """Means of 5.05 (of two seeds), 5.1, 5.2 and 5.3."""
    made = models_of([2, 1, 1, 1])

    pair = made.pairs["random", "snip"]
    assert (pair.n, pair.thin, made.over_models, made.seeds) == (4, (), True, 4)
    assert pair.test.p == pytest.approx(stats.ttest_1samp([5.05, 5.1, 5.2, 5.3], 0).pvalue)
    assert any(said.startswith("Most models have a single seed") for said in caveats(made))


def test_signs_of_models_of_one_block_are_a_test_and_the_board_does_not_deny_it():
    """snip is ahead in six blocks of one model and one of another, random at chance in one of them: p = 2 / 2 ** 7."""
    names = ["resnet20", "vgg11_bn"]
    every = cells([CRITERIA["random"], CRITERIA["snip"]], models=names, sparsities=[0.9], seeds=6)
    expected = [c for c in every if c.seed == 0 or c.model.name == names[0]]
    below = with_top1(lambda c: 10.0 if (c.model.name, c.seed) == (names[0], 5) else 80.0)

    made = board(study_of(expected, snip=with_top1(lambda c: 85 + 0.1 * c.seed), random=below).frame)

    assert made.pairs["random", "snip"].test.p == pytest.approx(2 / 2**7)
    assert made.separable
    assert not any("no test" in said for said in caveats(made))
    assert any(said.startswith("Some cells of random collapsed") for said in caveats(made))


def standing_of(made, name):
    return next(s for s in made.lines if s.criterion == name)


def test_a_survivor_is_not_separated_from_those_that_failed_nowhere():
    """snip is ten points better in two of three seeds and diverges in the third; random and grasp are as they were."""
    expected = cells([CRITERIA[n] for n in ("random", "snip", "grasp")], models=["resnet20"], sparsities=[0.9], seeds=9)

    def diverging(cell):
        return failed(cell) if cell.seed in (2, 5) else with_top1(lambda c: 95 + 0.01 * c.seed)(cell)

    low = with_top1(lambda c: 80 + 0.02 * (c.seed % 3))
    made = board(study_of(expected, random=low, snip=diverging).frame)

    letters = {s.criterion: set(s.letters) for s in made.ranked}
    assert letters["snip"] & letters["random"]
    assert letters["snip"] & letters["grasp"]
    assert not letters["grasp"] & letters["random"]  # a pair without a failure keeps its verdict
    assert {names: pair.unfinished for names, pair in made.untested.items()} == {
        ("random", "snip"): 2,
        ("snip", "grasp"): 2,
    }
    assert standing_of(made, "snip").failed == Rate(2, 9)
    (said,) = [one for one in caveats(made) if "No verdict" in one]
    assert said.startswith("No verdict for 2 of 3 pairs")
    assert said.endswith("snip (2 failed).")


def test_a_failure_of_the_machine_is_no_failure_of_the_criterion_but_keeps_its_pairs_open():
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=4)

    def lost(cell):
        return {**failed(cell), "kind": "oom"} if cell.seed == 0 else with_top1(lambda c: 95 + 0.1 * c.seed)(cell)

    made = board(study_of(expected, random=with_top1(lambda c: 80 + 0.2 * c.seed), snip=lost).frame)

    assert (standing_of(made, "snip").failed, made.separable, made.failed) == (Rate(0, 3), False, False)
    assert caveats(made)[-1].endswith("snip (1 missing).")


def test_in_the_second_ranking_a_failed_cell_has_the_accuracy_of_guessing():
    """Four blocks. snip is first in three and fails in one, where it ties with magnitude: (1 + 1 + 1 + 2.5) / 4.

    magnitude always fails: it is not ranked, and the last in the second ranking.
    """
    names = ("random", "snip", "magnitude")
    expected = cells([CRITERIA[n] for n in names], models=["resnet20"], sparsities=[0.9], seeds=4)

    def once(cell):
        return failed(cell) if cell.seed == 0 else with_top1(lambda c: 90.0)(cell)

    made = board(study_of(expected, random=with_top1(lambda c: 80.0), snip=once, magnitude=failed).frame)

    ranks = {s.criterion: (s.mean_rank, s.at_chance.mean) for s in made.ranked + made.unranked}
    assert ranks == {"snip": (1.0, 1.375), "random": (2.0, 1.75), "magnitude": (None, 2.875)}
    assert (made.shared, made.known, made.blocks) == (3, 4, 4)
    assert made.by_chance == ["snip", "random", "magnitude"]


def test_a_collapsed_cell_has_its_rate_and_the_mean_without_it():
    """snip 90, 90, 90.2 and 10: 70.05 over all; without it 90.07 +- 4.303 * 0.1155 / sqrt(3)."""
    top1 = [90.0, 90.0, 90.2, 10.0]
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=4)

    made = board(study_of(expected, snip=with_top1(lambda c: top1[c.seed])).frame)

    snip = standing_of(made, "snip")
    assert snip.collapsed == {0.9: Rate(1, 4)}
    assert (snip.means[0.9].mean, snip.means[0.9].low) == (pytest.approx(70.05), None)
    assert snip.trained[0.9].mean == pytest.approx(90.0667, abs=1e-4)
    assert snip.trained[0.9].half == pytest.approx(4.3027 * 0.11547 / 3**0.5, abs=1e-4)
    assert (snip.difference.low, snip.rank.low) == (None, None)
    assert standing_of(made, "random").means[0.9].low is not None
    assert not made.separable
    assert caveats(made)[-1].startswith("Some cells of snip collapsed")
