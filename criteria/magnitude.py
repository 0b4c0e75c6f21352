"""Magnitude pruning at initialization (Frankle et al. 2021)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pabench.plugins import ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class Magnitude(ScoreCriterion):
    """Score |w|: at initialization, mostly the fan-in that each layer's initialization divides by.

    Reference: ganguli-lab/Synaptic-Flow at 9dfa57a: scores and masks.
    """

    name = "magnitude"
    paper = "arXiv:2009.08576"
    precision = "float32"
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: w.abs() for n, w in ctx.kept.items()}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """The L1 norm of the kept weights."""
        return torch.stack([w.abs().sum() for w in ctx.kept.values()]).sum()
