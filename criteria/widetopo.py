"""WideTopo: training dynamics preserved, wide topologies explored (Deng et al. 2026)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad

from pabench.plugins import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Round,
    ScoreContext,
    ScoreCriterion,
    Tensors,
    kept_count,
    select,
)

from .ntk_sap import batch_statistics


@dataclass(frozen=True, kw_only=True)
class WideTopo(ScoreCriterion):
    """Score (ntk |w dT/dw| + ita |dA/dm|) / (k_out k_in)^c: T the tangent kernel's trace, A a change by noise.

    T is estimated by one Gaussian probe of the outputs, its gradients by all parameters. A is the sum over images of
    norm((f(x', w') - f(x, w')) - (f(x', w) - f(x, w)))^2 / (epsilon_x epsilon_w), x' = x + epsilon_x d and
    w' = w + epsilon_w d ("implicit target alignment"). k_out and k_in are how many weights the unit at either end has
    left, c = -log10(density) / `decay`. Both terms use the statistics that BatchNorm has for the batch at m * w.

    In `steps` exponential rounds. Then `restorations` times: back from density d to d^(1/2), then d^(3/4), in
    `restoration_steps` linear steps that return weights by (1 - density of unit out) (1 - density of unit in), and as
    many rounds down to d again. The text could not be seen: formula and defaults are those of the authors' code and of
    its settings for CIFAR-100, which however prunes BatchNorm's scales as well and counts the biases in its densities.

    Reference: Memoristor/WideTopo at 5c0a945, one round of the whole and of a pruned network on the noise that it drew:
    scores. Rounds and restoration: the formula alone.
    """

    name = "widetopo"
    paper = "https://doi.org/10.1016/j.neunet.2025.108136"
    second_order = True
    exempt = {
        "rounds": "weights return between rounds",
        "batch order": "noise is drawn image by image",
    }
    quick = {"steps": 1, "restorations": 0}
    bn: Literal["eval"] = "eval"
    examples_per_class: PositiveInt = 10
    steps: PositiveInt = 50
    schedule: Literal["exponential"] = "exponential"
    allocation: Literal["global"] = "global"
    batch_size: PositiveInt = 256
    """How many images share their statistics and a direction of the weights; the last batch has what is left."""
    epsilon_x: PositiveFloat = 0.0005
    epsilon_w: PositiveFloat = 0.0005
    ntk: NonNegativeFloat = 0.01
    ita: NonNegativeFloat = 1.0
    decay: PositiveFloat = 5.0
    restorations: NonNegativeInt = 2
    restoration_steps: PositiveInt = 50

    def score(self, ctx: ScoreContext) -> Tensors:
        total = {n: torch.zeros_like(w) for n, w in ctx.weights.items()}
        for x, moved, probe, direction in self._draws(ctx):
            fixed = {**ctx.rest, **batch_statistics(ctx.call, {**ctx.rest, **ctx.kept}, x)}
            trace = _trace_scores(ctx, fixed, x, probe)
            change = _change_scores(ctx, fixed, x, moved, {n: self.epsilon_w * d for n, d in direction.items()})
            scale = self.ita / (self.epsilon_x * self.epsilon_w)
            total = {n: total[n] + self.ntk * trace[n] + scale * change[n] for n in total}
        density = sum(int(m.sum()) for m in ctx.mask.values()) / sum(m.numel() for m in ctx.mask.values())
        exponent = -math.log10(density) / self.decay
        return {n: s * (ctx.mask[n] / _degrees(ctx.mask[n]).clamp(min=1)) ** exponent for n, s in total.items()}

    def rounds(self, ctx: ScoreContext, density: float) -> Iterator[Round]:
        yield from (made := _Last(self._down(ctx, 1.0, density)))
        for number in range(self.restorations):
            restored = self._restored(made, density, density ** (1 - 2.0 ** -(number + 1)), ctx.generator(f"{number}"))
            ctx = replace(ctx, mask=restored, round=(number + 1) * self.steps)
            wide = sum(int(m.sum()) for m in restored.values()) / sum(m.numel() for m in restored.values())
            yield from (made := _Last(self._down(ctx, wide, density)))

    def _down(self, ctx: ScoreContext, begin: float, end: float) -> Iterator[Round]:
        """Rounds from one density to another, whose densities fall by equal factors."""
        first = ctx.round
        for number in range(1, self.steps + 1):
            target = end if number == self.steps else begin * (end / begin) ** (number / self.steps)
            ctx = replace(ctx, round=first + number - 1)
            scores = self.score(ctx)
            selection = self.choose(scores, ctx.mask, target, ctx)
            yield Round(target, scores, selection)
            ctx = replace(ctx, mask={n: m.to(ctx.mask[n].dtype) for n, m in selection.masks.items()})

    def _restored(self, last: "_Last", low: float, high: float, generator: torch.Generator) -> Tensors:
        """The masks of the last round with pruned weights returned where units have few left."""
        mask = {n: m.to(last.scores[n].dtype) for n, m in last.masks.items()}
        total = sum(m.numel() for m in mask.values())
        for step in range(1, self.restoration_steps + 1):
            kept = kept_count(low + (high - low) * step / self.restoration_steps, total)
            scores = {n: torch.where(m > 0, 2.0, _emptiness(m, generator)) for n, m in mask.items()}
            mask = {n: m.to(mask[n].dtype) for n, m in select(scores, kept).masks.items()}
        return mask

    def _draws(self, ctx: ScoreContext) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensors]]:
        """Of each batch: images, images moved by noise, a probe of the outputs and a direction of the weights."""
        generator = ctx.generator("noise")
        for whole, _ in ctx.batches:
            order = torch.arange(len(whole))
            if len(whole) > self.batch_size:
                order = torch.randperm(len(whole), generator=generator)
            for places in order.split(self.batch_size):
                x = whole[places.to(whole.device)]
                moved = x + self.epsilon_x * _normal(x, generator)
                with torch.no_grad():
                    outputs = ctx.logits(ctx.kept, x)
                probe = _normal(outputs, generator)
                yield x, moved, probe, {n: _normal(w, generator) for n, w in ctx.weights.items()}


class _Last(Iterator[Round]):
    """Rounds, of which the last one stays to be seen: its masks and scores."""

    def __init__(self, rounds: Iterator[Round]) -> None:
        self._rounds = rounds
        self.masks: Tensors = {}
        self.scores: Tensors = {}

    def __next__(self) -> Round:
        made = next(self._rounds)
        self.masks, self.scores = made.selection.masks, made.scores
        return made


def _trace_scores(ctx: ScoreContext, fixed: Tensors, x: Tensor, probe: Tensor) -> Tensors:
    """|w dT/dw| of kept weights: T the squared norm of the gradient of probe * f by all parameters that are left."""
    others = {n: t for n, t in fixed.items() if n not in ctx.buffers and t.is_floating_point()}
    given = {**others, **ctx.kept}

    def trace(parameters: Tensors) -> Tensor:
        g = grad(lambda p: (probe * ctx.call({**fixed, **p}, x)).sum())(parameters)
        left = {n: t * ctx.mask[n] if n in ctx.mask else t for n, t in g.items()}
        return torch.stack([t.square().sum() for t in left.values()]).sum()

    slope = grad(trace)(given)
    return {n: (w * slope[n] * ctx.mask[n]).abs().detach() for n, w in ctx.kept.items()}


def _change_scores(ctx: ScoreContext, fixed: Tensors, x: Tensor, moved: Tensor, direction: Tensors) -> Tensors:
    """|d/dm| of the sum of squares by which the outputs' change from x to `moved` changes along `direction`."""

    def change(mask: Tensors) -> Tensor:
        here = {n: m * ctx.kept[n] for n, m in mask.items()}
        there = {n: m * (ctx.kept[n] + direction[n]) for n, m in mask.items()}
        before, after = (ctx.call({**fixed, **w}, moved) - ctx.call({**fixed, **w}, x) for w in (here, there))
        return (after - before).square().sum()

    slope = grad(change)(dict(ctx.mask))
    return {n: (s * (ctx.mask[n] != 0)).abs().detach() for n, s in slope.items()}


def _degrees(mask: Tensor) -> Tensor:
    """The product of how many weights the units at either end of each weight have."""
    out, into = mask.flatten(1).sum(1), mask.transpose(0, 1).flatten(1).sum(1)
    return torch.outer(out, into).view(*mask.shape[:2], *[1] * (mask.dim() - 2))


def _emptiness(mask: Tensor, generator: torch.Generator) -> Tensor:
    """The product of the shares that the units at either end lack, and a little noise to part what is equal."""
    out, into = 1 - mask.flatten(1).mean(1), 1 - mask.transpose(0, 1).flatten(1).mean(1)
    both = torch.outer(out, into)
    noisy = both + 1e-5 * _normal(both, generator)
    return noisy.view(*mask.shape[:2], *[1] * (mask.dim() - 2)).expand_as(mask)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
