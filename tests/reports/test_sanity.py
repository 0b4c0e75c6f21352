"""The sanity battery in the report: paired changes, verdicts, and no ablation among the plain cells."""

from __future__ import annotations

import re

import pytest
from pabench_reports.accuracy import Accuracy
from pabench_reports.battery import changes, judged
from pabench_reports.cost import ScoringCost
from pabench_reports.diagnostics import Diagnostics
from pabench_reports.layers import Layers, layer_densities
from pabench_reports.leaderboard import Leaderboard
from pabench_reports.sanity import Sanity, verdicts

from pabench.report import page as report
from pabench.report.study import Study
from pabench.statistics.board import board
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, battery, cells, study_of, with_top1


def verdict(study: Study, ablation: str = "shuffle") -> dict[str, str]:
    names = [str(name) for name in study.plain["criterion"].unique() if name != "dense"]
    return {name: j.verdict for name, j in judged(changes(study.frame), ablation, names).items()}


def by_hand(snip: tuple[float, ...], grasp: tuple[float, ...]):
    """Accuracies such that snip and grasp lose these points by shuffling, in the block of each seed."""
    points = {"snip": snip, "grasp": grasp}
    return lambda cell: (
        90.0 - (points.get(cell.criterion.name, snip)[cell.seed] if cell.ablation == "shuffle" else 0.0)
        if cell.criterion
        else 93.0
    )


TWO = [CRITERIA["snip"], CRITERIA["grasp"]]


def test_a_criterion_that_does_worse_than_its_shuffle_is_told():
    study = battery(["shuffle"], by_hand((1, 2, 3), (-3, -3.1, -3.2)), criteria=TWO)

    assert verdict(study) == {"snip": "not separable", "grasp": "worse"}
    assert dict(verdicts(study, ["shuffle"]))["grasp"].startswith(
        "loses to its own shuffle by 3.10 points (+2.85 to +3.35): its layer densities are better"
    )
    assert board_words(study) == {"snip": "not separable", "grasp": "no"}


def board_words(study: Study) -> dict[str, str]:
    """The leaderboard's column, by criterion."""
    rows = re.findall(r"<tr>(.*?)</tr>", Leaderboard().render(study), re.DOTALL)
    found = [re.search(r'row">(.*?)</th>.*<td class="shuffle">(.*?)(?: <small>.*?)?</td>', r, re.DOTALL) for r in rows]
    return {match[1]: match[2] for match in found if match}


def test_a_huge_change_is_not_separable_with_one_seed():
    study = battery(["shuffle"], by_hand((50,), (60,)), criteria=TWO, seeds=1)

    assert verdict(study) == {"snip": "not separable", "grasp": "not separable"}
    assert dict(verdicts(study, ["shuffle"]))["snip"] == (
        "cannot be told from its own shuffle (+50.00, no interval; better in 1 and worse in 0 of 1 block; cannot be "
        "tested): "
        "nothing shows that more than its layer densities matters; n = 1."
    )


def test_without_data_there_is_no_verdict():
    study = battery(["shuffle"], None, lambda c: c.ablation == "shuffle", criteria=TWO)

    assert set(verdict(study).values()) == {"no data"}
    assert dict(verdicts(study, ["shuffle"])) == {"snip": "no data yet.", "grasp": "no data yet."}
    assert set(board_words(study).values()) == {"no data"}


def test_what_is_not_separable_from_its_shuffle_stands_beside_what_could_have_been_seen_and_the_signs():
    study = battery(["shuffle"], by_hand((-1, 2, 3), (3, 3.1, 3.2)), criteria=TWO)

    said = dict(verdicts(study, ["shuffle"]))["snip"]

    # spread 2.08, the bar 5 % since grasp's test passed: 6.8 standard errors of 1.2
    assert said == (
        "cannot be told from its own shuffle (+1.33, −3.84 to +6.50; better in 2 and worse in 1 of 3 blocks; "
        "a change of 6.8 points would have been found): nothing shows that more than its layer densities matters; "
        "n = 3."
    )


@pytest.mark.parametrize(
    ("ablation", "fact", "conclusion"),
    [
        ("invert", "keeping the lowest scores costs 50.00 points", "the ranking has a direction"),
        ("shuffle", "beats its own shuffle by 50.00 points", "the choice of weights matters"),
    ],
)
def test_nothing_follows_from_masks_that_connect_nothing(ablation, fact, conclusion):
    """One such mask of three is enough: any network beats one that gives all images one answer."""

    def points(cell):
        return (10.0 if cell.ablation else 60.0) + (0.0, 0.1, -0.1)[cell.seed] * bool(cell.ablation)

    study = battery([ablation], points, criteria=TWO)
    (first, *_) = study.frame.index[(study.frame["ablation"] == ablation) & (study.frame["criterion"] == "snip")]
    study.frame.loc[first, "weights_on_paths"] = 0

    said = dict(verdicts(study, [ablation]))

    noun = {"invert": "inverted", "shuffle": "shuffled"}[ablation]
    assert said["snip"].startswith(fact)
    assert f"but 1 of 3 {noun} masks connect nothing (effective density 0): this does not show that" in said["snip"]
    assert f"): {conclusion}" in said["grasp"]
    assert f"): {conclusion}" not in said["snip"]


# --- Plain cells only -------------------------------------------------------------------------------------------------
def test_ablations_enter_no_other_section():
    """The sections of the plain cells are the same with and without them, save the leaderboard's column."""
    full, bare = battery(), battery([])

    assert len(full.frame) == 3 * (1 + 5 * 6)
    assert len(full.plain) == len(bare.frame) == 3 * (1 + 5)
    for section in (Accuracy(), Layers(), ScoringCost(), Diagnostics()):
        assert section.render(full) == section.render(bare)
    assert [s.mean_rank for s in board(full.plain).ranked] == [s.mean_rank for s in board(bare.frame).ranked]
    assert len(layer_densities(full, full.plain)) == len(layer_densities(bare, bare.frame))


def test_the_section_has_a_figure_a_verdict_and_a_line_for_each_sparsity():
    page = Sanity().render(battery(sparsities=[0.9, 0.98]))

    assert "Does the choice of weights matter, or only the layer densities?" in page
    assert page.count('class="figure"') == 5
    assert len(re.findall(r"<li><b>.*?</b>: ", page)) == 5
    assert len(re.findall(r'<th scope="row">', page)) == 10
    assert page.count("<small>inapplicable</small>") == 3 * 2 * 2


def test_there_is_no_section_without_ablations():
    assert Sanity().render(battery([])) is None
    assert '<section id="sanity"' in report.render(battery(seeds=1))


def test_a_reference_line_is_held_against_its_own_shuffle_like_any_other():
    """Its masks are as good as shuffled ones of 95 - 20: it beats them; no section is lost over it."""
    line = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")
    noise = {0: 0.0, 1: 0.1, 2: -0.1}
    top1 = {"late": with_top1(lambda c: 75 - noise[c.seed] if c.ablation else 95 + noise[c.seed])}
    study = study_of(cells([CRITERIA["random"], line], models=["resnet20"], ablations=("shuffle",)), **top1)

    page = report.render(study)

    assert "could not be made" not in page
    assert re.search(r'late <small>not at initialization</small>.*?<td class="shuffle">yes <small>\+20\.00', page, re.S)
