"""Does it keep exactly as many weights as asked for, whatever the scores?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch

from pabench.diagnostics.laws.law import CheckOutcome, Law, asked, inapplicable, information, judged, kept
from pabench.diagnostics.specimens import CONVOLUTIONAL, DEAD, EQUAL, PERCEPTRON
from pabench.diagnostics.subject import FEW, Subject
from pabench.networks.network import Tensors
from pabench.scoring.criterion import Criterion, ScoreCriterion

DENSITIES = (1.0, 0.9999, 0.9, 0.5, 0.1, 0.02, 0.001, 1e-6)
"""From nothing removed to one weight left."""
SOME = (0.9, 0.1, 0.02)
MANY_AND_FEW = (0.8, 0.05)
"""Where most weights stay, a pruned one that scores 0 outranks live ones with negative scores."""


def exact_count(subject: Subject) -> CheckOutcome:
    """N - floor((1 - d) N) weights at eight densities, 1 and one weight included, on two networks."""
    return _counted(subject.masks_at(PERCEPTRON, DENSITIES), subject.masks_at(CONVOLUTIONAL, DENSITIES))


def ties(subject: Subject) -> CheckOutcome:
    """The same where all weights of the network are equal."""
    return _counted(subject.masks_at(EQUAL, SOME))


def zeros(subject: Subject) -> CheckOutcome:
    """The same on a network with dead units and a layer that is 0, where most gradients vanish."""
    return _counted(subject.masks_at(DEAD, SOME))


def infinities(subject: Subject) -> CheckOutcome:
    """The same for scores of which a quarter each is infinite, minus infinite, 0 and 1."""
    rule = subject.score_rule
    values = torch.tensor([math.inf, -math.inf, 0.0, 1.0], dtype=torch.float64)
    with subject.context(PERCEPTRON) as ctx:
        scores = {n: values[torch.arange(w.numel()) % 4].view_as(w) for n, w in ctx.weights.items()}
        return _counted({d: rule.choose(scores, ctx.mask, d).masks for d in DENSITIES})


def rounds(subject: Subject) -> CheckOutcome:
    """In three rounds a pruned weight never returns, and every round keeps its exact count."""
    if not isinstance(subject.rule, ScoreCriterion):
        return inapplicable("has no rounds")
    rule = replace(subject.rule, steps=FEW)
    returned, wrong = 0, 0
    for density in MANY_AND_FEW:
        with replace(subject, rule=rule).context(PERCEPTRON) as ctx:
            before = ctx.mask
            for each in rule.rounds(ctx, density):
                masks = each.selection.masks
                wrong += abs(kept(masks) - asked(masks, each.density))
                returned += sum(int((m & ~before[n].bool()).sum()) for n, m in masks.items())
                before = masks
    figure = f"{returned} returned, {wrong} too many or too few"
    if rule.regrows and not wrong:
        return information(f"{returned} returned, as it may")
    return judged(not wrong and not returned, figure, "a pruned weight must stay pruned, and each round keep its count")


def nesting(subject: Subject) -> CheckOutcome:
    """Weights kept at 90 % sparsity are kept at 50 %: so for one ranking of all weights, else for information."""
    few, many = (subject.masks(CONVOLUTIONAL, d) for d in (0.1, 0.5))
    outside = sum(int((few[n] & ~many[n]).sum()) for n in few)
    figure = f"{outside} of {kept(few)} not nested"
    if _is_one_ranking(subject.rule):
        return judged(not outside, figure, "one ranking gives nested masks")
    return information(figure)


def _is_one_ranking(rule: Criterion) -> bool:
    return isinstance(rule, ScoreCriterion) and rule.steps == 1 and rule.allocation == "global"


def _counted(*networks: Mapping[float, Tensors]) -> CheckOutcome:
    """The verdict on masks by density, of one network or several; its reason names the first that is wrong."""
    total = sum(map(len, networks))
    wrong: list[str] = []
    for by_density in networks:
        for density, masks in by_density.items():
            if kept(masks) != asked(masks, density):
                wrong.append(f"density {density:g}: {kept(masks)} kept, {asked(masks, density)} asked for")
    return judged(not wrong, f"{total - len(wrong)} of {total} exact", wrong[0] if wrong else "")


LAWS = (
    Law("exact count", exact_count),
    Law("ties", ties),
    Law("zeros", zeros),
    Law("infinities", infinities),
    Law("rounds", rounds),
    Law("nesting", nesting, compares=True),
)
