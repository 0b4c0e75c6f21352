"""Gradient norm: the weights with the largest gradients stay."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.func import grad

from pabench.plugins import PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class GradNorm(ScoreCriterion):
    """Score |dL/dw|: the mask of a count that keeps most of the gradient's norm.

    A baseline of Frankle et al. (2021) and of Gollini Navarrete et al. (2025, arXiv:2502.11450), whose text could not
    be seen; the latter's code (Gollini/Scalable_Second_Order_PaI) takes |mean gradient| with BatchNorm in eval mode.
    GraSP-It of de Jorge et al. (naver/force, `prune_method=2`) scores the square, the same ranking, in 10 rounds.
    """

    name = "grad_norm"
    paper = "arXiv:2009.08576"
    variants = {
        "second-order-pai": {"bn": "eval"},
        "grasp-it": {"bn": "train", "steps": 10},
    }
    laws = ("homogeneous",)
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: g.abs() for n, g in grad(ctx.loss)(ctx.kept).items()}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        return ctx.loss(ctx.kept)

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        return (slope / weight).abs()
