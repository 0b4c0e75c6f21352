"""Several studies on one page: where they may stand in one table, and where they are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pabench_reports.battery import changes, judged
from pabench_reports.cells import table
from pabench_reports.comparison import compared
from pabench_reports.duels import duels, grids
from pabench_reports.figure import looks
from pabench_reports.studies import Studies
from pabench_reports.twice import twice

from pabench.errors import RefusedError
from pabench.report import page as report
from pabench.report.join import join
from pabench.statistics.board import board
from pabench.statistics.paired import by_task, stratified
from pabench.suite.specs import CriterionSpec, MetricSpec

from ..cli.test_main import pabench
from ..synthetic import CRITERIA, cells, failed, folder, record


def grid(*names, **axes):
    return cells([CRITERIA[n] for n in names], **{"models": ["resnet20"], "sparsities": [0.9], "seeds": 2, **axes})


def changed(names, change):
    return [change(cell) for cell in grid(*names)]


@pytest.fixture
def two(tmp_path):
    """Random and SNIP in one study, random and GraSP in another: random and the dense baseline are in both."""
    left = folder(tmp_path / "left", grid("random", "snip"), name="left")
    return left, folder(tmp_path / "right", grid("random", "grasp"), name="right", command="pabench run right")


def test_criteria_of_two_studies_are_ranked_together_within_their_blocks(two):
    joint = join(two)

    made = board(joint.plain)
    assert {s.criterion for s in made.ranked} == {"random", "snip", "grasp"}
    assert (made.blocks, made.shared) == (2, 2)
    assert joint.frame["key"].is_unique
    assert len(joint.frame) == 2 * (1 + 3)


def test_every_row_carries_its_study_and_its_own_command(two):
    joint = join(two)

    of = dict(zip(joint.frame["criterion"], joint.frame["study"], strict=True))
    assert (of["snip"], of["grasp"], of["random"]) == ("left", "right", "left")
    rows = {joint.frame["criterion"][i]: row for i, row in enumerate(table(joint)["rows"])}
    data = table(joint)
    assert data["studies"] == ["left", "right"]
    assert data["texts"][rows["grasp"][-1]].startswith("pabench run right --only dataset=cifar10")
    assert data["texts"][rows["snip"][-1]].startswith("pabench run suites/synthetic.yaml -o results --only")


def test_the_order_of_the_folders_changes_no_byte(two):
    assert Studies().render(join(two)) == Studies().render(join(two[::-1]))
    assert join(two).frame.equals(join(two[::-1]).frame)


def test_a_cell_of_both_counts_once_and_is_told(two):
    joint = join(two)

    assert [one.same for one in twice(joint)] == [True] * 4
    assert "4 cells with equal results in several studies" in Studies().render(joint)


def test_what_failed_in_one_study_is_taken_from_the_other(tmp_path):
    bad = folder(tmp_path / "a", grid("snip"), failed, name="a")
    good = folder(tmp_path / "b", grid("snip"), name="b")

    joint = join([bad, good])

    assert set(joint.frame["status"]) == {"ok"}
    assert set(joint.frame["study"]) == {"b"}


# --- sparsities -------------------------------------------------------------------------------------------------------
@pytest.fixture
def uneven(tmp_path):
    """SNIP at 90 %, GraSP at 80, 90 and 95 %, random pruning at what each of the two has."""
    left = folder(tmp_path / "left", grid("random", "snip"), name="left")
    return left, folder(tmp_path / "right", grid("random", "grasp", sparsities=[0.8, 0.9, 0.95]), name="right")


def test_criteria_are_compared_at_the_sparsities_that_all_have_and_the_others_are_told(uneven):
    joint = join(uneven)

    made = board(joint.plain)
    assert made.sparsities == (0.9,)
    assert {s.criterion: s.difference.n for s in made.ranked if s.difference} == {"snip": 2, "grasp": 2}
    # random and grasp at two more sparsities in two blocks
    (left,) = joint.left_out
    assert (left.sparsities, left.criteria, left.studies, len(left.keys)) == ((0.8, 0.95), ("snip",), ("right",), 8)
    assert "cifar10 · resnet20: 80 %, 95 % left out (8 cells of right), not planned in every block for snip;" in (
        Studies().render(joint)
    )
    assert set(joint.strays) == set(left.keys) <= set(joint.records)
    assert join(uneven[::-1]).left_out == joint.left_out


def test_the_command_says_what_is_left_out(uneven, tmp_path):
    said = pabench("report", *uneven, "--checklist", tmp_path / "list.tex")

    assert said.returncode == 0
    assert said.stderr.startswith("note: cifar10 · resnet20: 80 %, 95 % left out (8 cells of right)")


def test_a_sparsity_that_is_added_later_for_all_criteria_is_taken(tmp_path):
    a = folder(tmp_path / "a", grid("random", "snip"), name="a")
    b = folder(tmp_path / "b", grid("random", "snip", sparsities=[0.95]), name="b")

    joint = join([a, b])

    assert (board(joint.plain).sparsities, joint.left_out) == ((0.9, 0.95), ())


def test_a_reference_line_of_fewer_sparsities_narrows_nothing(tmp_path):
    line = CriterionSpec("late", version=1, reference_line="it trains first")
    a = folder(tmp_path / "a", grid("random", "snip", sparsities=[0.8, 0.9]), name="a")
    b = folder(tmp_path / "b", cells([line], models=["resnet20"], sparsities=[0.9, 0.95], seeds=2), name="b")

    joint = join([a, b])

    assert board(joint.plain).sparsities == (0.8, 0.9)
    assert [one.sparsities for one in joint.left_out] == [(0.95,)]


def test_criteria_without_a_sparsity_in_common_are_refused_with_the_remedy(tmp_path):
    a = folder(tmp_path / "a", grid("random", "snip"), name="a")
    b = folder(tmp_path / "b", grid("grasp", sparsities=[0.8]), name="b")

    with pytest.raises(RefusedError, match="no sparsity is planned for all criteria in all blocks") as refused:
        join([a, b])
    assert "(random at 90 %; snip at 90 %; grasp at 80 %)" in str(refused.value)
    assert "`--bank DIR` takes over the cells that are finished" in str(refused.value)


def test_models_of_one_table_need_not_share_their_sparsities(tmp_path):
    """Six blocks, at one sparsity or two: random is above SNIP in none, and each block of SNIP's shuffle counts."""
    few = {"seeds": 3, "ablations": ["shuffle"]}
    a = folder(tmp_path / "a", grid("random", "snip", **few), name="a")
    other = grid("random", "snip", models=["vgg11_bn"], sparsities=[0.8, 0.95], **few)
    b = folder(tmp_path / "b", other, name="b")
    lame = folder(tmp_path / "c", other, lambda c: (failed if c.sparsity == 0.95 else record)(c), name="c")

    joint = join([a, b])

    pruned = stratified(joint.plain.query("criterion != 'dense'"))
    (duel,) = duels(pruned, ["random", "snip"])
    assert [grid.shape for grid in grids(by_task(pruned)["snip"])] == [(3, 1), (3, 2)]
    assert (duel.difference.n, duel.won.n, duel.won.mean) == (6, 6, 0.0)
    assert [one.n for one in compared("x", joint.plain, looks(["random", "snip"])).middle.values()] == [6, 6]
    assert judged(changes(joint.frame), "shuffle", ["snip"])["snip"].change.n == 6
    # a sparsity that is planned and finished nowhere is none that the model lacks
    (duel,) = duels(stratified(join([a, lame]).plain.query("criterion != 'dense'")), ["random", "snip"])
    assert (duel.difference.n, duel.won.n) == (3, 3)


def recipe(**entries):
    return lambda cell: replace(cell, recipe=replace(cell.recipe, **entries))


def test_one_name_for_two_criteria_stands_under_two_names(tmp_path):
    """The source file changed between the studies: their masks may, so they are not one line of the board."""
    a = folder(tmp_path / "a", grid("random", "snip"), name="a")
    edited = [
        replace(c, criterion=replace(c.criterion, source="ab" * 32))
        if c.criterion and c.criterion.name == "snip"
        else c
        for c in grid("random", "snip")
    ]

    joint = join([a, folder(tmp_path / "b", edited, name="b")])

    assert set(joint.plain["criterion"]) == {"dense", "random", "snip [a]", "snip [b]"}
    assert joint.renamed == ("snip",)
    assert {s.criterion for s in board(joint.plain).ranked} == {"random", "snip [a]", "snip [b]"}
    assert "snip: the studies mean different things by this name" in Studies().render(joint)


def test_a_folder_named_twice_is_refused(two):
    with pytest.raises(RefusedError, match="named twice"):
        join([two[0], two[1], two[0] / ".." / "left"])


def test_metrics_that_mean_two_things_are_left_out_and_named(tmp_path):
    specs = [MetricSpec("ntk", {"images": n}).to_json() for n in (10, 20)]
    common = MetricSpec("steps_to").to_json()
    a = folder(tmp_path / "a", grid("snip"), name="a", metrics=[specs[0], common])
    b = folder(tmp_path / "b", grid("grasp"), name="b", metrics=[specs[1], common])

    joint = join([a, b])

    assert ([m.name for m in joint.metrics], joint.unmeasured) == (["steps_to"], ("ntk",))


def test_the_whole_page_is_made_with_hostile_names(tmp_path):
    evil = CriterionSpec("<script>alert(1)</script>", version=1)
    a = folder(tmp_path / "a", grid("random"), name="<img src=x>")
    b = folder(tmp_path / "b", cells([evil], models=["resnet20"], sparsities=[0.9], seeds=2), name="b")

    page = report.render(join([a, b]))

    assert "could not be made" not in page
    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_the_command_needs_a_place_for_the_page_of_several(two):
    said = pabench("report", *two)

    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "-o" in said.stderr


def test_the_command_refuses_with_code_4_and_writes_nothing(tmp_path):
    a = folder(tmp_path / "a", grid("snip"), name="a")
    b = folder(tmp_path / "b", changed(["snip"], recipe(epochs=80)), name="b")

    said = pabench("report", a, b, "-o", tmp_path / "page.html")

    assert said.returncode == 4
    assert "these studies cannot stand in one table: recipe: epochs is 160 in a; 80 in b" in said.stderr
    assert not (tmp_path / "page.html").exists()


def test_the_checklist_of_one_study_and_of_several_is_a_file(two, tmp_path):
    one = pabench("report", two[0], "--checklist", tmp_path / "one.tex")
    both = pabench("report", *two, "--checklist", tmp_path / "both.tex")

    assert (one.returncode, both.returncode) == (0, 0)
    assert "pabench checklist of left" in (tmp_path / "one.tex").read_text()
    assert "pabench checklist of left + right" in (tmp_path / "both.tex").read_text()
    assert not (two[0] / "report.html").exists()
