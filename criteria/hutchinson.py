"""Hutchinson pruning at initialization (Gollini Navarrete et al. 2025)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, vjp

from pabench.plugins import PositiveFloat, PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class Hutchinson(ScoreCriterion):
    """Score w^2 h, h = mean of z * Hz over random signs z, an unbiased estimate of the diagonal of the Hessian; signed.

    "Hutchinson pruning" of the paper; its saliency is half of this, which changes no ranking. Where the loss curves
    downwards the score is negative, and such weights go first. The text could not be seen: the formula is that of its
    code (Gollini/Scalable_Second_Order_PaI, `hutch_pruning`), which estimates the same expectation with 10 probes for
    each image by itself, a hundred times the cost, and divides logits by T = 200 (`@official`); a Hessian has no
    temperature, so the default is 1. That code prunes neither the classifier nor any layer called "linear", "fc", "bn".

    Reference: Gollini/Scalable_Second_Order_PaI at bfb50ad (`@official`), a batch at once on the signs that it drew:
    scores and masks. The default differs from it by its temperature.
    """

    name = "hutchinson"
    paper = "arXiv:2502.11450"
    precision = "float32"
    second_order = True
    variants = {"official": {"temperature": 200.0}}
    quick = {"probes": 1}
    bn: Literal["train", "eval"] = "eval"
    examples_per_class: PositiveInt = 10
    probes: PositiveInt = 10
    temperature: PositiveFloat = 1.0

    def score(self, ctx: ScoreContext) -> Tensors:
        w = ctx.kept
        h = {n: torch.zeros_like(v) for n, v in w.items()}
        for part in ctx.parts():
            generator = ctx.generator("signs")  # the same signs for all parts
            _, pullback = vjp(grad(lambda v, part=part: part.loss(v, self.temperature)), w)
            for _ in range(self.probes):
                z = {n: _signs(v, generator) for n, v in w.items()}
                (hz,) = pullback(z)
                h = {n: h[n] + z[n] * hz[n] / self.probes for n in w}
        return {n: w[n].square() * h[n] for n in w}


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """+1 or -1 with equal probability."""
    return (2 * torch.randint(0, 2, like.shape, generator=generator) - 1).to(like)
