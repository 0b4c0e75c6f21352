"""FORCE: foresight connection sensitivity (de Jorge et al. 2021)."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pabench.plugins import PositiveInt, ScoreContext, Tensors

from ._fresh import FreshBatches


@dataclass(frozen=True, kw_only=True)
class Force(FreshBatches):
    """Score |w * dL/dw|, the gradient at m * w and w the weight at initialization: a pruned weight may return.

    The paper's foresight sensitivity, made large in 60 rounds (those of the authors' example; the equation's number
    could not be seen). Their code (naver/force, `prune_method=3`) runs 10 rounds unless told otherwise and draws a new
    batch of 128 augmented images for each, 10 of them on CIFAR-100, 20 on Tiny ImageNet: `@official` takes the 13
    images of a class that these are, class-balanced, at once and not augmented. Their code keeps int(N d) weights a
    round instead of N - floor((1 - d) N), turns a dead network into a mask of ones and takes NLL of raw logits:
    defects, and no variants.

    Reference: naver/force at 7494eed (`@official`): scores of the first and last of 10 rounds, masks; with
    cross-entropy in place of NLL.
    """

    name = "force"
    paper = "arXiv:2006.09081"
    variants = {"official": {"bn": "train", "steps": 10, "fresh_batches": True, "examples_per_class": 13}}
    laws = ("homogeneous",)
    regrows = True
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10
    steps: PositiveInt = 60

    def score(self, ctx: ScoreContext) -> Tensors:
        g = self.of_round(ctx).gradient(ctx.kept)
        return {n: (w * g[n]).abs() for n, w in ctx.weights.items()}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        return self.of_round(ctx).loss(ctx.kept)
