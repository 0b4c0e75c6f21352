"""The comparison section: what it says of criteria, and of what cannot be said."""

from __future__ import annotations

import doctest
import re

import numpy as np
import pytest
from pabench_reports import comparison
from pabench_reports.comparison import Comparison, compared
from pabench_reports.figure import looks

from pabench.report.study import Study
from pabench.statistics.board import board
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, cells, failed, record, study_of, with_top1

TWO = [CRITERIA["snip"], CRITERIA["random"]]
GAPS = (1.0, 1.4, 0.9, 1.5, 1.2, 1.3)


def ahead(gaps) -> Study:
    """snip above random by `gaps`, one for each seed, the same at both sparsities."""
    expected = cells(TWO, models=["resnet20"], sparsities=[0.9, 0.95], seeds=len(gaps))
    return study_of(expected, snip=with_top1(lambda c: 80 + gaps[c.seed]), random=with_top1(lambda c: 80.0))


def page(study: Study) -> str:
    return Comparison().render(study) or ""


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_sparsities_of_a_block_are_not_counted_as_blocks():
    found = compared("x", ahead(GAPS[:3]).plain, looks(["snip", "random"]))

    assert [duel.difference.n for duel in found.duels] == [3]
    assert "n = 3 blocks" in found.notes["ranks"]


def test_with_five_blocks_wilcoxon_can_say_nothing_and_the_page_says_so():
    """2 / 32 = 0.0625 at the least, though the t test separates these two."""
    said = words(page(ahead(GAPS[:5])))

    assert "The two criteria can be told apart at 5 %" in said
    assert "With 5 blocks the smallest possible p is 0.0625: this test can tell nothing apart here." in said
    assert "Wilcoxon: with" not in words(page(ahead(GAPS)))


def test_pairs_that_noise_would_rank_are_not_separable():
    said = words(page(ahead((0.5, -0.4, 0.3, -0.2, 0.1, -0.05))))

    assert "The two criteria cannot be told apart at 5 %" in said
    assert "the ranks cannot be told apart, one bar joins all" in said
    assert said.count("cannot be told apart") >= 3


def test_one_seed_has_no_test_no_p_and_no_diagram():
    html = page(study_of(cells(models=["resnet20"], seeds=1)))

    assert "No two criteria can be told apart" in html
    assert "Friedman: no test" in html
    assert "<svg" not in html
    assert html.count('<td class="num">–</td><td class="num">1</td><td class="num">–</td>') == 10  # interval, n, p
    assert html.count('<td class="num">1</td><td class="num">–</td></tr>') == 10  # Wilcoxon's


def test_differences_without_spread_have_no_t_test():
    said = words(page(ahead((2.0, 2.0, 2.0))))

    assert "No two criteria can be told apart: no pair has two blocks that differ" in said


def test_three_criteria_and_two_blocks_are_not_separable_because_nothing_could_be():
    """All blocks agree in one of 3! orders: p = 0.167 at the least."""
    three = [*TWO, CRITERIA["grasp"]]
    expected = cells(three, models=["resnet20"], sparsities=[0.9], seeds=2)
    tops = {n: with_top1(lambda c, at=at: at + c.seed / 3) for n, at in (("snip", 90), ("grasp", 85), ("random", 80))}

    said = words(page(study_of(expected, **tops)))

    assert "χ² = 4.00, p = 0.17 (exact), n = 2 blocks: the ranks cannot be told apart. With so few blocks" in said
    assert "they never could: if all agreed, p = 0.17. One bar joins all." in said
    assert "could not be" not in words(page(study_of(cells(three, models=["resnet20"], seeds=3))))


def test_nemenyi_out_of_reach_is_said_where_friedman_does_not_reject_too():
    """Five criteria in two blocks: q sqrt(30 / 12) = 4.31, and ranks differ by at most 4."""
    opposed = {
        spec.name: with_top1(lambda c, i=i: 80.0 + (i if c.seed else -i)) for i, spec in enumerate(CRITERIA.values())
    }

    said = words(page(study_of(cells(models=["resnet20"], seeds=2), **opposed)))

    assert "one bar joins all; Nemenyi needs mean ranks 4.31 apart, and 4 is the most there can be: no pair" in said


def test_zeros_that_wilcoxon_leaves_out_are_no_blocks_that_it_has():
    said = words(page(ahead((0.5, 0.4, 0.3, 0.2, 0.1, 0.0))))

    assert "With 5 differences other than 0 the smallest possible p is 0.0625: this test can tell nothing apart" in said


def test_block_means_that_only_rounding_tells_apart_are_equal():
    """The same three accuracies in another order: one of these sums of 70.2, 80.3 and 90.1 is larger by a bit."""
    expected = cells(TWO, models=["resnet20"], sparsities=[0.8, 0.9, 0.95], seeds=6)
    place = {0.8: 0, 0.9: 1, 0.95: 2}
    study = study_of(
        expected,
        snip=with_top1(lambda c: (90.1, 80.3, 70.2)[place[c.sparsity]]),
        random=with_top1(lambda c: (70.2, 90.1, 80.3)[place[c.sparsity]]),
    )

    found = compared("x", study.plain, looks(["snip", "random"]))

    (duel,) = found.duels
    assert (duel.difference.mean, duel.difference.low, duel.ranks.n, found.figure) == (0.0, None, 0, None)
    assert "the criteria are equal in each of 6 blocks" in found.notes["ranks"]


@pytest.mark.parametrize(("seeds", "told"), [(3, True), (4, False)])
def test_with_fewer_than_four_cells_nothing_is_trimmed_and_it_is_called_a_mean(seeds, told):
    html = page(study_of(cells(TWO, models=["resnet20"], sparsities=[0.9], seeds=seeds)))

    assert ("Mean change from dense" in html, "IQM change from dense" in html) == (told, not told)
    assert ("Of 3 cells the middle half is all of them: the plain mean is given instead." in html) is told


def test_models_with_other_numbers_of_cells_weigh_otherwise_in_the_interquartile_mean_and_it_says_so():
    """vgg11_bn fails in two of three seeds: 6 cells and 2."""
    expected = cells(TWO, sparsities=[0.9, 0.95])

    def sometimes(cell):
        return failed(cell) if cell.model.name == "vgg11_bn" and cell.seed else record(cell)

    told = "so that models with more cells count more (2 to 6)"
    assert told in page(study_of(expected, snip=sometimes))
    assert "count more" not in page(study_of(expected))


def test_accuracies_of_several_models_without_dense_baselines_are_not_trimmed_together():
    study = study_of([c for c in cells(TWO) if c.criterion])
    everything, one = (
        compared("x", f, looks(["snip", "random"])) for f in (study.plain, study.plain.query("model == 'resnet20'"))
    )

    assert (everything.middle, set(one.middle)) == ({}, {"snip", "random"})
    assert "No IQM: without dense baselines" in everything.notes["middle"]


def test_models_with_other_sparsities_have_probabilities_and_interquartile_means():
    """3 blocks of resnet20 at 0.9 and 3 of vgg11_bn at 0.8 and 0.95: none lacks what it was never to have."""
    kept = [
        c
        for c in cells(TWO, sparsities=[0.8, 0.9, 0.95])
        if not c.criterion or (c.model.name == "resnet20") is (c.sparsity == 0.9)
    ]

    found = compared("x", study_of(kept).plain, looks(["snip", "random"]))

    assert [duel.won.n for duel in found.duels] == [6]
    assert {name: i.n for name, i in found.middle.items()} == {"snip": 6, "random": 6}
    assert not any(np.isnan(i.mean) for i in found.middle.values())


@pytest.mark.parametrize("names", [[CRITERIA["snip"]], []])
def test_fewer_than_two_criteria_have_nothing_to_compare(names):
    assert page(study_of(cells(names, models=["resnet20"]))) == ""


def test_a_study_of_failures_has_no_comparison():
    assert page(study_of(cells(models=["resnet20"]), **dict.fromkeys(CRITERIA, failed))) == ""


def test_it_needs_no_random_and_no_dense_baseline():
    expected = [c for c in cells([CRITERIA["snip"], CRITERIA["grasp"]], models=["resnet20"]) if c.criterion]
    said = words(page(study_of(expected)))

    assert "IQM top-1" in said
    assert "1 pair" in said


def test_reference_lines_and_ablations_change_nothing_in_it():
    line = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")
    alone = page(study_of(cells(TWO, models=["resnet20"])))
    more = page(study_of(cells([*TWO, line], models=["resnet20"], ablations=("shuffle",))))

    assert "Reference lines take no part." in more
    assert "late" not in more
    assert more.replace(" Reference lines take no part.", "") == alone


def test_a_failed_cell_costs_its_own_pairs_one_block():
    def sometimes(cell):
        return failed(cell) if (cell.seed, cell.sparsity) == (0, 0.99) else record(cell)

    found = compared(
        "x",
        study_of(cells(models=["resnet20"], seeds=4), grasp=sometimes).plain,
        looks([*CRITERIA, "synflow (steps=100)"]),
    )

    assert {d.difference.n for d in found.duels if "grasp" in (d.a, d.b)} == {3}
    assert {d.difference.n for d in found.duels if "grasp" not in (d.a, d.b)} == {4}
    assert "n = 4 blocks" in found.notes["ranks"]  # of the diagram, which grasp is not in
    assert "Not in it, as cells failed or are missing: grasp. Ranks here are among the other 4" in found.notes["ranks"]


def test_one_test_decides_and_the_others_are_folded():
    """Six blocks that snip wins by a point: the pairs stand open, and each other view says what it is for."""
    html = page(ahead(GAPS))

    opened, *folded = re.findall(r"<details( open)?>\s*<summary>(.*?)</summary>", html)
    assert opened == (" open", "Paired differences of 1 pair")
    assert [state for state, _ in folded] == [""] * 5
    assert re.findall(r"<p>(\w+ [\w ]+)\?", html) == [
        "Do the criteria differ at all",
        "Does a single block make the difference",
        "How regular is a difference",
        "How large is a typical change",
    ]
    assert "Wilcoxon" not in html[: html.index(folded[0][1])]


def test_a_share_of_wins_is_coloured_where_the_test_separates_the_two_and_nowhere_else():
    """snip wins every block, and by so unlike margins that the t test separates nothing: p = 0.09."""
    clear, unclear = page(ahead(GAPS)), page(ahead((0.1, 0.2, 0.1, 9.0, 6.0, 0.3)))

    assert [html.count('class="num win"') for html in (clear, unclear)] == [1, 0]
    assert [html.count('class="num loss"') for html in (clear, unclear)] == [1, 0]
    assert all("1.00 <small>[0.54, 1.00]" in html for html in (clear, unclear))


def test_the_diagram_has_the_mean_ranks_of_the_leaderboard():
    """Models of three and of two seeds, which count the same in both."""
    expected = [c for c in cells(seeds=3) if c.model.name == "resnet20" or c.seed < 2]
    study = study_of(expected)

    found = compared("x", study.plain, looks([*CRITERIA, "synflow (steps=100)"]))

    ranks = {s.criterion: f"{s.mean_rank:.2f}" for s in board(study.frame).ranked}
    label = re.search(r'aria-label="[^:]*: ([^;]*);', found.figure.svg)[1]
    assert dict(entry.rsplit(" ", 1) for entry in label.split(", ")[0:]) == ranks


def test_wins_of_a_pair_both_ways_sum_to_one():
    found = compared("x", study_of(cells(seeds=4)).plain, looks([*CRITERIA, "synflow (steps=100)"]))

    for (a, b), won in found.won.items():
        other = found.won[b, a]
        assert (won.mean + other.mean, won.low + other.high) == pytest.approx((1.0, 1.0))


def test_the_interquartile_mean_is_of_changes_from_the_blocks_own_dense_network():
    """Dense 90 and 92, pruned 88 and 90 at both sparsities: -2 everywhere, so its interval has nothing to go by."""
    expected = cells(TWO, models=["resnet20"], sparsities=[0.9, 0.95], seeds=2)
    below = with_top1(lambda c: 88.0 + 2 * c.seed)
    study = study_of(expected, dense=with_top1(lambda c: 90.0 + 2 * c.seed), snip=below, random=below)

    found = compared("x", study.plain, looks(["snip", "random"]))

    assert found.dense
    assert {name: (i.mean, i.low) for name, i in found.middle.items()} == {"snip": (-2.0, None), "random": (-2.0, None)}


def test_hostile_names_stay_text():
    hostile = [CriterionSpec("<script>alert(1)</script>", version=1), CriterionSpec("_a$\\frac{$", version=1)]
    html = page(study_of(cells(hostile, models=["resnet20"])))

    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "_a$\\frac{$" in html


def test_sixteen_criteria_have_their_pairs_folded_away():
    names = [CriterionSpec(f"c{i}", args={"i": i}, version=1) for i in range(16)]

    html = page(study_of(cells(names, models=["resnet20"], sparsities=[0.9])))

    assert "<details>" in html
    assert "120 pairs" in html
    assert "<details open>" in page(study_of(cells(models=["resnet20"])))


def test_it_is_made_the_same_every_time():
    study = study_of(cells(TWO, models=["resnet20"], seeds=12))

    html = page(study)
    assert page(study) == html


def test_doctests_hold():
    assert doctest.testmod(comparison).failed == 0


def test_the_diagrams_are_among_the_figures_that_can_be_written():
    study = study_of(cells(seeds=3))

    assert [drawn.of for drawn in Comparison().figures(study)] == ["", "cifar10 · resnet20", "cifar10 · vgg11_bn"]
    assert Comparison().figures(study_of(cells(models=["resnet20"], seeds=1))) == []
