"""SNIP: connection sensitivity (Lee et al. 2019)."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pabench.plugins import PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class Snip(ScoreCriterion):
    """Score |w * dL/dw|, the effect on the loss of removing one connection (eq. 6).

    The paper's dL/dc at c = 1 equals w * dL/dw, so no auxiliary variable is needed. Its division by the sum of all
    scores changes no ranking and is left out.

    Reference: ganguli-lab/Synaptic-Flow at 9dfa57a (default, `@synaptic-flow`): scores and masks.
    """

    name = "snip"
    paper = "arXiv:1810.02340"
    precision = "float32"
    first_order = True
    variants = {"synaptic-flow": {"bn": "eval"}}
    laws = ("homogeneous",)
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10

    def score(self, ctx: ScoreContext) -> Tensors:
        w = ctx.kept
        g = ctx.gradient(w)
        return {n: (w[n] * g[n]).abs() for n in w}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        return ctx.loss(ctx.kept)
