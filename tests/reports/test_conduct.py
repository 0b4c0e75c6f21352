"""The reviewer's questions about how the comparison was run: each can come out both ways."""

from __future__ import annotations

import pytest
from pabench_reports import conduct

from ..synthetic import collapsed, failed
from .reviewed import (
    ABLATED,
    LINE,
    PLAIN,
    RULES,
    TWICE,
    declined,
    first_seed,
    flagged,
    named,
    other_images,
    other_protocol,
    other_recipe,
    study,
    turns,
    unknown_images,
    where,
    within,
)

# a sound study, what is changed, the beginning of the question that it must turn, and what the answer then says
TURNED = [
    (
        PLAIN,
        {"change": other_recipe},
        "Are all criteria of a dataset trained by one recipe",
        "up to 2 recipes for one dataset",
    ),
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
    turns(sound, changed, question, says)


def test_every_question_is_turned_by_some_test():
    questions = [one.question for one in conduct.answers(study(seeds=1))]

    assert [q for q in questions if not any(q.startswith(start) for _, _, start, _ in TURNED)] == []
