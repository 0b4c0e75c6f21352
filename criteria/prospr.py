"""ProsPr: prospect pruning by meta-gradients (Alizadeh et al. 2022)."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from pabench.plugins import Batch, NonNegativeFloat, PositiveFloat, PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class ProsPr(ScoreCriterion):
    """Score |dL_k/dm|: L_k is the loss after k steps of SGD that start at m * w, differentiated through the steps.

    SGD trains all parameters, each step on its own batch, and L_k is measured on one more (algorithm 1). Where fewer
    batches are given than `batch_count()` they are used in turn. `fresh_batches: false` stays on the first one for
    the steps and for L_k, the default of the authors' command line; the other defaults are that command line's.
    The buffer of `inner_momentum` is differentiated as well: the authors' code detaches its first value, which takes
    the first step out of the meta-gradient. `meta_gradient: first-order` takes the steps as constants (the paper's
    approximation for long horizons): |w * dL/dtheta| at the weights after k steps. In later rounds pruned weights are
    not trained.

    Reference: mil-ad/prospr at a921779: scores and masks.
    """

    name = "prospr"
    paper = "arXiv:2202.08132"
    variants = {"official": {"fresh_batches": False}}
    quick = {"inner_steps": 1}
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10
    inner_steps: PositiveInt = 3
    inner_lr: PositiveFloat = 0.1
    inner_momentum: NonNegativeFloat = 0.0
    fresh_batches: bool = True
    meta_gradient: Literal["full", "first-order"] = "full"

    def batch_count(self) -> int:
        return self.inner_steps + 1 if self.fresh_batches else 1

    def score(self, ctx: ScoreContext) -> Tensors:
        others = {n: t for n, t in ctx.rest.items() if n not in ctx.buffers}

        def prospect(mask: Tensors) -> Tensor:
            start = {n: w * mask[n] for n, w in ctx.weights.items()}
            return self._trained(ctx, {**others, **start})

        return {n: g.abs() for n, g in grad(prospect)(ctx.mask).items()}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """L_k, where the steps start at m * w; which weights are trained does not move with m."""
        others = {n: t for n, t in ctx.rest.items() if n not in ctx.buffers}
        start = replace(ctx, mask={n: m.round() for n, m in ctx.mask.items()})
        return self._trained(start, {**others, **ctx.kept})

    def _trained(self, ctx: ScoreContext, parameters: Tensors) -> Tensor:
        """The loss on the last batch after `inner_steps` steps on the others, a function of where they start."""
        *inner, outer = self._batches(ctx)
        velocity: Tensors = {}
        for batch in inner:
            g = grad(lambda p, batch=batch: _loss(ctx, p, batch))(parameters)
            g = {n: v * ctx.mask[n] if n in ctx.mask else v for n, v in g.items()}
            if self.meta_gradient == "first-order":
                g = {n: v.detach() for n, v in g.items()}
            velocity = {n: self.inner_momentum * velocity[n] + v for n, v in g.items()} if velocity else g
            parameters = {n: p - self.inner_lr * velocity[n] for n, p in parameters.items()}
        return _loss(ctx, parameters, outer)

    def _batches(self, ctx: ScoreContext) -> list[Batch]:
        given = ctx.batches if self.fresh_batches else ctx.batches[:1]
        return [given[step % len(given)] for step in range(self.inner_steps + 1)]


def _loss(ctx: ScoreContext, parameters: Tensors, batch: Batch) -> Tensor:
    x, y = batch
    return F.cross_entropy(ctx.logits(parameters, x), y)
