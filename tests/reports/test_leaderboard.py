"""The leaderboard: who is ranked, who stands beside, and what is said of the best."""

from __future__ import annotations

import re

import pytest
from pabench_reports.leaderboard import Leaderboard, _remarks

from pabench.report import page as report
from pabench.statistics.board import board
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, battery, cells, collapsed, failed, study_of, with_top1
from .test_comparison import ahead, words
from .test_sanity import TWO, board_words, by_hand


def test_the_leaderboard_says_who_beats_its_own_shuffle():
    study = battery(["shuffle"], by_hand((3, 3.1, 3.2), (1, 2, 3)), criteria=TWO)

    assert board_words(study) == {"snip": "yes", "grasp": "not separable"}
    assert "Beats its own shuffle?" not in Leaderboard().render(battery([], criteria=TWO))


def test_the_leaderboard_counts_plain_cells():
    page = Leaderboard().render(battery())

    assert re.findall(r'<td class="counts">(\d+) of (\d+)', page) == [("3", "3")] * 5


def test_a_clear_and_steady_difference_is_separated():
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=3)
    noise = {0: 0.0, 1: 0.1, 2: -0.1}

    made = board(study_of(expected, snip=with_top1(lambda c: 90 + noise[c.seed]), random=with_top1(lambda c: 80)).frame)

    assert [(s.criterion, s.letters, s.ranks) for s in made.ranked] == [("snip", "a", (1, 1)), ("random", "b", (2, 2))]
    assert _remarks(made)[0] == "snip is better than all other ranked criteria."


def test_the_answer_names_all_that_may_be_the_best():
    """snip and grasp differ by noise, random lies 10 points below both."""
    noise = {0: 0.0, 1: 0.1, 2: -0.1}
    names = [CRITERIA["random"], CRITERIA["snip"], CRITERIA["grasp"]]
    expected = cells(names, models=["resnet20"], sparsities=[0.9], seeds=3)
    top1 = {
        "snip": with_top1(lambda c: 90 + noise[c.seed]),
        "grasp": with_top1(lambda c: 90 + noise[2 - c.seed]),
        "random": with_top1(lambda c: 80.0),
    }

    said = _remarks(board(study_of(expected, **top1).frame))[0]

    assert said == "grasp, snip: any of these may be the best: the tests tell none of them from another."


def test_one_seed_separates_nothing_and_says_so():
    study = study_of(cells(models=["resnet20"], seeds=1))

    made = board(study.frame)

    assert {s.letters for s in made.ranked} == {"a"}
    assert all(s.difference is None or s.difference.low is None for s in made.ranked)
    assert "there is no interval and no test, and the order may be chance" in report.render(study)


def test_reference_lines_stand_beside_the_ranking_and_change_nothing_in_it():
    """Far above all criteria, one would take the first rank of each; its difference to random is shown: 95 - 80."""
    line = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")
    names = [CRITERIA["random"], CRITERIA["snip"]]
    noise = {0: 0.0, 1: 0.1, 2: -0.1}
    top1 = {
        "snip": with_top1(lambda c: 90 + noise[c.seed]),
        "random": with_top1(lambda c: 80),
        "late": with_top1(lambda c: 95 - noise[c.seed]),
    }
    alone = study_of(cells(names, models=["resnet20"]), **top1)
    both = study_of(cells([*names, line], models=["resnet20"]), **top1)

    made, before = board(both.frame), board(alone.frame)

    def placed(of):
        return [(s.criterion, s.mean_rank, s.ranks, s.letters, s.difference) for s in of.ranked]

    assert placed(made) == placed(before)
    assert (made.shared, made.blocks, made.unranked) == (before.shared, before.blocks, ())
    (beside,) = made.beside
    assert (beside.criterion, beside.note, beside.mean_rank) == ("late", "not at initialization", None)
    assert beside.difference.mean == pytest.approx(15.0)
    page = report.render(both)
    assert page.count("late <small>not at initialization</small>") == 2  # leaderboard and cost
    assert "Lines above the first place" in page
    assert "Lines above the first place" not in report.render(alone)


def test_one_ranked_criterion_is_compared_with_nothing_and_no_seed_is_blamed():
    alone = board(study_of(cells([CRITERIA["snip"]], models=["resnet20"], seeds=3)).frame)
    lost = board(study_of(cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"]), random=failed).frame)

    for made in (alone, lost):
        assert _remarks(made)[-1] == "One criterion is ranked: there is nothing to compare it with."
        assert not [remark for remark in _remarks(made) if "seed" in remark or "Pairs" in remark]


def test_a_best_criterion_is_not_said_to_be_better_than_what_is_not_ranked():
    def rarely(cell):
        return with_top1(lambda c: 95)(cell) if cell.seed == 0 else failed(cell)

    noise = {0: 0.0, 1: 0.1, 2: -0.1}
    expected = cells([CRITERIA[n] for n in ("random", "snip", "grasp")], models=["resnet20"], sparsities=[0.9], seeds=3)
    tops = {"snip": with_top1(lambda c: 90 + noise[c.seed]), "random": with_top1(lambda c: 80), "grasp": rarely}

    made = board(study_of(expected, **tops).frame)

    assert _remarks(made)[0] == "snip is better than all other ranked criteria (not ranked: grasp)."


def test_collapsed_cells_count_with_what_they_reached_and_are_marked():
    study = study_of(cells(models=["resnet20"]), snip=collapsed)

    snip = next(s for s in board(study.frame).ranked if s.criterion == "snip")

    assert {s: interval.mean for s, interval in snip.means.items()} == {0.8: 10.0, 0.95: 10.0, 0.99: 10.0}
    assert {s: str(flagged) for s, flagged in snip.flagged.items()} == dict.fromkeys(
        (0.8, 0.95, 0.99), "3 flagged (layer collapse 3)"
    )
    assert report.render(study).count("⚑ 3 flagged") == 3


def test_the_leaderboard_shows_no_interval_of_width_0():
    """snip 82 and random 80 in each of three seeds: no figure has a spread, and none is certain for that."""
    said = words(Leaderboard().render(ahead((2.0, 2.0, 2.0))))

    assert "+2.00" in said
    assert "± 0.00" not in said


@pytest.mark.parametrize("reference", [True, False])
def test_the_difference_to_random_has_a_column_where_there_is_one(reference):
    compared = ["snip", "grasp", *["random"] * reference]
    page = Leaderboard().render(battery(criteria=[CRITERIA[name] for name in compared]))

    assert ("Δ random" in page) is reference
    columns = [len(re.findall("<t[hd]", row)) for row in re.findall("<tr.*?</tr>", page, re.DOTALL)]
    assert len(columns) > 2
    assert len(set(columns)) == 1


def survivor(cell):
    """Far better than all others, where it trains."""
    return failed(cell) if cell.seed in (1, 6) else with_top1(lambda c: 97 + 0.01 * c.seed)(cell)


def test_the_page_crowns_no_survivor_and_gives_the_second_ranking_and_the_rate():
    study = study_of(cells(models=["resnet20"], sparsities=[0.9], seeds=8), snip=survivor)

    said = words(Leaderboard().render(study))

    assert "snip is better" not in said
    assert "No verdict for 4 of 10 pairs" in said
    assert "If failed cells count as guesses, the order is, over the 8 of 8 blocks without missing cells:" in said
    assert "2 of 8 25 % [3.2, 65.1]" in said
    assert "0 of 8 0 % [0.0, 36.9]" in said


def test_a_study_without_failures_has_one_ranking_and_says_what_few_blocks_hide():
    said = words(Leaderboard().render(study_of(cells(models=["resnet20"], sparsities=[0.9], seeds=3))))

    assert "the order is:" not in said
    assert "Where none of 3 cells failed or collapsed, the true rate may still be up to 71 %." in said


def test_a_collapse_has_its_rate_and_no_interval_over_all():
    def sometimes(cell):
        return with_top1(lambda c: 10.3 if c.seed == 0 else 90.0 + 0.1 * c.seed)(cell)

    said = words(Leaderboard().render(study_of(cells(models=["resnet20"], sparsities=[0.9], seeds=4), snip=sometimes)))

    assert "70.22 1 of 4 collapsed 25 % [0.6, 80.6] without them 90.20 ± 0.25" in said
