"""Fisher pruning at initialization (Gollini Navarrete et al. 2025)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional as F

from pabench.plugins import PositiveInt, ScoreContext, ScoreCriterion, Tensors

ELEMENTS = 2**24
"""Numbers that a tensor with a row per image may hold: 128 MiB in float64. More images are taken in several goes."""


@dataclass(frozen=True, kw_only=True)
class Fisher(ScoreCriterion):
    """Score w^2 F, F = mean over images of (dL_i/dw)^2, the diagonal of the empirical Fisher information.

    "Fisher pruning" of the paper; its saliency is half of this, which changes no ranking. The text could not be seen:
    the formula is that of its code (Gollini/Scalable_Second_Order_PaI, `fisher_pruner`, images one by one), which
    however prunes neither the classifier nor any layer called "linear", "fc" or "bn". BatchNorm uses its stored
    statistics, as there: with those of a batch no image has a gradient of its own. Of several batches the means are
    added up, as their losses are.

    Reference: Gollini/Scalable_Second_Order_PaI at bfb50ad: scores and masks.
    """

    name = "fisher"
    paper = "arXiv:2502.11450"
    precision = "float32"
    bn: Literal["eval"] = "eval"
    examples_per_class: PositiveInt = 10

    def score(self, ctx: ScoreContext) -> Tensors:
        w = ctx.kept

        def squares(x: Tensor, y: Tensor) -> Tensors:
            g = grad(lambda v: F.cross_entropy(ctx.logits(v, x[None]), y[None]))(w)
            return {n: t.square() for n, t in g.items()}

        total = {n: torch.zeros_like(v) for n, v in w.items()}
        at_once = max(1, ELEMENTS // sum(v.numel() for v in w.values()))
        for part in ctx.parts():
            ((x, y),) = part.batches
            for images, labels in zip(x.split(at_once), y.split(at_once), strict=True):
                found = _each(squares, images, labels)
                total = {n: t + found[n].sum(0) / len(y) * part.share for n, t in total.items()}
        return {n: w[n].square() * total[n] for n in w}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """The losses of the images, one by one."""
        return torch.cat([F.cross_entropy(ctx.logits(ctx.kept, x), y, reduction="none") for x, y in ctx.batches])

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        return slope.square().mean()


def _each(function: Callable[[Tensor, Tensor], Tensors], x: Tensor, y: Tensor) -> Tensors:
    """Results for single images, stacked; one after another where a network cannot be vectorised."""
    try:
        return vmap(function)(x, y)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        found = [function(x[i], y[i]) for i in range(len(y))]
        return {n: torch.stack([f[n] for f in found]) for n in found[0]}
