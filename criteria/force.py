"""FORCE: foresight connection sensitivity (de Jorge et al. 2021)."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.func import grad

from pabench.plugins import PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class Force(ScoreCriterion):
    """Score |w * dL/dw|, the gradient at m * w and w the weight at initialization: a pruned weight may return.

    The paper's foresight sensitivity, made large in 60 rounds (those of the authors' example; the equation's number
    could not be seen). Their code (naver/force, `prune_method=3`) runs 10 rounds unless told otherwise: `@official`.
    It keeps int(N d) weights a round instead of N - floor((1 - d) N), turns a dead network into a mask of ones and
    takes NLL of raw logits: defects, and no variants.
    """

    name = "force"
    paper = "arXiv:2006.09081"
    variants = {"official": {"bn": "train", "steps": 10}}
    laws = ("homogeneous",)
    regrows = True
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10
    steps: PositiveInt = 60

    def score(self, ctx: ScoreContext) -> Tensors:
        g = grad(ctx.loss)(ctx.kept)
        return {n: (w * g[n]).abs() for n, w in ctx.weights.items()}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        return ctx.loss(ctx.kept)
