"""Does it keep exactly as many weights as asked for, whatever the scores?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch

from pabench.diagnostics.laws.law import CheckOutcome, Law, asked, inapplicable, information, judged, kept
from pabench.diagnostics.specimens import CONVOLUTIONAL, DEAD, EQUAL, PERCEPTRON
from pabench.diagnostics.subject import FEW, Subject
from pabench.networks.network import Tensors
from pabench.scoring.criterion import ScoreCriterion

DENSITIES = (1.0, 0.9999, 0.9, 0.5, 0.1, 0.02, 0.001, 1e-6)
"""From nothing removed to one weight left."""
SOME = (0.9, 0.1, 0.02)
MANY_AND_FEW = (0.8, 0.05)
"""Where most weights stay, a pruned one that scores 0 outranks live ones with negative scores."""


def exact_count(subject: Subject) -> CheckOutcome:
    """N - floor((1 - d) N) weights at eight densities, 1 and one weight included, on two networks."""
    return _counted((d, subject.masks(s, d)) for s in (PERCEPTRON, CONVOLUTIONAL) for d in DENSITIES)


def ties(subject: Subject) -> CheckOutcome:
    """The same where all weights of the network are equal."""
    return _counted((d, subject.masks(EQUAL, d)) for d in SOME)


def zeros(subject: Subject) -> CheckOutcome:
    """The same on a network with dead units and a layer that is 0, where most gradients vanish."""
    return _counted((d, subject.masks(DEAD, d)) for d in SOME)


def infinities(subject: Subject) -> CheckOutcome:
    """The same for scores of which a quarter each is infinite, minus infinite, 0 and 1."""
    rule = subject.score_rule
    values = torch.tensor([math.inf, -math.inf, 0.0, 1.0], dtype=torch.float64)
    with subject.context(PERCEPTRON) as ctx:
        scores = {n: values[torch.arange(w.numel()) % 4].view_as(w) for n, w in ctx.weights.items()}
        return _counted((d, rule.choose(scores, ctx.mask, d).masks) for d in DENSITIES)


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
    rule = subject.rule
    if isinstance(rule, ScoreCriterion) and rule.steps == 1 and rule.allocation == "global":
        return judged(not outside, figure, "one ranking gives nested masks")
    return information(figure)


def _counted(pruned: Iterable[tuple[float, Tensors]]) -> CheckOutcome:
    """The verdict on masks, each with its density; its reason names the first that is wrong."""
    wrong, total = [], 0
    for density, masks in pruned:
        total += 1
        if kept(masks) != asked(masks, density):
            wrong.append(f"density {density:g}: {kept(masks)} kept, {asked(masks, density)} asked for")
    return judged(not wrong, f"{total - len(wrong)} of {total} exact", wrong[0] if wrong else "")


LAWS = (*map(Law, (exact_count, ties, zeros, infinities, rounds)), Law(nesting, compares=True))
