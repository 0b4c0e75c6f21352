"""GraSP: gradient signal preservation (Wang et al. 2020)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, vjp

from pabench.criterion import PositiveFloat, PositiveInt, ScoreContext, ScoreCriterion
from pabench.selection import Tensors


@dataclass(frozen=True, kw_only=True)
class Grasp(ScoreCriterion):
    """Score w * Hg, the drop of the gradient's norm when one weight is removed (eq. 8); signed.

    The paper calls -w * Hg the score and removes the highest, so the sign is turned here. Logits are divided by the
    temperature T = 200 of algorithm 1. H is symmetric: the gradient's own pullback gives Hg, with one gradient pass.
    """

    name = "grasp"
    paper = "arXiv:2002.07376"
    variants = {
        "official": {"bn": "train", "batch_split": "class-halves"},
        "synaptic-flow": {"bn": "eval"},
    }
    laws = ("homogeneous",)
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10
    temperature: PositiveFloat = 200.0

    def score(self, ctx: ScoreContext) -> Tensors:
        w = ctx.kept
        g, pullback = vjp(grad(lambda v: ctx.loss(v, self.temperature)), w)
        (hg,) = pullback(g)
        return {n: w[n] * hg[n] for n in w}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """Half the squared norm of the gradient: its slope along one entry of the mask is w * Hg, with its sign."""
        g = grad(lambda v: ctx.loss(v, self.temperature))(ctx.kept)
        return torch.stack([t.square().sum() for t in g.values()]).sum() / 2

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        return slope
