"""Does the score say what it is defined to say?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from scipy.stats import spearmanr
from torch import Tensor

from pabench.criterion import ScoreContext, ScoreCriterion
from pabench.law import Law, Outcome, inapplicable, information, judged
from pabench.pruning import SkippedError
from pabench.selection import Tensors
from pabench.specimen import CONVOLUTIONAL, SMOOTH, UNBIASED, Specimen
from pabench.subject import Subject

STEP = 1e-4
"""By which an entry of the mask is moved: the central difference of a smooth function is off by its square."""
ERROR = 1e-4
"""What rounding leaves of a difference of 1e-4, where the score divides by a small weight, is below 3e-5."""
CORRELATION = 0.8
"""The score is of first order and the weight is removed whole: they agree in rank, not in value, and in the rank of a
gradient's norm only where the network is smooth."""


def finite_differences(subject: Subject) -> Outcome:
    """Scores against central differences of the declared quantity, on a smooth network, dense and half pruned.

    A criterion that declines it, as one of ReLUs does, is tried on a network of ReLUs. The error is relative to the
    score, or to a thousandth of the layer's largest where the score is smaller.
    """
    rule = subject.brief
    if not isinstance(rule, ScoreCriterion):
        return inapplicable("gives masks and no scores")
    specimen = _differentiable(subject)
    worst, probes = 0.0, 0
    for half in (False, True):
        with subject.session(specimen) as ctx:
            there = _half_pruned(ctx) if half else ctx
            if rule.quantity(there) is None:
                return inapplicable("declares no quantity")
            scores = {n: s.detach().clone() for n, s in rule.score(there).items()}
        with subject.session(specimen) as ctx:
            there = _half_pruned(ctx) if half else ctx
            for n, index in _probes(scores, there.mask, 4):
                above, below = (_moved(rule, there, n, index, 1 + e) for e in (STEP, -STEP))
                expected = rule.predicted((above - below) / (2 * STEP), there.weights[n].flatten()[index])
                score = float(scores[n].flatten()[index])
                scale = max(abs(score), 1e-3 * float(scores[n].abs().max()))
                error = abs(float(expected) - score) / scale if scale else abs(float(expected))
                worst = error if not error <= worst else worst
                probes += 1
    figure = f"error {worst:.0e} at {probes} weights"
    return judged(worst < ERROR, figure, "the score is not what the change of its quantity predicts")


def removal(subject: Subject) -> Outcome:
    """Rank correlation of the scores with what removing each weight, whole and alone, does to the quantity."""
    rule = subject.brief
    if not isinstance(rule, ScoreCriterion):
        return inapplicable("gives masks and no scores")
    with subject.session(SMOOTH) as ctx:
        scores = {n: s.detach().clone() for n, s in rule.score(ctx).items()}
    found, expected = [], []
    with subject.session(SMOOTH) as ctx:
        dense = rule.quantity(ctx)
        if dense is None:
            return inapplicable("declares no quantity")
        for n, index in _probes(scores, ctx.mask, 16):
            change = dense - _moved(rule, ctx, n, index, 0.0)
            expected.append(float(rule.predicted(change, ctx.weights[n].flatten()[index])))
            found.append(float(scores[n].flatten()[index]))
    correlation = float(spearmanr(found, expected).statistic)
    figure = f"rank correlation {correlation:.2f} over {len(found)} weights"
    return judged(correlation > CORRELATION, figure, f"expected more than {CORRELATION}")


def conservation(subject: Subject) -> Outcome:
    """On a network of ReLUs without biases: the sum of every layer's scores, and of those into and out of each unit."""
    if "conservation" not in subject.rule.laws:
        return inapplicable("not declared")
    scores = list(subject.result(UNBIASED).values())
    totals = torch.stack([s.sum() for s in scores])
    worst = float((totals - totals[0]).abs().max() / totals[0].abs())
    for before, after in pairwise(scores):
        into, out = before.sum(1), after.sum(0)
        worst = max(worst, float((into - out).abs().max() / into.abs().max()))
    return judged(worst < 1e-9, f"error {worst:.0e}", "the sums of layers or of units differ")


def signs(subject: Subject) -> Outcome:
    """How many scores are negative and how many are 0, on a network with BatchNorm."""
    if not subject.scores_weights:
        return inapplicable("gives masks and no scores")
    flat = torch.cat([s.flatten() for s in subject.result(CONVOLUTIONAL).values()])
    negative, zero = ((flat < 0).double().mean(), (flat == 0).double().mean())
    return information(f"{negative:.0%} negative, {zero:.0%} zero")


def _differentiable(subject: Subject) -> Specimen:
    """The smooth network, where the criterion takes it."""
    try:
        with subject.session(SMOOTH):
            return SMOOTH
    except SkippedError:
        return CONVOLUTIONAL


def _half_pruned(ctx: ScoreContext) -> ScoreContext:
    generator = torch.Generator().manual_seed(0)
    mask = {n: (torch.rand(m.shape, generator=generator) < 0.5).to(m) for n, m in ctx.mask.items()}
    return replace(ctx, mask=mask)


def _probes(scores: Tensors, mask: Tensors, count: int) -> Iterator[tuple[str, int]]:
    """Kept weights of each layer, from the lowest score to the highest in equal strides."""
    for n, s in scores.items():
        kept = mask[n].flatten().nonzero().flatten()
        order = kept[s.flatten()[kept].argsort(stable=True)]
        for place in torch.linspace(0, len(order) - 1, min(count, len(order))).round().long().tolist():
            yield n, int(order[place])


def _moved(rule: ScoreCriterion, ctx: ScoreContext, name: str, index: int, value: float) -> Tensor:
    """The quantity when one entry of the mask has this value."""
    entry = ctx.mask[name].clone()
    entry.view(-1)[index] = value
    moved = rule.quantity(replace(ctx, mask={**ctx.mask, name: entry}))
    assert moved is not None
    return moved.detach()


LAWS = (
    Law("finite differences", finite_differences),
    Law("removal", removal),
    Law("conservation", conservation),
    Law("signs", signs),
)
