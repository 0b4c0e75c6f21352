"""NTK-SAP: neural tangent kernel spectrum-aware pruning (Wang et al. 2023)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from pabench.plugins import PositiveFloat, PositiveInt, Rewired, ScoreContext, ScoreCriterion, Tensors

Call = Callable[[Tensors, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class NtkSap(ScoreCriterion):
    """Score |d/dm sum of norm(f(z; m * w) - f(z; m * (w + epsilon * d)))^2|, d and z standard normal.

    The expectation over d is epsilon^2 times the trace of the neural tangent kernel, to first order: the weights that
    matter least for the kernel's spectrum go. Neither images nor the network's own weights are used. A round looks at
    10 inputs a class in batches of 256, the last one with what is left: one batch of 100 where there are 10 classes,
    four where there are 100. Each batch is drawn with another initialization w and a direction d of its own, and the
    derivatives of all batches are added before the absolute value. BatchNorm takes the statistics of z at m * w
    (variance unbiased, as running statistics are) and both networks use them as constants.
    All defaults are those of the authors' code; its script for ResNet-20 looks five times a round (`probes: 5`).

    Reference: YiteWang/NTK-SAP at e23682b, one round on the noise and weights that it drew, in one batch and in two:
    scores and masks.
    """

    name = "ntk_sap"
    version = 2
    paper = "arXiv:2304.02840"
    quick = {"inputs_per_class": 2}  # an even number: no batch of 256 leaves a single input to the next
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0
    steps: PositiveInt = 20
    epsilon: PositiveFloat = 0.01
    probes: PositiveInt = 1
    """How often a round looks at as many inputs, with draws of its own each time."""
    inputs_per_class: PositiveInt = 10
    """Inputs of noise for each output of the network."""
    batch_size: PositiveInt = 256
    """How many inputs share an initialization and a direction."""

    def score(self, ctx: ScoreContext) -> Tensors:
        total = {n: torch.zeros_like(w) for n, w in ctx.weights.items()}
        for drawn in self._draws(ctx):
            g = influence(ctx.call, ctx.mask, *drawn, self.epsilon)
            total = {n: total[n] + g[n] for n in total}
        return {n: t.abs() for n, t in total.items()}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """The sum of the distances, with BatchNorm's statistics where the mask is whole."""
        whole = {n: m.round() for n, m in ctx.mask.items()}
        distances = [distance(ctx.call, whole, *drawn, self.epsilon) for drawn in self._draws(ctx)]
        return torch.stack([d(ctx.mask) for d in distances]).sum()

    def _draws(self, ctx: ScoreContext) -> Iterator[tuple[Tensors, Tensor, Tensors]]:
        """Of each batch of each probe: another initialization, inputs and a direction."""
        one = ctx.ones()
        classes = ctx.call({**ctx.rest, **ctx.weights}, one).shape[-1]
        sizes = batches(self.inputs_per_class * classes, self.batch_size) * self.probes
        for number, size in enumerate(sizes):
            z = _normal((size, *one.shape[1:]), ctx.generator(f"inputs {number}"), one)
            directions = ctx.generator(f"directions {number}")
            d = {n: _normal(w.shape, directions, w) for n, w in ctx.weights.items()}
            yield ctx.redrawn(f"weights {number}"), z, d


def batches(inputs: int, size: int) -> list[int]:
    """Sizes of the batches that so many inputs come in; the last one has what is left.

    >>> batches(100, 256), batches(1000, 256)
    ([100], [256, 256, 256, 232])
    """
    return [min(size, inputs - first) for first in range(0, inputs, size)]


def influence(call: Call, mask: Tensors, tensors: Tensors, z: Tensor, direction: Tensors, epsilon: float) -> Tensors:
    """The derivative of `distance` by m, at `mask`."""
    function = distance(call, mask, tensors, z, direction, epsilon)
    return {n: g.detach() for n, g in grad(function)(mask).items()}


def distance(
    call: Call, mask: Tensors, tensors: Tensors, z: Tensor, direction: Tensors, epsilon: float
) -> Callable[[Tensors], Tensor]:
    """The sum over a batch `z` of norm(f(z; m * w) - f(z; m * (w + epsilon * direction)))^2 as a function of m.

    w is in `tensors`; BatchNorm keeps the statistics it has at `mask`.
    """
    weights = {n: tensors[n] for n in mask}
    moved = {n: w + epsilon * direction[n] for n, w in weights.items()}
    fixed = {**tensors, **batch_statistics(call, {**tensors, **_masked(mask, weights)}, z)}

    def of(m: Tensors) -> Tensor:
        before = call({**fixed, **_masked(m, weights)}, z)
        after = call({**fixed, **_masked(m, moved)}, z)
        return (before - after).square().sum()

    return of


def batch_statistics(call: Call, tensors: Tensors, x: Tensor) -> Tensors:
    """Running mean and variance of each BatchNorm, by buffer name, after one training pass over `x` alone."""
    names = {id(t): n for n, t in tensors.items()}
    found: Tensors = {}

    def batch_norm(
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if running_mean is not None and running_var is not None:
            dims = [d for d in range(input.dim()) if d != 1]
            found[names[id(running_mean)]] = input.mean(dims)
            found[names[id(running_var)]] = input.var(dims)
        return F.batch_norm(input, None, None, weight, bias, True, momentum, eps)

    with torch.no_grad(), Rewired({"batch_norm": batch_norm}):
        call(tensors, x)
    return found


def _masked(mask: Tensors, weights: Tensors) -> Tensors:
    return {n: m * weights[n] for n, m in mask.items()}


def _normal(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(like)
