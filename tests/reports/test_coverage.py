"""The reviewer's questions about what was compared: each can come out both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pabench_reports import coverage

from ..synthetic import failed, inapplicable, record
from .reviewed import (
    ABLATED,
    BROAD,
    ERK,
    LARGE,
    LAYERED,
    LINE,
    PLAIN,
    RULES,
    at_80,
    first_seed,
    named,
    partly,
    study,
    told,
    turns,
    where,
    without,
)

# a sound study, what is changed, the beginning of the question that it must turn, and what the answer then says
TURNED = [
    (BROAD, {"models": ("resnet20", "vgg11_bn")}, "Are there several pairs", "2 of 2 pairs are no toy problems"),
    (
        BROAD,
        {"models": ("resnet20", "vgg11_bn", "lenet_5")},
        "Are there several pairs",
        "2 of 3 pairs are no toy problems",
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
]


@pytest.mark.parametrize(
    ("sound", "changed", "question", "says"), TURNED, ids=[f"{i}-{t[2]}" for i, t in enumerate(TURNED)]
)
def test_what_is_asked_for_is_met_and_what_is_missing_is_counted(sound, changed, question, says):
    turns(sound, changed, question, says)


def test_every_question_is_turned_by_some_test():
    questions = [one.question for one in coverage.answers(study(seeds=1))]

    assert [q for q in questions if not any(q.startswith(start) for _, _, start, _ in TURNED)] == []


def test_what_an_ablation_means_nothing_to_is_not_asked_for():
    def made(cell):
        return inapplicable(cell) if cell.ablation == "invert" and named("random")(cell) else record(cell)

    state, text = told(study(**ABLATED, make=made), "Is each ranking compared")

    assert (state, text) == ("met", "4 of 4 cells finished, of 2 of 2 criteria; it means nothing to random")
