"""Hutchinson pruning at initialization (Gollini Navarrete et al. 2025)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, vjp

from pabench.criterion import PositiveFloat, PositiveInt
from pabench.selection import Tensors

from .fisher import PerImage


@dataclass(frozen=True, kw_only=True)
class Hutchinson(PerImage):
    """Score w^2 h, h = mean of z * Hz over random signs z, an unbiased estimate of the diagonal of the Hessian; signed.

    "Hutchinson pruning" of the paper; its saliency is half of this, which changes no ranking. Where the loss curves
    downwards the score is negative, and such weights go first. The text could not be seen: the formula is that of its
    code (Gollini/Scalable_Second_Order_PaI, `hutch_pruning`), which draws `probes` = 10 vectors for each image by
    itself and divides logits by T = 200 (`@official`); a Hessian has no temperature, so the default is 1. That code
    prunes neither the classifier nor any layer called "linear", "fc" or "bn".
    """

    name = "hutchinson"
    paper = "arXiv:2502.11450"
    variants = {"official": {"temperature": 200.0}}
    probes: PositiveInt = 10
    temperature: PositiveFloat = 1.0

    def draws(self) -> int:
        return self.probes

    def diagonal(self, loss: Callable[..., Tensor], weights: Tensors, drawn: Tensors) -> Tensors:
        _, pullback = vjp(grad(lambda v: loss(v, self.temperature)), weights)
        total = {n: torch.zeros_like(w) for n, w in weights.items()}
        for probe in range(self.probes):
            z = {n: signs[probe] for n, signs in drawn.items()}
            (hz,) = pullback(z)
            total = {n: t + z[n] * hz[n] / self.probes for n, t in total.items()}
        return total
