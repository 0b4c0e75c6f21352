"""The technical note and the page of studies: whether their numbers are those of the records, and no others."""

from __future__ import annotations

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from pabench.errors import DataError
from pabench.leaderboard.claims import load, shipped
from pabench.report.folders import read
from pabench.suite.specs import CriterionSpec, ModelSpec
from tests import synthetic

ROOT = Path(__file__).parent.parent
note = runpy.run_path(str(ROOT / "docs" / "published.py"))
TEMPLATE = (ROOT / "docs" / "paper.md.j2").read_text()
ERK = CriterionSpec("random", given={"allocation": "erk"}, version=1)
SNIP, SYNFLOW = synthetic.CRITERIA["snip"], synthetic.CRITERIA["synflow"]
NAMED = ("pai-v1", "LeNet-300-100", "two-sided")
"""What has a digit in its name and may stand in the words of the note."""
WORDS = "two three four five six seven eight nine ten eleven twelve sixteen twenty hundred thousand half third twice"


def asked(tmp_path, top1, criteria=(ERK, SNIP, SYNFLOW), name="fashion", **grid):
    """A study of the question, whose accuracies are `top1(cell)`."""
    expected = synthetic.cells(criteria, **{"models": ["resnet20"], "sparsities": [0.9], "seeds": 3, **grid})
    synthetic.folder(tmp_path / name, expected, synthetic.with_top1(top1), name)
    return note["Asked"](read(tmp_path / name))


def by_criterion(**values):
    """The accuracy of each criterion by seed, 90 for the dense network."""
    return lambda cell: values[cell.criterion.label.partition(" ")[0]][cell.seed] if cell.criterion else 90.0


def test_a_criterion_is_compared_with_random_erk_within_seeds_and_holm_counts_the_criteria_of_a_sparsity(tmp_path):
    """snip - random is 1.0, 1.1, 1.2: 1.1 ± 4.303 * 0.1 / sqrt(3); t = 19.05 with 2 degrees of freedom, p = 0.00274.

    synflow - random is -0.1, 0, 0.1: its mean is 0 and p = 1. Holm doubles the first.
    """
    accuracies = by_criterion(random=[80, 81, 82], snip=[81, 82.1, 83.2], synflow=[79.9, 81, 82.1])

    found = asked(tmp_path, accuracies).against[0.9]

    (snip, synflow) = (found["snip"], found["synflow (steps=100)"])
    assert str(snip) == "**+1.10 ± 0.25**"
    assert snip.p == pytest.approx(2 * 0.002744, abs=1e-5)
    assert (snip.verdict, synflow.verdict) == ("better", "")
    assert synflow.p == 1
    assert str(synflow).endswith("± 0.25")


def test_seeds_at_chance_are_counted_in_the_cell_and_take_its_interval_away(tmp_path):
    accuracies = by_criterion(random=[80, 81, 82], snip=[81, 82, 10], synflow=[80, 81, 83])

    found = asked(tmp_path, accuracies).against[0.9]["snip"]

    assert str(found) == "−23.33 †1"  # (1 + 1 - 72) / 3; a sign-flip test of three seeds tells nothing


def test_criteria_are_sorted_by_what_the_tests_say_of_all_sparsities(tmp_path):
    """snip is worse at 90 % and better at 95 %, synflow always better."""
    sign = {0.9: -1, 0.95: 1}
    values = {"random": 0.0, "synflow": 2.0}

    def top1(cell):
        if not cell.criterion:
            return 90.0
        return (
            80
            + cell.seed * (1 if cell.criterion.name == "random" else 1.01)
            + values.get(cell.criterion.name, sign[cell.sparsity])
        )

    found = asked(tmp_path, top1, sparsities=[0.9, 0.95])

    assert found.standing["both"] == [("snip", [0.95], [0.9])]
    assert found.standing["always"] == [("synflow (steps=100)", [0.9, 0.95], [])]
    assert found.named("worse", 0.9) == ["snip"]


def test_all_criteria_above_the_first_reference_line_are_named_the_best_first(tmp_path):
    line = CriterionSpec("magnitude_after_training", version=1, reference_line="trains first")
    accuracies = by_criterion(random=[80, 81], snip=[86, 87], synflow=[87, 88], magnitude_after_training=[85, 86])

    found = asked(tmp_path, accuracies, (ERK, SNIP, SYNFLOW, line), seeds=2)

    above = {s: [(name, by.mean) for name, by in every] for s, every in found.above.items()}
    expected = {0.9: [("synflow (steps=100)", 2.0), ("snip", 1.0)]}
    assert (found.first_line, above) == ("magnitude_after_training", expected)


def test_few_weights_in_the_last_layer_leave_classes_that_are_never_the_answer(tmp_path):
    """At 99 % random keeps 6 of 640 weights there, at 90 % 64: 6 classes of 10, and one that is always the same."""
    found = asked(tmp_path, lambda _: 50.0, (ERK, SYNFLOW), sparsities=[0.9, 0.99])

    (ceiling,) = [one for one in found.ceilings if one.names == [ERK.label]]
    assert (ceiling.sparsity, ceiling.kept, ceiling.weights, ceiling.classes) == (0.99, 6, 640, 10)
    assert (ceiling.told, ceiling.accuracy) == (7, 70)
    assert {one.sparsity for one in found.ceilings} == {0.99}
    assert found.last(ERK.label) == "6 of 640"


def test_a_mask_is_compared_with_its_own_shuffle_within_seeds_and_holm_counts_the_criteria_of_a_sparsity(tmp_path):
    """snip gains 1.0, 1.1, 1.2 at 95 %: t = 19.05 with 2 degrees of freedom, p = 0.00274, which Holm doubles."""

    def top1(cell):
        gains = cell.criterion and cell.criterion.name == "snip" and cell.sparsity == 0.95 and not cell.ablation
        own = cell.seed / 10 if cell.criterion and cell.criterion.name == "synflow" and not cell.ablation else 0.1
        return 80 + cell.seed + own + (1 + cell.seed / 10 if gains else 0)

    study = asked(tmp_path, top1, (SNIP, SYNFLOW), sparsities=[0.9, 0.95], ablations=["shuffle"]).study

    found = note["Shuffles"](study)

    assert found.found[0.95]["snip"].p == pytest.approx(2 * 0.002744, abs=1e-5)
    assert (found.named("better", 0.95), found.named("better", 0.9)) == (["snip"], [])
    assert found.told("snip", 0.95) == "**+1.10 ± 0.25**"
    assert found.named("not separable", 0.95) == ["synflow (steps=100)"]


def test_what_criteria_were_compared_with_is_read_from_what_they_say():
    found = note["checked"](["random", "px", "hts", "npb", "px (steps=1)"])

    assert (found.compared, found.formula, found.otherwise) == (["px", "hts", "npb"], ["px"], ["hts"])


def test_a_claim_about_an_order_of_accuracy_is_judged_again_in_the_main_study(tmp_path):
    """Random with ERK loses less than a point: snip gains 0.5 at 90 % and 2 at 95 %. The claim is tested at 90 %."""
    gain = {0.8: 0.0, 0.9: 0.5, 0.95: 2.0}

    def top1(cell):
        if not cell.criterion or cell.criterion.name != "snip":
            return 80.0 + cell.seed + (0.01 * cell.seed if cell.criterion and cell.criterion.name != "random" else 0)
        return 80.0 + 1.01 * cell.seed + gain[cell.sparsity]

    study = asked(tmp_path, top1, (ERK, SNIP, SYNFLOW, synthetic.CRITERIA["grasp"]), sparsities=[0.8, 0.9, 0.95]).study

    assert retold("random_layers_suffice", study) == {"confirmed": [0.9], "contradicted": [0.95]}
    assert retold("force_beats_snip", study) == {}
    assert retold("inverting_hurts", study) == {}


def retold(name, study):
    return note["retold"](load(shipped()[name]), study)


def test_orders_of_two_studies_agree_by_kendalls_tau(tmp_path):
    """The same order is 1; with two of three criteria exchanged two of three pairs agree: (2 - 1) / 3."""
    one = asked(tmp_path / "a", by_criterion(random=[80, 81], snip=[81, 82], synflow=[83, 84]), seeds=2)
    other = asked(tmp_path / "b", by_criterion(random=[70, 71], snip=[75, 76], synflow=[73, 74]), seeds=2)

    def tau(first, second):
        parts = [x.some([0, 1], ["snip", "synflow (steps=100)"]) for x in (first, second)]
        return note["order"](*parts).taus["second"][0.9]

    assert tau(one, one) == 1
    assert tau(one, other) == pytest.approx(1 / 3)


def test_chance_moves_an_order_as_far_as_random_splits_of_the_seeds_say(tmp_path):
    """Where seeds agree tau is 1 in every split; where they do not, its mean lies between its quantiles."""
    seeds = {"seeds": 6}
    alike = by_criterion(random=[80] * 6, snip=[81] * 6, synflow=[82] * 6)
    unlike = by_criterion(
        random=[80, 82, 81, 80, 83, 81], snip=[81, 80, 82, 83, 80, 82], synflow=[82, 81, 80, 81, 82, 80]
    )
    other = asked(tmp_path, alike, seeds=2, name="fashion_slow")

    same, moved = (
        note["again"](asked(tmp_path / name, top1, **seeds), [other])
        for name, top1 in (("alike", alike), ("unlike", unlike))
    )

    assert (same.criteria, same.blocks, same.taus) == (3, 2, {0.9: (1, 1, 1)})
    mean, low, high = moved.taus[0.9]
    assert low < mean < high
    assert note["again"](asked(tmp_path / "few", alike, seeds=3), [other]) is None


def test_a_verdict_that_one_correction_over_the_table_would_not_give_is_named(tmp_path):
    """snip - random is 1.0, 1.1, 1.3 at 90 %: p = 0.0060; synflow is as random. Doubled it is
    told apart, times 12 not."""
    sparsities = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    gain = [1.0, 1.1, 1.3]

    def top1(cell):
        if not cell.criterion or cell.criterion.name == "random":
            return 80.0 + cell.seed
        gains = cell.criterion.name == "snip" and cell.sparsity == 0.9
        return 80.0 + cell.seed + (gain[cell.seed] if gains else (cell.seed - 1) / 10)

    found = asked(tmp_path, top1, sparsities=sparsities)

    assert found.named("better", 0.9) == ["snip"]
    assert found.uncertain == [("snip", [0.9])]


def test_criteria_of_one_mean_rank_lead_together(tmp_path):
    found = asked(tmp_path, by_criterion(random=[70, 70], snip=[81, 82], synflow=[82, 81]), seeds=2)

    assert found.leaders(0.9) == ["snip", "synflow (steps=100)"]


def test_a_study_that_is_not_published_is_left_out_with_its_sections(tmp_path):
    accuracies = by_criterion(random=[80, 81, 82], snip=[81, 82.1, 83.2], synflow=[79.9, 81.1, 82.1])
    asked(tmp_path / "with", accuracies, sparsities=[0.9, 0.98])
    accuracies = by_criterion(random=[80, 81, 82], snip=[84, 85, 86.3], synflow=[79.9, 81.1, 82.1])
    asked(tmp_path / "with", accuracies, name="fashion_slow")

    said, without = (note["paper"]([], tmp_path / name) for name in ("with", "without"))

    assert re.findall(r"^## .*", without, re.M) == [
        "## Question",
        "## Protocol",
        "## Published claims",
        "## What is not shown",
        "## References",
    ]
    assert {"## Results", "## Other recipes and networks", "## Planned, and what came out"} <= set(said.splitlines())
    assert "| `snip` | **+1.10 ± 0.25** | **+1.10 ± 0.25** |" in said
    (row,) = [line for line in said.splitlines() if line.startswith("| `fashion_slow`: ")]
    assert row.split(" | ")[1:6] == ["90.00", "90 %", "3", "1.00", "snip"]


def test_no_result_is_typed_in_the_note():
    """Outside of expressions, links, headings, references and the numbers of papers no digit, and no word for one."""
    words = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", TEMPLATE.partition("## References")[0], flags=re.S)
    words = re.sub(r"arXiv:\d{4}\.\d{5}|\]\([^)]*\)|^#.*$|" + "|".join(map(re.escape, NAMED)), "", words, flags=re.M)
    expressions = " ".join(re.findall(r"\{\{.*?\}\}", TEMPLATE, re.S))

    assert re.findall(r"\d", words) == []
    assert set(re.findall(r"[a-z]+", words.lower())) & set(WORDS.split()) == set()
    # of an expression the digits are places, digits after the point, and the hundred of percent
    assert set(re.findall(r"\b\d+\b", expressions)) <= {"0", "1", "2", "3", "100"}
    assert re.findall(r"\b\d*\.\d+\b", expressions) == []


def test_the_plan_is_read_as_it_was_printed():
    found = note["plan"](note["PLAN"].read_text())

    assert (found.seeds, found.cells, found.hours, found.together, found.pairs) == (16, 2416, "0:26:14", 2, 210)
    assert (found.spread, found.one, found.holm) == ((0.17, 8.35), (0.13, 6.26), (0.25, 12.15))
    assert found.seconds == pytest.approx((26 * 60 + 14) * 2 / 2416)
    with pytest.raises(DataError, match="has no seeds"):
        note["plan"]("")


def test_the_recipe_of_a_study_has_its_place_among_those_that_were_tried(tmp_path):
    """Two seeds of one recipe are one line with their mean, which there is none of where one diverged."""
    (tmp_path / "tuning.csv").write_text(
        "model,epochs,batch_size,lr,weight_decay,seed,accuracy\n"
        "resnet20,160,128,0.1,0.0001,0,90.0\n"
        "resnet20,160,128,0.1,0.0001,1,91.0\n"
        "resnet20,160,128,0.2,0.0001,0,90.7\n"
        "resnet20,160,128,0.4,0.0001,0,80.0\n"
        "resnet20,160,128,0.4,0.0001,1,\n"
        "other,160,128,0.1,0.0001,0,99.0\n"
    )
    (cell,) = synthetic.cells((), models=["resnet20"], seeds=1)
    recipe = cell.recipe
    assert (recipe.batch_size, recipe.lr, recipe.weight_decay) == (128, 0.1, 0.0001)

    found = note["tuned"](cell, note["tuning"](tmp_path / "tuning.csv"))

    assert (len(found.settings), found.place, found.used.accuracy, found.used.seeds) == (3, 1, 90.5, 2)
    assert (found.diverged, found.worst.lr) == (1, 0.1)
    assert note["tuning"](tmp_path / "none.csv") == []


def test_what_another_study_has_otherwise_is_told_from_its_cells():
    (cell,) = synthetic.cells((), models=["resnet20"], seeds=1)
    slow = replace(cell, recipe=replace(cell.recipe, lr=0.02, epochs=24))

    assert note["changed"](cell, slow) == "learning rate 0.02, epochs 24"
    assert note["changed"](cell, replace(slow, model=ModelSpec("vgg11_bn"))) == (
        "vgg11_bn, learning rate 0.02, epochs 24"
    )


@pytest.mark.parametrize(
    ("suite", "told"),
    [("title: x\nseeds: 8\nrecipe: {}\n", "3 of 8 planned"), ("seeds: 3 # few\n", "3"), ("models: [a]\n", "3")],
)
def test_seeds_that_are_still_to_come_are_told(tmp_path, suite, told):
    expected = synthetic.cells((ERK, SNIP), models=["resnet20"], sparsities=[0.9], seeds=3)
    synthetic.folder(tmp_path / "some", expected, name="some", suite=suite)

    ((head, row), *_) = note["studies"](tmp_path)
    assert dict(zip(head, row, strict=True))["seeds"] == told
