"""SynFlow-L2: synaptic flow of squared weights (Gebhart et al. 2021)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pabench.plugins import Flow, ScoreContext, Tensors

from .synflow import SynFlow


@dataclass(frozen=True, kw_only=True)
class SynFlowL2(SynFlow):
    """Score w^2 * dR/dw^2, R the sum of the outputs for an all-ones input when every tensor is squared.

    SynFlow on the squares, the trace of the path kernel (Gebhart et al. 2021, arXiv:2101.10552; Patil & Dovrolis 2021,
    arXiv:2010.11354; neither text could be seen, so no equation is cited). Data-free, 100 rounds. Public code
    (iurada/px-ntk-pruning, lib/pruners.py) multiplies dR/dw^2 by |w| and not by its square: `@px`.

    Reference: iurada/px-ntk-pruning at ed6c40e (`@px`), one round: scores and masks. The default: the formula alone.
    """

    name = "synflow_l2"
    paper = "arXiv:2101.10552"
    variants = {"px": {"power": 1}}
    power: Literal[1, 2] = 2
    """The power of |w| that dR/dw^2 is multiplied by."""

    def positive(self, tensor: Tensor) -> Tensor:
        return tensor.square()

    def score(self, ctx: ScoreContext) -> Tensors:
        scores, kept = super().score(ctx), ctx.kept
        if self.power == 2:
            return scores
        return {n: torch.where(w == 0, 0, scores[n] / w.abs()) for n, w in kept.items()}

    def flow(self, ctx: ScoreContext) -> Flow | None:
        return super().flow(ctx) if self.power == 2 else None

    @property
    def laws(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("conservation",) if self.power == 2 else ()

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        """R is a function of (m w)^2, so its slope along m is 2 w^2 dR/dw^2."""
        return slope.abs() / 2 if self.power == 2 else (slope / weight).abs() / 2
