"""FTS: Fisher-Taylor sensitivity (Gollini Navarrete et al. 2025)."""

from dataclasses import dataclass

from torch import Tensor

from pabench.plugins import ScoreContext, Tensors

from .fisher import Fisher


@dataclass(frozen=True, kw_only=True)
class Fts(Fisher):
    """Score |w g + w^2 F / 2|, g the gradient, F = mean over images of (dL_i/dw)^2 in place of the Hessian's diagonal.

    The first two terms of the loss's Taylor series along one weight. The text could not be seen: the formula is that of
    its code (Gollini/Scalable_Second_Order_PaI, `fd_taylor`, images one by one, logits as they are), in which both
    terms have the sign of growing a weight; removing it changes the loss by -w g + w^2 h / 2. With images one by one
    the code of the first version (Gollini/Fisher_Taylor_Sensitivity, F times the batch size) gives the same. Both prune
    neither the classifier nor any layer called "linear", "fc" or "bn".

    Reference: Gollini/Scalable_Second_Order_PaI at bfb50ad: scores and masks.
    """

    name = "fts"

    def score(self, ctx: ScoreContext) -> Tensors:
        w, second = ctx.kept, super().score(ctx)  # w^2 F
        g = ctx.gradient(w)
        return {n: (w[n] * g[n] + second[n] / 2).abs() for n in w}

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        """Each image's loss changes by w dL_i/dw."""
        return (slope.mean() + slope.square().mean() / 2).abs()
