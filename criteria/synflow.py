"""SynFlow: iterative synaptic flow pruning (Tanaka et al. 2020)."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pabench.plugins import (
    UNCLAMPED,
    UNNORMALISED,
    Carried,
    Flow,
    PositiveInt,
    Rewired,
    ScoreContext,
    ScoreCriterion,
    Tensors,
    gradient,
)


@dataclass(frozen=True, kw_only=True)
class SynFlow(ScoreCriterion):
    """Score |w| * dR/d|w|, R the sum of the outputs for an all-ones input when every tensor is made positive.

    R = 1^T (prod |w|) 1 (eq. 3 and 4). Data-free. All parameters and buffers are taken by absolute value, BatchNorm
    uses its stored statistics, and the rest of the network is scored again after each of the 100 rounds (alg. 1).

    The paper's networks are ReLU, BatchNorm and few layers. The last three parameters change the network while it is
    scored where others break the flow: they are no part of the paper.

    Reference: ganguli-lab/Synaptic-Flow at 9dfa57a, 1 and 100 rounds: scores and masks.
    """

    name = "synflow"
    paper = "arXiv:2006.05467"
    laws = ("conservation",)
    remedies = ({"clamps": "off"}, {"norms": "scale"}, {"range": "unlimited"})
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0
    steps: PositiveInt = 100
    clamps: Literal["on", "off"] = "on"
    """off: ReLU6 has no upper limit, and gates (sigmoid, hard sigmoid) grow by the logarithm instead of saturating."""
    norms: Literal["full", "scale"] = "full"
    """scale: LayerNorm, GroupNorm and softmax neither centre nor divide, so that all numbers stay positive."""
    range: Literal["dtype", "unlimited"] = "dtype"
    """unlimited: powers of two are carried beside the tensors, and all scores share a factor; nothing overflows."""

    def positive(self, tensor: Tensor) -> Tensor:
        """What each tensor of the network is replaced by."""
        return tensor.abs()

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: s.abs() for n, s in self._saliency(ctx).items()}

    def flow(self, ctx: ScoreContext) -> Flow | None:
        return None if self._modes() else ctx.flow(self.positive)

    def doubts(self, ctx: ScoreContext) -> str:
        if self.flow(ctx):
            return ""
        negative = [int((s < 0).sum()) for s in self._saliency(ctx).values()]
        if not any(negative):
            return ""
        total = sum(w.numel() for w in ctx.weights.values())
        share = f"{100 * sum(negative) / total:.1f} % of the products |w| * dR/d|w| are negative"
        return f"{share}: a normalisation or an activation takes the network's positivity, and R conserves no flow"

    def _saliency(self, ctx: ScoreContext) -> Tensors:
        w = {n: self.positive(v) for n, v in ctx.kept.items()}
        g = gradient(lambda weights: self._flow(ctx, weights), w)
        return {n: w[n] * g[n] for n in w}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """R itself."""
        return self._flow(ctx, {n: self.positive(v) for n, v in ctx.kept.items()})

    def _flow(self, ctx: ScoreContext, weights: Tensors) -> Tensor:
        rest = {n: self.positive(v) if v.is_floating_point() else v for n, v in ctx.rest.items()}
        with ExitStack() as stack:
            for mode in self._modes():
                stack.enter_context(mode)
            return ctx.call({**rest, **weights}, ctx.ones()).sum()

    def _modes(self) -> list[Carried | Rewired]:
        """How the network is changed while it is scored, the outermost first."""
        table = {**(UNCLAMPED if self.clamps == "off" else {}), **(UNNORMALISED if self.norms == "scale" else {})}
        return [*([Carried()] if self.range == "unlimited" else []), *([Rewired(table)] if table else [])]
