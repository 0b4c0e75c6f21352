"""Fisher pruning at initialization (Gollini Navarrete et al. 2025)."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional as F

from pabench.criterion import PositiveInt, ScoreContext, ScoreCriterion
from pabench.selection import Tensors

ELEMENTS = 2**24
"""Numbers that a tensor with a row per image may hold: 128 MiB in float64. More images are taken in several goes."""


@dataclass(frozen=True, kw_only=True)
class PerImage(ScoreCriterion):
    """Score w^2 h, h the mean over images of a diagonal that each image has by itself.

    BatchNorm uses its stored statistics: with those of a batch the loss of an image depends on the other images, and
    no image has a gradient of its own. Of several batches the means are added up, as their losses are.
    """

    bn: Literal["eval"] = "eval"
    examples_per_class: PositiveInt = 10

    @abstractmethod
    def diagonal(self, loss: Callable[..., Tensor], weights: Tensors, drawn: Tensors) -> Tensors:
        """The diagonal of one image, by its loss as a function of weights and temperature.

        `drawn` are random signs for the image, (draws, *shape) by name.
        """

    def draws(self) -> int:
        """How many random signs per image and weight."""
        return 0

    def score(self, ctx: ScoreContext) -> Tensors:
        w, generator, draws = ctx.kept, ctx.generator("signs"), self.draws()
        size = max(1, ELEMENTS // (sum(v.numel() for v in w.values()) * max(1, draws)))

        def signs() -> Tensors:
            bits = {n: torch.randint(0, 2, (draws, *v.shape), generator=generator) for n, v in w.items()}
            return {n: (2 * b - 1).to(w[n]) for n, b in bits.items()}

        def one(x: Tensor, y: Tensor, drawn: Tensors) -> Tensors:
            def loss(v: Tensors, temperature: float = 1.0) -> Tensor:
                return F.cross_entropy(ctx.logits(v, x[None]) / temperature, y[None])

            return self.diagonal(loss, w, drawn)

        total = {n: torch.zeros_like(v) for n, v in w.items()}
        for x, y in ctx.batches:
            for images, labels in zip(x.split(size), y.split(size), strict=True):
                drawn = [signs() for _ in labels]
                found = _each(one, images, labels, {n: torch.stack([d[n] for d in drawn]) for n in w})
                total = {n: t + found[n].sum(0) / len(y) for n, t in total.items()}
        return {n: w[n].square() * total[n] for n in w}


@dataclass(frozen=True, kw_only=True)
class Fisher(PerImage):
    """Score w^2 F, F = mean over images of (dL_i/dw)^2, the diagonal of the empirical Fisher information.

    "Fisher pruning" of the paper; its saliency is half of this, which changes no ranking. The text could not be seen:
    the formula is that of its code (Gollini/Scalable_Second_Order_PaI, `fisher_pruner`, images one by one, BatchNorm in
    eval mode), which however prunes neither the classifier nor any layer called "linear", "fc" or "bn".
    """

    name = "fisher"
    paper = "arXiv:2502.11450"

    def diagonal(self, loss: Callable[..., Tensor], weights: Tensors, drawn: Tensors) -> Tensors:
        return {n: g.square() for n, g in grad(loss)(weights).items()}


def _each(function: Callable[[Tensor, Tensor, Tensors], Tensors], x: Tensor, y: Tensor, drawn: Tensors) -> Tensors:
    """Results for single images, stacked; one after another where a network cannot be vectorised."""
    try:
        return vmap(function)(x, y, drawn)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        found = [function(x[i], y[i], {n: d[i] for n, d in drawn.items()}) for i in range(len(y))]
        return {n: torch.stack([f[n] for f in found]) for n in found[0]}
