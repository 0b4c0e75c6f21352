"""Does the score say what it is defined to say?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from scipy.stats import spearmanr
from torch import Tensor

from pabench.diagnostics.laws.law import CheckOutcome, Law, flat, inapplicable, information, judged, worst
from pabench.diagnostics.specimens import CONVOLUTIONAL, SMOOTH, UNBIASED, Specimen
from pabench.diagnostics.subject import Subject
from pabench.networks.network import Tensors
from pabench.scoring.context import ScoreContext
from pabench.scoring.criterion import ScoreCriterion, checked
from pabench.scoring.pruning import SkippedError

STEP = 1e-4
"""By which an entry of the mask is moved: the central difference of a smooth function is off by its square."""
ERROR = 1e-4
"""What rounding leaves of a difference of 1e-4, where the score divides by a small weight, is below 3e-5."""
CORRELATION = 0.8
"""The score is of first order and the weight is removed whole: they agree in rank, not in value, and in the rank of a
gradient's norm only where the network is smooth."""
CONSERVED = 1e-9
"""Sums of a thousand float64 scores are off by 1e-13."""


def finite_differences(subject: Subject) -> CheckOutcome:
    """Scores against central differences of the declared quantity, on a smooth network, dense and half pruned.

    A criterion that declines it, as one of ReLUs does, is tried on a network of ReLUs. The error is relative to the
    score, or to a thousandth of the layer's largest where the score is smaller.
    """
    rule = subject.score_rule
    errors: list[float] = []
    with subject.context(_differentiable(subject)) as dense:
        for ctx in (dense, _half_pruned(dense)):
            errors += [_error(*each) for each in _predictions(rule, ctx, 4, 1 + STEP, 1 - STEP)]
    figure = f"error {worst(errors):.0e} at {len(errors)} weights"
    return judged(worst(errors) < ERROR, figure, "the score is not what the change of its quantity predicts")


def removal(subject: Subject) -> CheckOutcome:
    """Rank correlation of the scores with what removing each weight, whole and alone, does to the quantity."""
    rule = subject.score_rule
    with subject.context(SMOOTH) as ctx:
        found, expected, _ = zip(*_predictions(rule, ctx, 16, 1.0, 0.0), strict=True)
    correlation = float(spearmanr(found, expected).statistic)
    figure = f"rank correlation {correlation:.2f} over {len(found)} weights"
    return judged(correlation > CORRELATION, figure, f"expected more than {CORRELATION}")


def conservation(subject: Subject) -> CheckOutcome:
    """On a network of ReLUs without biases: the sum of every layer's scores, and of those into and out of each unit."""
    if "conservation" not in subject.rule.laws:
        return inapplicable("not declared")
    scores = list(subject.result(UNBIASED).values())
    totals = torch.stack([s.sum() for s in scores])
    errors = [float((totals - totals[0]).abs().max() / totals[0].abs())]
    for before, after in pairwise(scores):
        into, out = before.sum(1), after.sum(0)
        errors.append(float((into - out).abs().max() / into.abs().max()))
    return judged(worst(errors) < CONSERVED, f"error {worst(errors):.0e}", "the sums of layers or of units differ")


def signs(subject: Subject) -> CheckOutcome:
    """How many scores are negative and how many are 0, on a network with BatchNorm."""
    with subject.context(CONVOLUTIONAL) as ctx:
        scores = subject.scores_in(ctx)
    values = flat(scores)
    negative, zero = (values < 0).double().mean(), (values == 0).double().mean()
    return information(f"{negative:.0%} negative, {zero:.0%} zero")


def _differentiable(subject: Subject) -> Specimen:
    """The smooth network, where the criterion takes it."""
    try:
        with subject.context(SMOOTH):
            return SMOOTH
    except SkippedError:
        return CONVOLUTIONAL


def _half_pruned(ctx: ScoreContext) -> ScoreContext:
    generator = torch.Generator().manual_seed(0)
    mask = {n: (torch.rand(m.shape, generator=generator) < 0.5).to(m) for n, m in ctx.mask.items()}
    return replace(ctx, mask=mask)


def _predictions(
    rule: ScoreCriterion, ctx: ScoreContext, count: int, above: float, below: float
) -> Iterator[tuple[float, float, Tensor]]:
    """Scores of some kept weights, each with what it should be, and with all scores of its layer.

    It should be what follows from the change of the quantity between two values of the weight's entry in the mask.
    """
    if rule.quantity(ctx) is None:
        raise SkippedError("declares no quantity")
    scores = checked(rule.score(ctx), ctx.weights, rule.name)
    for n, index in _probes(scores, ctx.mask, count):
        change = _quantity_at(rule, ctx, n, index, above) - _quantity_at(rule, ctx, n, index, below)
        expected = rule.predicted(change / (above - below), ctx.weights[n].flatten()[index])
        yield float(scores[n].flatten()[index]), float(expected), scores[n]


def _probes(scores: Tensors, mask: Tensors, count: int) -> Iterator[tuple[str, int]]:
    """Kept weights of each layer, from the lowest score to the highest in equal strides."""
    for n, s in scores.items():
        kept = mask[n].flatten().nonzero().flatten()
        order = kept[s.flatten()[kept].argsort(stable=True)]
        for place in torch.linspace(0, len(order) - 1, min(count, len(order))).round().long().tolist():
            yield n, int(order[place])


def _quantity_at(rule: ScoreCriterion, ctx: ScoreContext, name: str, index: int, value: float) -> Tensor:
    """The quantity when one entry of the mask has this value."""
    entry = ctx.mask[name].clone()
    entry.view(-1)[index] = value
    moved = rule.quantity(replace(ctx, mask={**ctx.mask, name: entry}))
    assert moved is not None
    return moved.detach()


def _error(score: float, expected: float, layer: Tensor) -> float:
    # a score that is nearly 0 beside others of its layer cannot be exact relative to itself
    scale = max(abs(score), 1e-3 * float(layer.abs().max()))
    return abs(expected - score) / (scale or 1.0)


LAWS = (Law(finite_differences), Law(removal), Law(conservation), Law(signs))
