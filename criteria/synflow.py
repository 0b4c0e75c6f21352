"""SynFlow: iterative synaptic flow pruning (Tanaka et al. 2020)."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.func import grad

from pabench.criterion import PositiveInt, ScoreContext, ScoreCriterion
from pabench.selection import Tensors


@dataclass(frozen=True, kw_only=True)
class SynFlow(ScoreCriterion):
    """Score |w| * dR/d|w|, R the sum of the outputs for an all-ones input when every tensor is made positive.

    R = 1^T (prod |w|) 1 (eq. 3 and 4). Data-free. All parameters and buffers are taken by absolute value, BatchNorm
    uses its stored statistics, and the rest of the network is scored again after each of the 100 rounds (alg. 1).
    """

    name = "synflow"
    paper = "arXiv:2006.05467"
    laws = ("conservation",)
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0
    steps: PositiveInt = 100

    def positive(self, tensor: Tensor) -> Tensor:
        """What each tensor of the network is replaced by."""
        return tensor.abs()

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: s.abs() for n, s in self._saliency(ctx).items()}

    def doubts(self, ctx: ScoreContext) -> str:
        negative = [int((s < 0).sum()) for s in self._saliency(ctx).values()]
        if not any(negative):
            return ""
        total = sum(w.numel() for w in ctx.weights.values())
        share = f"{100 * sum(negative) / total:.1f} % of the products |w| * dR/d|w| are negative"
        return f"{share}: a normalisation or an activation takes the network's positivity, and R conserves no flow"

    def _saliency(self, ctx: ScoreContext) -> Tensors:
        w = {n: self.positive(v) for n, v in ctx.kept.items()}
        rest = {n: self.positive(v) if v.is_floating_point() else v for n, v in ctx.rest.items()}

        def flow(weights: Tensors) -> Tensor:
            return ctx.call({**rest, **weights}, ctx.ones()).sum()

        g = grad(flow)(w)
        return {n: w[n] * g[n] for n in w}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """R itself."""
        tensors = {**ctx.rest, **ctx.kept}
        return ctx.call({n: t.abs() if t.is_floating_point() else t for n, t in tensors.items()}, ctx.ones()).sum()
