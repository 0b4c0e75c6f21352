"""Gradual magnitude pruning in training, from dense to sparse (Zhu & Gupta 2017)."""

from dataclasses import dataclass
from typing import Literal

from pabench.plugins import (
    Criterion,
    Gradual,
    NonNegativeFloat,
    ParameterError,
    PositiveFloat,
    PositiveInt,
    ScoreContext,
    Tensors,
)


@dataclass(frozen=True, kw_only=True)
class GradualMagnitude(Criterion):
    """Prune the smallest |w| while the network trains: a sparsity that rises as s (1 - (1 - t)^3) to the s asked for.

    t goes from 0 to 1 between the parts `begin` and `end` of the cell's recipe, in `prunings` equal intervals (eq. 1
    with s_i = 0). In each layer the same share of the weights goes, as in the paper (`allocation`); what is pruned
    stays 0. One training of the recipe's epochs, from the block's initial weights, is all that it needs
    (`total_epochs`). Begin, end and interval, which the paper fits to each task, are ours.

    The mask is what this training ends with. It is trained twice here, for the mask and for the record, and must come
    to the same: where it does not (another machine, another number of threads), the cell fails and is pruned anew.

    Reference: the formula alone.
    """

    name = "gradual_magnitude"
    paper = "arXiv:1710.01878"
    precision = "float32"
    trains = True
    reference_line = "not at initialization: prunes while it trains"
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0
    batch_split: Literal["whole"] = "whole"
    begin: NonNegativeFloat = 0.1
    end: PositiveFloat = 0.75
    prunings: PositiveInt = 100
    allocation: Literal["uniform", "global", "er", "erk"] = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.begin < self.end <= 1:
            raise ParameterError(
                self.name, [("end", f"{self.end:g} is not above begin, {self.begin:g}, and at most 1")]
            )

    def gradual(self, density: float) -> Gradual:
        return Gradual(density, self.begin, self.end, self.prunings, self.allocation)

    def prune(self, ctx: ScoreContext, density: float) -> Tensors:
        return self.gradual(density).masks(ctx.trained(density), density)
