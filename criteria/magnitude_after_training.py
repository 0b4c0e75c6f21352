"""Magnitude pruning after training, with weight rewinding (Han et al. 2015; Frankle et al. 2020; Renda et al. 2020)."""

from dataclasses import dataclass
from typing import Literal

from pabench.plugins import NonNegativeInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class MagnitudeAfterTraining(ScoreCriterion):
    """Score |w| of the trained weights, one shot: what pruning at initialization is measured against.

    The dense network is trained by the cell's recipe (Han et al., arXiv:1506.02626), its T epochs, pruned, and trained
    again from what it was after `rewind_epochs` = k epochs; 0: its initial weights (Frankle et al., arXiv:1912.05671;
    Renda et al., weight rewinding). Weights, momentum, learning-rate schedule and data order are all rewound to that
    epoch, and training goes on from there for T - k epochs, to the last one of the recipe. The whole takes 2T - k
    epochs; the receipt says them as `total_epochs`. The dense training is part of the scoring time.
    `learning_rate_rewinding` keeps the trained weights instead.

    Reference: the formula alone.
    """

    name = "magnitude_after_training"
    paper = "arXiv:2003.02389"
    precision = "float32"
    trains = True
    reference_line = "not at initialization: trains the dense network first"
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0
    batch_split: Literal["whole"] = "whole"
    steps: Literal[1] = 1
    rewind_epochs: NonNegativeInt = 0

    def dense_epochs(self) -> int:
        return self.rewind_epochs

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: w.abs() for n, w in ctx.trained().items()}
