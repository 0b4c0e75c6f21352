"""The reviewer's checklist: every answer is computed, and each can come out both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pabench_reports import checklist
from pabench_reports.answer import SOURCES
from pabench_reports.checklist import answers

from pabench.report import frame
from pabench.suite.specs import CriterionSpec, DatasetSpec

from ..synthetic import CRITERIA, battery, cells, collapsed, failed, inapplicable, manifest, record

RULES = [CRITERIA["random"], CRITERIA["magnitude"], CRITERIA["snip"]]
LINE = CriterionSpec("late", {"rewind_epochs": 2}, {"rewind_epochs": 2}, 1, trains=True, reference_line="trained first")
SMALL = {"models": ("resnet20",), "sparsities": (0.9,), "seeds": 2}
# three studies that together meet everything: all questions to one would take hundreds of cells
PLAIN = {"rules": (*RULES, LINE)}
BROAD = {
    "rules": RULES[:1],
    "models": ("resnet20", "vgg11_bn", "vgg16_cifar"),
    "sparsities": (0.8, 0.9, 0.95, 0.98, 0.99),
    "seeds": 3,
}
ERK = CriterionSpec("random", {"allocation": "erk"}, {"allocation": "erk"}, 1)
LAYERED = {"rules": (*RULES, ERK)}
ABLATED = {"rules": RULES, "ablations": ("shuffle", "reinit", "invert")}


def study(rules=RULES, *, make=record, change=lambda cell: cell, strays=0, **axes):
    expected = [change(cell) for cell in cells(rules, **{**SMALL, **axes})]
    records = {cell.key: made for cell in expected if (made := make(cell)) is not None}
    kept = expected[: len(expected) - strays]
    return frame.study(manifest(kept), records)


def states(of):
    return {one.question: one.state for one in answers(of)}


def told(of, start):
    (one,) = [one for one in answers(of) if one.question.startswith(start)]
    return one.state, one.text


def named(name):
    return lambda cell: cell.criterion is not None and cell.criterion.name == name


def where(test, other):
    """Records of which those that pass a test are made otherwise."""
    return lambda cell: other(cell) if test(cell) else record(cell)


def within(part, **entries):
    """A record with other entries in one of its parts."""

    def made(cell):
        whole = record(cell)
        return {**whole, part: {**whole[part], **entries}} if whole[part] else whole

    return made


def first_seed(cell):
    return cell.seed == 0


def flagged(flag):
    return lambda cell: record(cell, flags=[{"flag": flag, "detail": ""}])


def declined(cell):
    empty = {"pairing": {}, "receipt": None, "result": None, "cost": {}}
    return record(cell, status="skipped", kind="degenerate", message="all zero", **empty)


def without(part, entry):
    def made(cell):
        whole = record(cell)
        return {**whole, part: {k: v for k, v in whole[part].items() if k != entry}} if whole[part] else whole

    return made


def other_recipe(cell):
    return replace(cell, recipe=replace(cell.recipe, epochs=80)) if named("snip")(cell) else cell


def partly(cell):
    return replace(cell, dataset=DatasetSpec("cifar10", {"train_per_class": 300}, fingerprint="f" * 64))


def other_protocol(cell):
    return replace(cell, protocol="theirs-v3")


def other_images(cell):
    other = replace(cell, dataset=replace(cell.dataset, fingerprint="e" * 64))
    return other if named("snip")(cell) else cell


def unknown_images(cell):
    return replace(cell, dataset=DatasetSpec("cifar10"))


def on_imagenet(cell):
    return replace(cell, dataset=DatasetSpec("imagenet", fingerprint="f" * 64))


def at_80(cell):
    return cell.criterion is not None and cell.sparsity == 0.8


LARGE = {"rules": RULES, "change": on_imagenet}
TWICE = CriterionSpec("snip", {"examples_per_class": 20}, {"examples_per_class": 20}, 1)

# a sound study, what is changed, the beginning of the question that it must turn, and what the answer then says
TURNED = [
    (BROAD, {"models": ("resnet20", "vgg11_bn")}, "Are there several pairs", "2 of 2 pairs without toys"),
    (
        BROAD,
        {"models": ("resnet20", "vgg11_bn", "lenet_5")},
        "Are there several pairs",
        "2 of 3 pairs without toys",
    ),
    (LARGE, {"change": lambda cell: cell}, "Is a large-scale dataset", "none of cifar10"),
    (
        BROAD,
        {"sparsities": (0.8, 0.9)},
        "Are there enough operating",
        "2 finished by all criteria for the model that has",
    ),
    (BROAD, {"make": where(at_80, failed)}, "Are there enough operating", "4 finished by all criteria"),
    (BROAD, {"make": where(at_80, failed)}, "Is random pruning", "random: 36 of 45 cells finished"),
    (BROAD, {"seeds": 2}, "Is each point repeated", "2 finished seeds a point; 15 of 15 points have fewer than 3"),
    (BROAD, {"seeds": 1}, "Is each point repeated", "no interval can be given"),
    (PLAIN, {"change": partly}, "Are whole datasets used", "cifar10: 300 training images a class only"),
    (PLAIN, {"rules": (*RULES[1:], LINE)}, "Is random pruning", "no criterion called random"),
    (LAYERED, {"rules": RULES}, "Is ERK random", "no criterion random with allocation: erk"),
    (LAYERED, {"make": where(lambda c: c.criterion == ERK, failed)}, "Is ERK random", "0 of 2 cells"),
    (
        BROAD,
        {
            "make": where(
                lambda c: not c.criterion, lambda c: record(c, training_images={"top1": 62.34, "images": 2000})
            )
        },
        "Can the study speak",
        "not evidence about the criteria: cifar10 · resnet20: the dense network gets 62.3 % of its training images",
    ),
    (BROAD, {"make": where(lambda c: not c.criterion, failed)}, "Can the study speak", "no dense network is finished"),
    (BROAD, {"rules": RULES[1:]}, "Can the study speak", "resnet20: there is no random pruning to measure by"),
    (PLAIN, {"rules": (RULES[0], RULES[2], LINE)}, "Is magnitude pruning", "no criterion called magnitude"),
    (PLAIN, {"make": where(lambda c: not c.criterion and first_seed(c), failed)}, "Is the dense", "in 1 of 2 blocks"),
    (PLAIN, {"make": where(first_seed, without("result", "flops"))}, "Are both the size and", "both in 3 of 6"),
    (PLAIN, {"make": where(first_seed, without("result", "top5"))}, "Is the accuracy before and after", "in 3 of 6"),
    (PLAIN, {"make": where(named("snip"), without("cost", "scoring_seconds"))}, "Is the cost of pruning", "of 4 of 6"),
    (ABLATED, {"ablations": ("reinit",)}, "Is each mask compared with itself shuffled", "no ablation shuffle"),
    (ABLATED, {"ablations": ("shuffle",)}, "Is each mask compared with itself on re-drawn", "no ablation reinit"),
    (ABLATED, {"ablations": ("shuffle",)}, "Is each ranking compared", "no ablation invert"),
    (
        ABLATED,
        {"make": where(lambda c: c.ablation == "shuffle" and first_seed(c), failed)},
        "Is each mask compared with itself shuffled",
        "3 of 6 cells finished, of 3 of 3 criteria",
    ),
    (PLAIN, {"rules": RULES}, "Is there pruning after training", "no reference line prunes trained weights"),
    (PLAIN, {"make": where(named("late"), failed)}, "Is there pruning after training", "0 of 2 cells finished"),
    (PLAIN, {"rules": (*RULES, replace(LINE, args={}))}, "Is it shown what networks pruned", "at the first iteration"),
    (PLAIN, {"change": other_recipe}, "Are all criteria of a dataset trained by one recipe", "2 recipes a dataset"),
    (PLAIN, {"change": unknown_images}, "Are all criteria of a dataset trained by one", "images without a fingerprint"),
    (
        PLAIN,
        {"change": other_images},
        "Are all criteria of a dataset trained by one",
        "2 sets of images under one name",
    ),
    (
        PLAIN,
        {"make": where(first_seed, within("environment", torch="2.11.0"))},
        "Are all cells computed by the same libraries",
        "torch 2.11.0, timm 1.0.22 (5 cells); pabench 0.1.0, torch 2.14.1, timm 1.0.22 (5 cells)",
    ),
    (PLAIN, {"make": where(first_seed, within("environment", device="cuda: X"))}, "Are all cells computed on", "X (5"),
    (PLAIN, {"make": where(named("snip"), within("pairing", weights="a"))}, "Do criteria start", "weights 0 of 2;"),
    (PLAIN, {"change": other_protocol}, "Is the accuracy read at an epoch", "protocol theirs-v3"),
    (PLAIN, {"rules": (*RULES, TWICE, LINE)}, "Is no parameter chosen", "snip in 2 settings: quoting the best of them"),
    (PLAIN, {"make": where(first_seed, failed)}, "Is every planned cell finished", "5 of 10 cells; 5 failed diverged"),
    (PLAIN, {"make": where(first_seed, lambda c: None)}, "Is every planned cell", "5 of 10 cells; 5 missing"),
    (
        PLAIN,
        {"make": where(named("snip"), collapsed)},
        "Does every mask leave weights",
        "2 of 8 finished cells flagged",
    ),
    (PLAIN, {"make": where(named("snip"), flagged("dead"))}, "Does every trained network tell", "2 of 10 finished"),
    (
        PLAIN,
        {"make": flagged("dead")},
        "Does every trained network tell",
        "10 of 10 finished cells flagged: dense at 0 %",
    ),
    (
        ABLATED,
        {"make": where(lambda c: c.ablation == "reinit" and named("snip")(c), flagged("dead"))},
        "Does every trained network tell",
        "snip / reinit at 90 % (2)",
    ),
    (
        PLAIN,
        {"make": where(named("snip"), lambda c: {**declined(c), "flags": [{"flag": "degenerate", "detail": ""}]})},
        "Does every criterion rank weights",
        "2 of 8 finished or refused cells flagged",
    ),
    (PLAIN, {"make": where(named("snip"), flagged("tied"))}, "Does every criterion rank weights", "snip at 90 % (2)"),
    (PLAIN, {"make": where(named("snip"), flagged("doubtful"))}, "Does every criterion rank weights", "2 of 8"),
    (PLAIN, {"make": where(named("snip"), declined)}, "Can every criterion score", "snip on resnet20: degenerate (2)"),
    (
        PLAIN,
        {"make": where(lambda c: named("snip")(c) and first_seed(c), within("receipt", source="a" * 64))},
        "Is each criterion's code the same",
        "snip: 2 versions of its source file",
    ),
    (PLAIN, {"make": within("receipt", source="")}, "Is each criterion's code the same", "8 cells without a hash"),
    (PLAIN, {"make": where(first_seed, within("receipt", dtype="float32"))}, "Is one floating", "float32, float64"),
    (PLAIN, {"make": within("environment", precision="")}, "Is one floating-point", "no recorded precision"),
    (
        PLAIN,
        {"make": where(named("snip"), within("receipt", mask=""))},
        "Does every pruned cell",
        "6 of 8 finished cells",
    ),
    (PLAIN, {"strays": 3}, "Is no result left out", "3 records of cells that the study does not expect"),
]


@pytest.mark.parametrize(
    ("sound", "changed", "question", "says"), TURNED, ids=[f"{i}-{t[2]}" for i, t in enumerate(TURNED)]
)
def test_what_is_asked_for_is_met_and_what_is_missing_is_counted(sound, changed, question, says):
    assert told(study(**sound), question)[0] == "met"

    state, text = told(study(**{**sound, **changed}), question)

    assert state == "missing"
    assert says in text


def test_every_question_is_turned_by_some_test():
    questions = [one.question for one in answers(study(seeds=1))]

    assert len(questions) == 33
    assert [q for q in questions if not any(q.startswith(start) for _, _, start, _ in TURNED)] == []


def test_what_an_ablation_means_nothing_to_is_not_asked_for():
    def made(cell):
        return inapplicable(cell) if cell.ablation == "invert" and named("random")(cell) else record(cell)

    state, text = told(study(**ABLATED, make=made), "Is each ranking compared")

    assert (state, text) == ("met", "4 of 4 cells finished, of 2 of 2 criteria; it means nothing to random")


def test_nothing_is_claimed_of_a_study_without_a_record():
    found = states(study(make=lambda cell: None))

    assert found["Does every pruned cell name its mask by a hash, so that anybody can check it?"] == "not applicable"
    assert found["Are all cells computed by the same libraries?"] == "not applicable"
    assert found["Is every planned cell finished, and none left out?"] == "missing"
    assert found["Can every criterion score every model (the doctor's findings before training)?"] == "not applicable"


def test_the_page_says_missing_in_words_and_with_a_sign():
    html = checklist.Checklist().render(study(RULES, seeds=1, models=["resnet20"]))

    assert '<td class="status failed">✗ missing</td>' in html
    assert '<td class="status ok">✓ met</td>' in html
    assert all(title in html for title in SOURCES.values())
    assert html.index("✗ missing") < html.index("✓ met")


def test_the_latex_table_has_a_line_for_every_answer_and_no_command_of_a_name():
    hostile = CriterionSpec("a_b}\\input{/etc/passwd}%", version=1)
    of = study([*RULES, hostile], seeds=1, models=["resnet20"], make=where(named(hostile.name), collapsed))

    made = checklist.table(of)

    assert made.count(r" \\" + "\n") == len(answers(of)) + 1
    assert r"\textcolor{red}{missing}" in made
    assert "\\input" not in made
    assert r"a\_b\}\textbackslash{}input\{/etc/passwd\}\%" in made


def test_the_checklist_asks_for_the_battery():
    def states(study):
        asked = ("Is each mask", "Is each ranking")
        return {one.question: one.state for one in answers(study) if one.question.startswith(asked)}

    assert set(states(battery()).values()) == {"met"}
    assert list(states(battery(["shuffle"])).values()) == ["met", "missing", "missing"]
