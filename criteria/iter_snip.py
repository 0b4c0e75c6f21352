"""Iterative SNIP (de Jorge et al. 2021)."""

from dataclasses import dataclass

from torch import Tensor

from pabench.plugins import PositiveInt, ScoreContext, Tensors

from ._fresh import FreshBatches
from .snip import Snip


@dataclass(frozen=True, kw_only=True)
class IterSnip(Snip, FreshBatches):
    """SNIP in rounds: |w * dL/dw| of the network as pruned so far, at m * w; a pruned weight stays pruned.

    The paper's Iterative SNIP with its 60 rounds (those of the authors' example; the equation's number could not be
    seen). Their code (naver/force, `prune_method=1`) runs 10 rounds unless told otherwise and draws a new batch of 128
    augmented images for each, 10 of them on CIFAR-100, 20 on Tiny ImageNet: `@official` takes the 13 images of a class
    that these are, class-balanced, at once and not augmented. Their code keeps int(N d) weights a round instead of N -
    floor((1 - d) N), gives pruned weights the lowest score of all instead of none, so that some return with the ties,
    and takes NLL of raw logits: defects, and no variants.

    Reference: naver/force at 7494eed (`@official`): scores of the first and last of 10 rounds, masks; with
    cross-entropy in place of NLL.
    """

    name = "iter_snip"
    paper = "arXiv:2006.09081"
    precision = "float64"  # type: ignore[assignment]  # mypy takes what Snip says for its type
    variants = {"official": {"bn": "train", "steps": 10, "fresh_batches": True, "examples_per_class": 13}}
    steps: PositiveInt = 60

    def score(self, ctx: ScoreContext) -> Tensors:
        return super().score(self.of_round(ctx))

    def quantity(self, ctx: ScoreContext) -> Tensor:
        return super().quantity(self.of_round(ctx))
