"""Gradient norm: the weights with the largest gradients stay."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pabench.plugins import PositiveInt, ScoreContext, Tensors

from ._fresh import FreshBatches


@dataclass(frozen=True, kw_only=True)
class GradNorm(FreshBatches):
    """Score |dL/dw|: the mask of a count that keeps most of the gradient's norm.

    A baseline of Frankle et al. (2021) and of Gollini Navarrete et al. (2025, arXiv:2502.11450), whose text could not
    be seen; the latter's code (Gollini/Scalable_Second_Order_PaI) takes |mean gradient| with BatchNorm in eval mode.
    GraSP-It of de Jorge et al. (naver/force, `prune_method=2`) scores the square, the same ranking, in 10 rounds,
    each on a new batch of 128 images (13 of a class of CIFAR-10 and CIFAR-100, as for `force@official`).

    Reference: Gollini/Scalable_Second_Order_PaI at bfb50ad (`@second-order-pai`) and naver/force at 7494eed
    (`@grasp-it`, one round): scores and masks.
    """

    name = "grad_norm"
    paper = "arXiv:2009.08576"
    precision = "float32"
    first_order = True
    variants = {
        "second-order-pai": {"bn": "eval"},
        "grasp-it": {"bn": "train", "steps": 10, "fresh_batches": True, "examples_per_class": 13},
    }
    laws = ("homogeneous",)
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: g.abs() for n, g in self.of_round(ctx).gradient(ctx.kept).items()}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        return self.of_round(ctx).loss(ctx.kept)

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        return (slope / weight).abs()
