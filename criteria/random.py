"""Random pruning: the baseline every criterion must beat at the same layer densities."""

from dataclasses import dataclass
from typing import Literal

from pabench.plugins import ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class Random(ScoreCriterion):
    """Score each weight by independent uniform noise from the cell's seed.

    With `allocation: erk` this is the baseline of Liu et al. (2022, arXiv:2202.02643), with `er` that of Mocanu et al.

    Reference: the formula alone.
    """

    name = "random"
    paper = "arXiv:2202.02643"
    precision = "float32"
    exempt = {
        "finite differences": "the score is noise and predicts nothing",
        "removal": "the score is noise and predicts nothing",
    }
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: ctx.noise[n].to(w) for n, w in ctx.weights.items()}
