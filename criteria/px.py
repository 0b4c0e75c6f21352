"""PX: path exclusion (Iurada et al. 2024)."""

from collections.abc import Callable
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

    This is the authors' computation, with the derivative entering once. `px@official` squares it, w^2 (dR/dw^2)^2
    summed over batches, as their code does.
    """

    name = "px"
    paper = "arXiv:2406.01820"
    variants = {"official": {"squared": True}}
    bn: Literal["eval"] = "eval"
    examples_per_class: PositiveInt = 10
    steps: PositiveInt = 100
    squared: bool = False

    def declines(self, ctx: ScoreContext) -> str:
        met: list[str] = []
        noted = {name: _noting(name, met) for name in UNDEFINED}
        with torch.no_grad(), Rewired(noted):
            ctx.logits(ctx.kept, ctx.batches[0][0][:1])
        return f"paths are gated by ReLUs, and the network applies {met[0]}" if met else ""

    def score(self, ctx: ScoreContext) -> Tensors:
        total = {n: torch.zeros_like(w) for n, w in ctx.weights.items()}
        v = {n: w.square() for n, w in ctx.kept.items()}
        for x, _ in ctx.batches:
            j = open_paths(ctx, x).sum(0)
            g = grad(lambda v, j=j, x=x: (j * path_products(ctx, v, x[:1])).sum())(v)
            total = {n: total[n] + (g[n].square() if self.squared else g[n]) for n in total}
        return {n: v[n] * total[n] for n in total}

    def quantity(self, ctx: ScoreContext) -> Tensor:
        """R of each batch, where J stays that of the whole mask."""
        whole = replace(ctx, mask={n: m.round() for n, m in ctx.mask.items()})
        v = {n: w.square() for n, w in ctx.kept.items()}
        return torch.stack([(open_paths(whole, x).sum(0) * path_products(ctx, v, x[:1])).sum() for x, _ in ctx.batches])

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        """dR/dm = 2 w^2 dR/dw^2 where m = 1."""
        return (slope / (2 * weight)).square().sum() if self.squared else slope.sum() / 2


def open_paths(ctx: ScoreContext, x: Tensor) -> Tensor:
    """J (N, K): x^2 summed over the paths of kept weights to each output whose every gate image x opens."""
    gates: list[Tensor] = []

    def record(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        gates.append(input > 0)
        return F.relu(input)

    def replay(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return input * gates.pop(0)

    with torch.no_grad(), Rewired({"relu": record}):
        ctx.logits(ctx.kept, x)
    with torch.no_grad(), Rewired({"relu": replay, "batch_norm": _same, **_BIASLESS}):
        return ctx.logits(ctx.mask, x.square())


def path_products(ctx: ScoreContext, v: Tensors, like: Tensor) -> Tensor:
    """V (1, K): the products of the squared weights `v`, summed over all paths to each output."""
    with Rewired({"relu": _same, "batch_norm": _squared_scale, **_BIASLESS}):
        return ctx.logits(v, torch.ones_like(like))


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


def _biasless(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def without(input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, weight, None, *args, **kwargs)

    return without


_BIASLESS = {name: _biasless(getattr(F, name)) for name in ("conv1d", "conv2d", "conv3d", "linear")}


def _noting(name: str, met: list[str]) -> Callable[..., Tensor]:
    function = getattr(F, name)

    def note(*args: Any, **kwargs: Any) -> Tensor:
        met.append(name)
        return function(*args, **kwargs)

    return note
