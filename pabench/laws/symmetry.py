"""Does what cannot matter not matter?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields

import torch

from pabench.criterion import Batch, Criterion
from pabench.errors import SuiteError
from pabench.law import Law, Outcome, inapplicable, judged, relative_error
from pabench.parameters import create
from pabench.selection import Tensors
from pabench.specimen import CONVOLUTIONAL, PERCEPTRON, permuted
from pabench.subject import Subject

ERROR = 1e-6
"""In float64 a sum in another order is off by 1e-13; what a criterion makes of it, by far less than this."""


def batch_order(subject: Subject) -> Outcome:
    """The images of each batch in another order give the same scores."""
    if not subject.rule.examples_per_class:
        return inapplicable("data-free")
    straight = subject.batches(CONVOLUTIONAL)
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(y), generator=generator) for _, y in straight]
    shuffled = [(x[order], y[order]) for (x, y), order in zip(straight, orders, strict=True)]
    error = relative_error(subject.result(CONVOLUTIONAL, batches=shuffled), subject.result(CONVOLUTIONAL))
    return judged(error < ERROR, f"error {error:.0e}", "scores depend on the order of the images")


def batch_splitting(subject: Subject) -> Outcome:
    """Each batch in two class-balanced halves, BatchNorm in eval mode: scores times one constant."""
    if not subject.rule.examples_per_class:
        return inapplicable("data-free")
    if "homogeneous" not in subject.rule.laws:
        return inapplicable("not declared")
    rule = _in_eval_mode(subject.brief)
    if rule is None:
        return inapplicable("BatchNorm only by the statistics of the whole batch")
    halves: list[Batch] = []
    whole = subject.batches(CONVOLUTIONAL)
    for x, y in whole:
        halves += [(x[part::2], y[part::2]) for part in (0, 1)]
    return _proportional(subject, rule, "halves of a batch rank otherwise", whole=whole, other=halves)


def loss_scale(subject: Subject) -> Outcome:
    """Three times the loss: scores times one constant, so the same mask."""
    with subject.session(CONVOLUTIONAL) as ctx:
        subject.of(ctx)
        if "loss" not in ctx.noted:
            return inapplicable("does not ask for ctx.loss")
    if "homogeneous" not in subject.rule.laws:
        return inapplicable("not declared")
    return _proportional(subject, subject.brief, "the scale of the loss changes the ranking", scale=3.0)


def channels(subject: Subject) -> Outcome:
    """The units of a hidden layer change places, in a network with BatchNorm and in one without: so do their scores."""
    if subject.random:
        return inapplicable("draws on the seed, weight by weight")
    worst = 0.0
    for specimen in (CONVOLUTIONAL, PERCEPTRON):
        layer, _, following = (f"{name}.weight" for name in specimen.hidden)
        module = specimen.module()
        order = torch.randperm(len(module.get_parameter(layer)), generator=torch.Generator().manual_seed(0))
        straight = subject.result(specimen)
        moved = subject.result(specimen, module=permuted(module, specimen.hidden, order))
        expected = {**straight, layer: straight[layer][order], following: straight[following][:, order]}
        worst = max(worst, relative_error(moved, expected), key=lambda e: math.inf if math.isnan(e) else e)
    return judged(worst < ERROR, f"error {worst:.0e}", "scores depend on where in its layer a unit stands")


def _proportional(
    subject: Subject,
    rule: Criterion,
    reason: str,
    *,
    whole: Sequence[Batch] | None = None,
    other: Sequence[Batch] | None = None,
    scale: float = 1.0,
) -> Outcome:
    straight = subject.result(CONVOLUTIONAL, rule=rule, batches=whole)
    changed = subject.result(CONVOLUTIONAL, rule=rule, batches=other, scale=scale)
    factor = _factor(changed, straight)
    error = relative_error(changed, {n: factor * s for n, s in straight.items()})
    return judged(error < ERROR, f"factor {factor:.4g}, error {error:.0e}", reason)


def _factor(changed: Tensors, straight: Tensors) -> float:
    """The constant that takes one to the other with the least squares."""
    a, b = (torch.cat([s.flatten() for s in scores.values()]) for scores in (changed, straight))
    return float((a @ b) / (b @ b))


def _in_eval_mode(rule: Criterion) -> Criterion | None:
    """The criterion with stored BatchNorm statistics, where its parameters allow it."""
    values = {f.name: getattr(rule, f.name) for f in fields(rule)}
    try:
        return create(type(rule), {**values, "bn": "eval"}, rule.name)
    except SuiteError:
        return None


LAWS = (
    Law("batch order", batch_order, compares=True),
    Law("batch splitting", batch_splitting, compares=True),
    Law("loss scale", loss_scale, compares=True),
    Law("channels", channels, compares=True),
)
