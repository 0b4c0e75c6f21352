"""HTS: Hutchinson-Taylor sensitivity (Gollini Navarrete et al. 2025)."""

from dataclasses import dataclass

from pabench.plugins import ScoreContext, Tensors

from .hutchinson import Hutchinson


@dataclass(frozen=True, kw_only=True)
class Hts(Hutchinson):
    """Score |w g + w^2 h / 2|, g the gradient and h Hutchinson's estimate of the diagonal of the Hessian.

    The first two terms of the loss's Taylor series along one weight, the second as in `hutchinson`. The text could not
    be seen: the formula is that of its code (Gollini/Scalable_Second_Order_PaI, `hutchinson_taylor`), in which both
    terms have the sign of growing a weight; removing it changes the loss by -w g + w^2 h / 2. That code divides logits
    by T = 200 in both terms (`@official`), takes 10 probes for each image by itself, of the same expectation, and
    prunes neither the classifier nor any layer called "linear", "fc" or "bn". Of 10 probes much of the second term is
    noise of the estimate: on a network of 5,064 weights it had 0.65 of the first one's norm, of 1,000 probes 0.17.

    Reference: Gollini/Scalable_Second_Order_PaI at bfb50ad (`@official`), a batch at once on the signs that it drew:
    scores and masks. The default differs from it by its temperature.
    """

    name = "hts"

    def score(self, ctx: ScoreContext) -> Tensors:
        w, second = ctx.kept, super().score(ctx)  # w^2 h
        g = ctx.gradient(w, self.temperature)
        return {n: (w[n] * g[n] + second[n] / 2).abs() for n in w}
