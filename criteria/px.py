"""PX: path exclusion (Iurada et al. 2024)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from pabench.plugins import PositiveInt, Rewired, ScoreContext, ScoreCriterion, Tensors

UNDEFINED = (
    *("gelu", "silu", "mish", "elu", "selu", "celu", "prelu", "leaky_relu", "hardtanh", "relu6", "hardswish"),
    *("hardsigmoid", "sigmoid", "tanh", "softplus", "softmax", "scaled_dot_product_attention"),
    *("layer_norm", "group_norm", "instance_norm", "rms_norm"),
)
"""Operations that are neither linear nor open or shut gates."""


@dataclass(frozen=True, kw_only=True)
class Px(ScoreCriterion):
    """Score w^2 * dR/dw^2, R = sum over images x and outputs k of J_k(x) V_k, a bound on the tangent kernel's trace.

    V_k adds up, over all paths to output k, the product of the squared weights: what the kernel owes to weights and
    architecture (the path kernel), computed as the network's output for ones with squared weights and no activations.
    J_k(x) adds up x^2 over the paths that image x keeps open: the output for x^2 with all kept weights 1 and each
    activation replaced by its gate, 1 where the real network's input to it is positive. Biases belong to no path.
    BatchNorm counts in V with its squared scale and not in J; pooling stays as it is. 100 exponential rounds.

    The authors' code (iurada/px-ntk-pruning) changed with almost every commit. Of January 2025 (0d01d27, dfa79f9):
    `@official` squares the derivative, w^2 (dR/dw^2)^2 summed over batches; biases and BatchNorm's shift, 0 at
    initialization, enter V there. Of today (ed6c40e): `@official-ed6c40e` takes |w^2 dR/dw^2| of other networks
    (`surrogates: batch`), whose masks are other masks. There BatchNorm takes the statistics of V's own pass, and where
    pooling averages its output nothing of the convolutions is left in V: they are ranked by rounding errors.

    Reference: iurada/px-ntk-pruning at dfa79f9 (`@official`, where biases are 0 and BatchNorm as initialised) and
    iurada/px-ntk-pruning at ed6c40e (`@official-ed6c40e`), one round: scores and masks. The default: the formula alone.
    """

    name = "px"
    paper = "arXiv:2406.01820"
    variants = {"official": {"squared": True}, "official-ed6c40e": {"surrogates": "batch"}}
    bn: Literal["eval"] = "eval"
    examples_per_class: PositiveInt = 10
    steps: PositiveInt = 100
    squared: bool = False
    surrogates: Literal["paths", "batch"] = "paths"
    """batch: BatchNorm keeps its scale and shift and takes the statistics of its input in J and V, linear layers keep
    their weights and biases in both, and the biases of convolutions are 1 in J and squared in V."""

    def declines(self, ctx: ScoreContext) -> str:
        met: list[str] = []
        noted = {name: _noting(name, met) for name in UNDEFINED}
        with torch.no_grad(), Rewired(noted):
            ctx.logits(ctx.kept, next(ctx.parts()).batches[0][0][:1])
        return f"paths are gated by ReLUs, and the network applies {met[0]}" if met else ""

    def doubts(self, ctx: ScoreContext) -> str:
        """Whether V has the same outputs when the weights of every convolution change places within it."""
        v = _surrogate_weights(ctx)
        if self.surrogates == "paths" or all(w.dim() == 2 for w in v.values()):
            return ""
        moved = {n: w.flatten().flip(0).view_as(w) if w.dim() > 2 else w for n, w in v.items()}
        with torch.no_grad():
            here, there = (_batch_products(ctx, weights, ctx.batches[0][0]) for weights in (v, moved))
        # float32 scoring leaves 1e-6 to 1e-5 of rounding here, other weights change V by its own size
        same = torch.allclose(here, there, rtol=1e-4, atol=1e-4 * float(here.abs().max()))
        why = "the mean that pooling takes of a BatchNorm's output is its shift, so V depends on no convolution"
        return f"{why}: their scores are rounding errors" if same else ""

    def score(self, ctx: ScoreContext) -> Tensors:
        if self.surrogates == "batch":
            return _of_batch(ctx)
        total = {n: torch.zeros_like(w) for n, w in ctx.weights.items()}
        v = {n: w.square() for n, w in ctx.kept.items()}
        for alone in ctx.singly():
            opened = []
            for part in alone.parts():
                ((x, _),) = part.batches
                opened.append(open_paths(ctx, x).sum(0))
            j = torch.stack(opened).sum(0)
            g = grad(lambda v, j=j, x=x: (j * path_products(ctx, v, x[:1])).sum())(v)
            total = {n: total[n] + (g[n].square() if self.squared else g[n]) for n in total}
        return {n: v[n] * total[n] for n in total}

    @property
    def exempt(self) -> dict[str, str]:  # type: ignore[override]
        reason = "where pooling averages a BatchNorm's output, its scores of convolutions are rounding errors"
        return {"batch order": reason, "channels": reason} if self.surrogates == "batch" else {}

    def quantity(self, ctx: ScoreContext) -> Tensor | None:
        """R of each batch, where J stays that of the whole mask; nothing where w^2 is no factor of the path."""
        if self.surrogates == "batch":
            return None
        whole = replace(ctx, mask={n: m.round() for n, m in ctx.mask.items()})
        v = {n: w.square() for n, w in ctx.kept.items()}
        return torch.stack([(open_paths(whole, x).sum(0) * path_products(ctx, v, x[:1])).sum() for x, _ in ctx.batches])

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        """dR/dm = 2 w^2 dR/dw^2 where m = 1."""
        return (slope / (2 * weight)).square().sum() if self.squared else slope.sum() / 2


def open_paths(ctx: ScoreContext, x: Tensor) -> Tensor:
    """J (N, K): x^2 summed over the paths of kept weights to each output whose every gate image x opens."""
    return _gated(ctx, ctx.mask, x, {"batch_norm": _same, **_BIASLESS})


def path_products(ctx: ScoreContext, v: Tensors, like: Tensor) -> Tensor:
    """V (1, K): the products of the squared weights `v`, summed over all paths to each output."""
    with Rewired({"relu": _same, "batch_norm": _squared_scale, **_BIASLESS}):
        return ctx.logits(v, torch.ones_like(like))


def _of_batch(ctx: ScoreContext) -> Tensors:
    """The score of `surrogates: batch`; J of a convolution is its mask, and linear layers are what they are."""
    j_weights = {n: w if w.dim() == 2 else ctx.mask[n] for n, w in ctx.kept.items()}
    v = _surrogate_weights(ctx)
    total = {n: torch.zeros_like(w) for n, w in ctx.weights.items()}
    for x, _ in ctx.batches:
        j = _gated(ctx, j_weights, x, {"batch_norm": _on_batch, **_ONES}).sum(0)
        g = grad(lambda v, j=j, x=x: (j * _batch_products(ctx, v, x)).sum())(v)
        total = {n: total[n] + g[n] for n in total}
    return {n: w.square() * total[n].abs() for n, w in ctx.kept.items()}


def _surrogate_weights(ctx: ScoreContext) -> Tensors:
    """What V is made of under `surrogates: batch`: the squares of convolutions, linear layers as they are."""
    return {n: w if w.dim() == 2 else w.square() for n, w in ctx.kept.items()}


def _batch_products(ctx: ScoreContext, v: Tensors, like: Tensor) -> Tensor:
    """V (K) under `surrogates: batch`."""
    # two equal rows: BatchNorm refuses the statistics of a single value
    ones = torch.ones_like(like[:1]).repeat(2, *[1] * (like.dim() - 1))
    with Rewired({"relu": _same, "batch_norm": _on_batch, **_SQUARES}):
        return ctx.logits(v, ones)[0]


def _gated(ctx: ScoreContext, weights: Tensors, x: Tensor, table: Mapping[str, Callable[..., Tensor]]) -> Tensor:
    """Outputs for x^2 of the network with these weights and operations, each ReLU a gate as image x leaves it."""
    gates: list[Tensor] = []

    def record(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        gates.append(input > 0)
        return F.relu(input)

    def replay(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return input * gates.pop(0)

    with torch.no_grad(), Rewired({"relu": record}):
        ctx.logits(ctx.kept, x)
    with torch.no_grad(), Rewired({"relu": replay, **table}):
        return ctx.logits(weights, x.square())


def _same(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return input


def _squared_scale(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """BatchNorm of stored statistics as the factor of a squared path; one without any has none."""
    scale = torch.ones_like(input[0].flatten(1)[:, 0]) if running_var is None else 1 / (running_var + eps)
    scale = scale if weight is None else scale * weight.square()
    return input * scale.view(1, -1, *[1] * (input.dim() - 2))


def _on_batch(
    input: Tensor, mean: Tensor | None, var: Tensor | None, weight: Any = None, bias: Any = None, *args: Any, **kw: Any
) -> Tensor:
    """BatchNorm of the statistics of its input."""
    return F.batch_norm(input, None, None, weight, bias, True, 0.0, kw.get("eps", args[2] if len(args) > 2 else 1e-5))


def _biased(name: str, change: Callable[[Tensor], Tensor | None]) -> Callable[..., Tensor]:
    """The operation with another bias, where it has one."""
    function = getattr(F, name)

    def changed(input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, weight, None if bias is None else change(bias), *args, **kwargs)

    return changed


_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_BIASLESS = {name: _biased(name, lambda bias: None) for name in (*_CONVOLUTIONS, "linear")}
_ONES = {name: _biased(name, torch.ones_like) for name in _CONVOLUTIONS}
_SQUARES = {name: _biased(name, torch.square) for name in _CONVOLUTIONS}


def _noting(name: str, met: list[str]) -> Callable[..., Tensor]:
    function = getattr(F, name)

    def note(*args: Any, **kwargs: Any) -> Tensor:
        met.append(name)
        return function(*args, **kwargs)

    return note
