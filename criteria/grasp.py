"""GraSP: gradient signal preservation (Wang et al. 2020)."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad

from pabench.plugins import PositiveFloat, PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class Grasp(ScoreCriterion):
    """Score w * Hg, the drop of the gradient's norm when one weight is removed (eq. 8); signed.

    The paper calls -w * Hg the score and removes the highest, so the sign is turned here. Logits are divided by the
    temperature T = 200 of algorithm 1. H is symmetric: the gradient's own pullback gives Hg, with one gradient pass.

    Public code: alecwangcq/GraSP (`@official`) feeds two halves of the classes and, unless told otherwise, re-draws
    linear layers by Xavier's rule before it scores (`@official-redrawn`), so that other weights are scored than
    trained; ganguli-lab/Synaptic-Flow uses stored BatchNorm statistics; Gollini/Scalable_Second_Order_PaI these and
    T = 1. SNIP-it's reversed sign is a defect and no variant.

    Reference: alecwangcq/GraSP at f17d87a (default, `@official`) and ganguli-lab/Synaptic-Flow at 9dfa57a (default,
    `@synaptic-flow`): scores and masks. `@official-redrawn` and `@second-order-pai`: the formula alone.
    """

    name = "grasp"
    paper = "arXiv:2002.07376"
    precision = "float32"
    second_order = True
    variants = {
        "official": {"bn": "train", "batch_split": "class-halves"},
        "official-redrawn": {"bn": "train", "batch_split": "class-halves", "redraw_linear": True},
        "synaptic-flow": {"bn": "eval"},
        "second-order-pai": {"bn": "eval", "temperature": 1.0},
    }
    laws = ("homogeneous",)
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10
    temperature: PositiveFloat = 200.0
    redraw_linear: bool = False
    """Score linear layers at other weights than the network has: normal, of variance 2 / (n_in + n_out)."""

    def score(self, ctx: ScoreContext) -> Tensors:
        w = self._scored(ctx)
        hg = ctx.hessian_gradient(w, self.temperature)
        return {n: w[n] * hg[n] for n in w}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """Half the squared norm of the gradient: its slope along one entry of the mask is w * Hg, with its sign."""
        g = grad(lambda v: ctx.loss(v, self.temperature))(self._scored(ctx))
        return torch.stack([t.square().sum() for t in g.values()]).sum() / 2

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        return slope

    def _scored(self, ctx: ScoreContext) -> Tensors:
        """The weights as pruned so far; those of linear layers drawn anew where asked for, the same in every round."""
        if not self.redraw_linear:
            return ctx.kept
        generator = replace(ctx, round=0).generator("linear layers")
        w = dict(ctx.kept)
        for n, v in ctx.weights.items():
            if v.dim() == 2:
                drawn = torch.randn(v.shape, generator=generator, dtype=torch.float64) * math.sqrt(2 / sum(v.shape))
                w[n] = drawn.to(v) * ctx.mask[n]
        return w
