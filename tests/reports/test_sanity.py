"""The sanity battery in the report: paired changes, verdicts, and no ablation among the plain cells."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from pabench_reports.accuracy import Accuracy
from pabench_reports.battery import changes, judged
from pabench_reports.cells import Cells, table
from pabench_reports.checklist import answers
from pabench_reports.cost import ScoringCost
from pabench_reports.gradient import Gradient
from pabench_reports.layers import Layers, layer_densities
from pabench_reports.leaderboard import Leaderboard
from pabench_reports.overview import Overview
from pabench_reports.protocol import pairing
from pabench_reports.sanity import Sanity, verdicts

from pabench.report import frame, page as report
from pabench.report.study import Study
from pabench.statistics.board import board
from pabench.suite.ablations import ABLATIONS, IN_BATCH
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, cells, inapplicable, manifest, record

DATA_FREE = ("random", "magnitude", "synflow")


def battery(ablations=tuple(ABLATIONS), top1=None, without=lambda cell: False, **grid) -> Study:
    """A finished study with ablations; `top1(cell)` sets accuracies, cells `without` have no record."""
    expected = cells(ablations=ablations, **{"models": ["resnet20"], "sparsities": [0.9], **grid})
    records = {}
    for cell in expected:
        if cell.ablation in IN_BATCH and cell.criterion.name in DATA_FREE:
            records[cell.key] = inapplicable(cell)
        elif not without(cell):
            good = record(cell)
            records[cell.key] = good if top1 is None else {**good, "result": {**good["result"], "top1": top1(cell)}}
    return frame.study(manifest(expected), records)


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


def test_a_criterion_that_does_worse_than_its_shuffle_is_told():
    study = battery(["shuffle"], by_hand((1, 2, 3), (-3, -3.1, -3.2)), criteria=TWO)

    assert verdict(study) == {"snip": "not separable", "grasp": "worse"}
    assert dict(verdicts(study, ["shuffle"]))["grasp"].startswith(
        "loses to its own shuffle by 3.10 points (+2.85 to +3.35): its layer densities are better"
    )
    assert board_words(study) == {"snip": "not separable", "grasp": "no"}


def test_reference_lines_are_corrected_among_themselves():
    lines = [CriterionSpec(f"line{n}", version=1, trains=True, reference_line="trained") for n in range(3)]
    alone = battery(["shuffle"], by_hand((1, 2, 3), (3, 3.1, 3.2)), criteria=TWO)
    beside = battery(["shuffle"], by_hand((1, 2, 3), (3, 3.1, 3.2)), criteria=[*TWO, *lines])
    names = ["snip", "grasp", *(line.name for line in lines)]

    few = judged(changes(alone.frame), "shuffle", names[:2])
    many = judged(changes(beside.frame), "shuffle", names)

    assert {name: many[name].p for name in few} == {name: few[name].p for name in few}


def board_words(study: Study) -> dict[str, str]:
    """The leaderboard's column, by criterion."""
    rows = re.findall(r"<tr>(.*?)</tr>", Leaderboard().render(study), re.DOTALL)
    found = [re.search(r'row">(.*?)</th>.*<td class="shuffle">(.*?)(?: <small>.*?)?</td>', r, re.DOTALL) for r in rows]
    return {match[1]: match[2] for match in found if match}


def test_a_huge_change_is_not_separable_with_one_seed():
    study = battery(["shuffle"], by_hand((50,), (60,)), criteria=TWO, seeds=1)

    assert verdict(study) == {"snip": "not separable", "grasp": "not separable"}
    assert dict(verdicts(study, ["shuffle"]))["snip"] == (
        "not separable from its own shuffle (+50.00, no interval): "
        "nothing shows that more than its layer densities matters; n = 1."
    )


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


def test_without_data_there_is_no_verdict():
    study = battery(["shuffle"], None, lambda c: c.ablation == "shuffle", criteria=TWO)

    assert set(verdict(study).values()) == {"no data"}
    assert dict(verdicts(study, ["shuffle"])) == {"snip": "no data yet.", "grasp": "no data yet."}
    assert set(board_words(study).values()) == {"no data"}


def test_the_leaderboard_says_who_beats_its_own_shuffle():
    study = battery(["shuffle"], by_hand((3, 3.1, 3.2), (1, 2, 3)), criteria=TWO)

    assert board_words(study) == {"snip": "yes", "grasp": "not separable"}
    assert "Beats its own shuffle?" not in Leaderboard().render(battery([], criteria=TWO))


# --- Plain cells only -------------------------------------------------------------------------------------------------


def test_ablations_enter_no_other_section():
    """The sections of the plain cells are the same with and without them, save the leaderboard's column."""
    full, bare = battery(), battery([])

    assert len(full.frame) == 3 * (1 + 5 * 6)
    assert len(full.plain) == len(bare.frame) == 3 * (1 + 5)
    for section in (Accuracy(), Layers(), ScoringCost(), Gradient()):
        assert section.render(full) == section.render(bare)
    assert [s.mean_rank for s in board(full.plain).ranked] == [s.mean_rank for s in board(bare.frame).ranked]
    assert len(layer_densities(full, full.plain)) == len(layer_densities(bare, bare.frame))


def test_the_leaderboard_counts_plain_cells():
    page = Leaderboard().render(battery())

    assert re.findall(r'<td class="counts">(\d+) of (\d+)', page) == [("3", "3")] * 5


def test_the_overview_counts_all_cells_and_does_not_complain_of_what_cannot_apply():
    """Three data-free criteria times two ablations of the batch times three seeds are skipped by design."""
    page = Overview().render(battery())

    assert "<b>93</b> cells" in page
    assert "<b>18</b> skipped" in page
    assert "failed or skipped" not in page
    assert "shuffle, reinit, invert, random_labels, shuffled_pixels" in page


def test_the_checklist_asks_for_the_battery():
    def states(study):
        asked = ("Is each mask", "Is each ranking")
        return {one.question: one.state for one in answers(study) if one.question.startswith(asked)}

    assert set(states(battery()).values()) == {"met"}
    assert list(states(battery(["shuffle"])).values()) == ["met", "missing", "missing"]


def test_pairing_compares_each_ablation_with_its_like():
    found = {p.what: p for p in pairing(battery())}

    assert [(p.equal, p.blocks, p.unknown) for p in found.values()] == [(6, 6, 0), (3, 3, 0), (3, 3, 0), (9, 9, 0)]
    assert found["initial weights"].unit == "groups of cells (reinit apart)"
    assert found["data order"].unit == "blocks"
    assert found["scoring batch"].unit == (
        "groups of cells that ask for as many images (random_labels, shuffled_pixels apart)"
    )


def test_a_weight_that_should_be_shared_and_is_not_is_counted():
    study = battery()
    shuffled = study.frame[(study.frame["ablation"] == "shuffle") & (study.frame["seed"] == 1)]["key"].iloc[0]
    changed = {**study.records[shuffled], "pairing": {**study.records[shuffled]["pairing"], "weights": "f" * 64}}

    found = pairing(replace(study, records={**study.records, shuffled: changed}))

    assert [(p.equal, p.blocks) for p in found][:2] == [(5, 6), (3, 3)]


# --- Rows and commands ------------------------------------------------------------------------------------------------


def test_a_row_names_its_ablation_and_its_parent():
    study = battery(["invert"], criteria=TWO, seeds=1)

    rows = study.frame.set_index("key")
    inverted = rows[rows["ablation"] == "invert"]
    assert len(inverted) == 2
    assert [rows.loc[parent, "criterion"] for parent in inverted["parent"]] == list(inverted["criterion"])
    assert set(rows[rows["ablation"] == ""]["parent"]) == {""}


def test_the_command_of_a_cell_names_its_ablation_where_there_are_some():
    commands = [c for c in battery(["invert"], criteria=TWO, seeds=1).frame["rerun"] if "snip" in c]
    bare = battery([], criteria=TWO, seeds=1).frame["rerun"]

    assert [c.split(" --only ")[-1] for c in commands] == ["ablation=none", "ablation=invert"]
    assert not any("ablation" in c for c in bare)
    assert not any("ablation" in c for c in battery(["invert"]).frame["rerun"] if "criterion=dense" in c)


def test_the_table_of_cells_can_be_filtered_by_ablation():
    study = battery(["invert"], criteria=TWO, seeds=1)
    data = table(study)

    assert data["ablation"] == ["", "invert"]
    assert data["only"]["ablation"] == ["ablation=none", "ablation=invert"]
    assert [data["ablation"][row[14]] for row in data["rows"]] == ["", "", "", "invert", "invert"]
    assert data["rows"][3][15] == 1  # the row of its parent
    assert '<select name="ablation">' in Cells().render(study)
    assert '<select name="ablation">' not in Cells().render(battery([], seeds=1))


def test_the_section_has_a_figure_a_verdict_and_a_line_for_each_sparsity():
    page = Sanity().render(battery(sparsities=[0.9, 0.98]))

    assert "Does the choice of weights matter, or only the layer densities?" in page
    assert page.count("<svg") == 1
    assert len(re.findall(r"<li><b>.*?</b>: ", page)) == 5
    assert len(re.findall(r'<th scope="row">', page)) == 10
    assert page.count("<small>inapplicable</small>") == 3 * 2 * 2


def test_there_is_no_section_without_ablations():
    assert Sanity().render(battery([])) is None
    assert '<section id="sanity"' in report.render(battery(seeds=1))
