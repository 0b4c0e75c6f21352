"""Does what cannot matter not matter?"""

from __future__ import annotations

from dataclasses import fields, replace

import torch

from pabench.diagnostics.laws.law import CheckOutcome, Law, flat, inapplicable, judged, relative_error, worst
from pabench.diagnostics.specimens import CONVOLUTIONAL, PERCEPTRON, permuted
from pabench.diagnostics.subject import Subject
from pabench.errors import SuiteError
from pabench.networks.network import Tensors
from pabench.parameters import create
from pabench.scoring.context import Batch

ERROR = 1e-6
"""In float64 a sum in another order is off by 1e-13; what a criterion makes of it, by far less than this."""


def batch_order(subject: Subject) -> CheckOutcome:
    """The images of each batch in another order give the same scores."""
    if not subject.rule.examples_per_class:
        return inapplicable("data-free")
    generator = torch.Generator().manual_seed(0)
    shuffled: list[Batch] = []
    for x, y in subject.batches(CONVOLUTIONAL):
        order = torch.randperm(len(y), generator=generator)
        shuffled.append((x[order], y[order]))
    error = relative_error(subject.result(CONVOLUTIONAL, batches=shuffled), subject.result(CONVOLUTIONAL))
    return judged(error < ERROR, f"error {error:.0e}", "scores depend on the order of the images")


def batch_splitting(subject: Subject) -> CheckOutcome:
    """Each batch in two class-balanced halves, BatchNorm in eval mode: scores times one constant."""
    if not subject.rule.examples_per_class:
        return inapplicable("data-free")
    if "homogeneous" not in subject.rule.laws:
        return inapplicable("not declared")
    values = {f.name: getattr(subject.rule, f.name) for f in fields(subject.rule)}
    try:
        in_eval_mode = create(type(subject.rule), {**values, "bn": "eval"}, subject.rule.name)
    except SuiteError:
        return inapplicable("BatchNorm only by the statistics of the whole batch")
    subject = replace(subject, rule=in_eval_mode)
    halves: list[Batch] = []
    for x, y in subject.batches(CONVOLUTIONAL):
        # images lie class by class, an even number of each: every second one is a balanced half
        halves += [(x[0::2], y[0::2]), (x[1::2], y[1::2])]
    split = subject.result(CONVOLUTIONAL, batches=halves)
    return _proportional(split, subject.result(CONVOLUTIONAL), "halves of a batch rank otherwise")


def loss_scale(subject: Subject) -> CheckOutcome:
    """Three times the loss: scores times one constant, so the same mask."""
    with subject.context(CONVOLUTIONAL) as ctx:
        straight = subject.result_in(ctx)
        if "loss" not in ctx.noted:
            return inapplicable("does not ask for ctx.loss")
    if "homogeneous" not in subject.rule.laws:
        return inapplicable("not declared")
    tripled = subject.result(CONVOLUTIONAL, loss_scale=3.0)
    return _proportional(tripled, straight, "the scale of the loss changes the ranking")


def channels(subject: Subject) -> CheckOutcome:
    """The units of a hidden layer change places, in a network with BatchNorm and in one without: so do their scores."""
    if subject.random:
        return inapplicable("draws on the seed, weight by weight")
    errors = []
    for specimen in (CONVOLUTIONAL, PERCEPTRON):
        layer, _, following = (f"{name}.weight" for name in specimen.hidden)
        module = specimen.module()
        order = torch.randperm(len(module.get_parameter(layer)), generator=torch.Generator().manual_seed(0))
        straight = subject.result(specimen)
        moved = subject.result(specimen, module=permuted(module, specimen.hidden, order))
        expected = {**straight, layer: straight[layer][order], following: straight[following][:, order]}
        errors.append(relative_error(moved, expected))
    error = worst(errors)
    return judged(error < ERROR, f"error {error:.0e}", "scores depend on where in its layer a unit stands")


def _proportional(changed: Tensors, straight: Tensors, reason: str) -> CheckOutcome:
    """Whether one is a constant times the other: the constant of the least squares."""
    a, b = flat(changed), flat(straight)
    factor = float((a @ b) / (b @ b))
    error = relative_error(changed, {n: factor * s for n, s in straight.items()})
    return judged(error < ERROR, f"factor {factor:.4g}, error {error:.0e}", reason)


LAWS = tuple(Law(check, compares=True) for check in (batch_order, batch_splitting, loss_scale, channels))
