"""Does it keep exactly as many weights as asked for, whatever the scores?"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from pabench.criterion import Criterion, ScoreCriterion
from pabench.law import Law, Outcome, inapplicable, information, judged
from pabench.selection import Tensors, kept_count
from pabench.specimen import CONVOLUTIONAL, DEAD, EQUAL, PERCEPTRON, Specimen
from pabench.subject import FEW, Subject

DENSITIES = (1.0, 0.9999, 0.9, 0.5, 0.1, 0.02, 0.001, 1e-6)
"""From nothing removed to one weight left."""
SOME = (0.9, 0.1, 0.02)
MANY_AND_FEW = (0.8, 0.05)
"""Where most weights stay, a pruned one that scores 0 outranks live ones with negative scores."""


def exact_count(subject: Subject) -> Outcome:
    """N - floor((1 - d) N) weights at eight densities, 1 and one weight included, on two networks."""
    return _counted(subject, (PERCEPTRON, CONVOLUTIONAL), DENSITIES)


def ties(subject: Subject) -> Outcome:
    """The same where all weights of the network are equal."""
    return _counted(subject, (EQUAL,), SOME)


def zeros(subject: Subject) -> Outcome:
    """The same on a network with dead units and a layer that is 0, where most gradients vanish."""
    return _counted(subject, (DEAD,), SOME)


def infinities(subject: Subject) -> Outcome:
    """The same for scores of which a quarter each is infinite, minus infinite, 0 and 1."""
    rule = subject.brief
    if not isinstance(rule, ScoreCriterion):
        return inapplicable("gives masks and no scores")
    values = torch.tensor([math.inf, -math.inf, 0.0, 1.0], dtype=torch.float64)
    with subject.session(PERCEPTRON) as ctx:
        scores = {n: values[torch.arange(w.numel()) % 4].view_as(w) for n, w in ctx.weights.items()}
        found = [(d, rule.choose(scores, ctx.mask, d).masks) for d in DENSITIES]
    return _verdict(found)


def rounds(subject: Subject) -> Outcome:
    """In three rounds a pruned weight never returns, and every round keeps its exact count."""
    rule = subject.brief
    if not isinstance(rule, ScoreCriterion):
        return inapplicable("has no rounds")
    rule = replace(rule, steps=FEW)
    returned, wrong = 0, 0
    for density in MANY_AND_FEW:
        with subject.session(PERCEPTRON, rule=rule) as ctx:
            before = ctx.mask
            for each in rule.rounds(ctx, density):
                masks = each.selection.masks
                wrong += abs(_kept(masks) - kept_count(each.density, _total(masks)))
                returned += sum(int((m & ~before[n].bool()).sum()) for n, m in masks.items())
                before = masks
    figure = f"{returned} returned, {wrong} too many or too few"
    if rule.regrows and not wrong:
        return information(f"{returned} returned, as it may")
    return judged(not wrong and not returned, figure, "a pruned weight must stay pruned, and each round keep its count")


def nesting(subject: Subject) -> Outcome:
    """Weights kept at 90 % sparsity are kept at 50 %: so for one ranking of all weights, else for information."""
    rule = subject.brief
    few, many = (subject.masks(CONVOLUTIONAL, d) for d in (0.1, 0.5))
    outside = sum(int((few[n] & ~many[n]).sum()) for n in few)
    figure = f"{outside} of {_kept(few)} not nested"
    if _is_one_ranking(rule):
        return judged(not outside, figure, "one ranking gives nested masks")
    return information(figure)


def _is_one_ranking(rule: Criterion) -> bool:
    return isinstance(rule, ScoreCriterion) and rule.steps == 1 and rule.allocation == "global"


def _counted(subject: Subject, specimens: tuple[Specimen, ...], densities: tuple[float, ...]) -> Outcome:
    return _verdict([found for s in specimens for found in subject.masks_at(s, densities)])


def _verdict(found: list[tuple[float, Tensors]]) -> Outcome:
    wrong = [(d, _kept(m), kept_count(d, _total(m))) for d, m in found]
    wrong = [(d, kept, asked) for d, kept, asked in wrong if kept != asked]
    reason = "".join(f"density {d:g}: {kept} kept, {asked} asked for" for d, kept, asked in wrong[:1])
    return judged(not wrong, f"{len(found) - len(wrong)} of {len(found)} exact", reason)


def _kept(masks: Tensors) -> int:
    return sum(int(m.sum()) for m in masks.values())


def _total(masks: Tensors) -> int:
    return sum(m.numel() for m in masks.values())


LAWS = (
    Law("exact count", exact_count),
    Law("ties", ties),
    Law("zeros", zeros),
    Law("infinities", infinities),
    Law("rounds", rounds),
    Law("nesting", nesting, compares=True),
)
