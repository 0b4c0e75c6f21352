"""NPB: node-path balancing (Pham et al. 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pabench.plugins import Criterion, NonNegativeFloat, ScoreContext, Tensors, kept_count, layer_counts

from ._wiring import Applied, WiringError, passing


@dataclass(frozen=True, kw_only=True)
class Npb(Criterion):
    """Layer by layer, maximise alpha f_n + (1 - alpha) f_p + beta R: effective nodes, effective paths, open kernels.

    With m_ij weights kept in the kernel from input i to output j and P_i paths arriving at i: f_n counts the inputs
    with P_i > 0 that keep a weight and the outputs that one of those reaches, f_p is the sum of P_i m_ij, and R counts
    the kernels that keep none, negatively (section 4). f_n is divided by the layer's nodes, f_p by its maximum and R by
    the layer's kept weights, as in the authors' code. ERK says how many each layer keeps; alpha = 0.01, beta = 1.

    The programme is separable but for the outputs, whose number min(outputs, open live kernels) is concave, so taking
    the best weight again and again is optimal (`balanced`): no solver is needed. It leaves free which outputs share
    the kernels (in turn, from a random order) and which weights of a kernel stay (random, as in the code). Paths are
    counted with all weights 1, norms and activations passed over, pooling as it is. Not done, because the programme
    has none of it: solving large layers in chunks of outputs, limits per kernel that fall with depth, and the repair
    of weights on no path after the last layer.

    Reference: pvh1602/NPB at 090830c: the value of the best mask of single layers, by the solver HiGHS. Whole masks are
    not compared: many have that value.
    """

    name = "npb"
    paper = "https://openreview.net/forum?id=xdOoCWCYaY"
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0
    allocation: Literal["erk", "er", "uniform", "balanced"] = "erk"
    alpha: float = 0.01
    beta: NonNegativeFloat = 1.0

    def declines(self, ctx: ScoreContext) -> str:
        ones = {n: torch.ones_like(w) for n, w in ctx.weights.items()}
        try:
            with torch.no_grad(), passing(ones, lambda layer: layer.by(layer.weight)):
                paths, doubled = (ctx.logits(ones, k * ctx.ones()) for k in (1, 2))
        except WiringError as error:
            return f"its paths cannot be counted: {error}"
        if not paths.isfinite().all():
            return "its paths are more than a number can hold"
        if not torch.allclose(doubled, 2 * paths, rtol=1e-6):
            return "its paths cannot be counted: layers are tied by attention, gating or constants"
        return ""

    def prune(self, ctx: ScoreContext, density: float) -> Tensors:
        shapes: dict[str, Sequence[int]] = {n: tuple(w.shape) for n, w in ctx.weights.items()}
        sizes = {n: w.numel() for n, w in ctx.weights.items()}
        kept = layer_counts(self.allocation, shapes, sizes, kept_count(density, sum(sizes.values())))
        masks: Tensors = {}

        def solve(layer: Applied) -> Tensor:
            name = layer.name
            if name not in masks:
                x = layer.x.movedim(layer.axis, -1)
                paths = x.reshape(-1, x.shape[-1]).sum(0).double().cpu()
                order = ctx.generator(f"order {name}")
                counts = balanced(
                    paths, shapes[name], kept[name], groups=layer.groups, alpha=self.alpha, beta=self.beta, order=order
                )
                rank = ctx.noise[name].flatten(2).argsort(2).argsort(2) if layer.weight.dim() > 2 else 0
                counts = counts.to(layer.weight.device)
                mask = rank < counts.unsqueeze(2) if layer.weight.dim() > 2 else counts > 0
                masks[name] = mask.view(shapes[name])
            return layer.by(masks[name].to(layer.weight))

        with torch.no_grad(), passing(ctx.weights, solve):
            ctx.logits(ctx.weights, ctx.ones())
        return {n: masks[n] for n in ctx.weights}


def balanced(
    paths: Tensor,
    shape: Sequence[int],
    kept: int,
    *,
    alpha: float,
    beta: float,
    order: torch.Generator,
    groups: int = 1,
) -> Tensor:
    """How many of `kept` weights each kernel (out, in of a group) of a layer (out, in of a group, *kernel) holds.

    Within an input, a weight that opens a kernel gains at least what one in an open kernel does, so an input's r
    weights open min(r, outputs) kernels. The first gains alpha / nodes more where the input is live, and so do the
    first kernels of live inputs, one for each output, where they are spread over different outputs. What is left is
    to take the `kept` weights of the highest gain. Equal gains are shared out among the inputs.
    """
    outputs, inputs, kernel = shape[0] // groups, shape[1], torch.Size(shape[2:]).numel()
    paths = paths.clamp(min=0)
    live = paths > 0
    capacity = outputs * kernel
    fill = (kept - capacity * torch.arange(len(paths))).clamp(min=0, max=capacity)
    most = float((paths.sort(descending=True).values * fill).sum())
    node, path = alpha / (len(paths) + shape[0]), (1 - alpha) / most if most else 0.0
    gain = (path * paths).unsqueeze(1).repeat(1, capacity)
    gain[:, :outputs] += beta / kept if kept else 0.0
    gain[:, 0] += node * live
    gain = gain.view(groups, inputs, capacity)
    for group, alive in zip(gain, live.view(groups, inputs), strict=True):
        opening = torch.where(alive.unsqueeze(1), group[:, :outputs], -torch.inf)
        best = opening.flatten().sort(descending=True, stable=True).indices[:outputs]
        best = best[opening.flatten()[best].isfinite()]
        group[best // outputs, best % outputs] += node
    rows = torch.randperm(groups * inputs, generator=order)
    ranked = gain.view(-1, capacity)[rows].T.flatten()  # of equal gains, each input's first ones first
    taken = ranked.sort(descending=True, stable=True).indices[:kept] % len(rows)
    amount = torch.zeros(len(rows), dtype=torch.long)
    amount[rows] = torch.bincount(taken, minlength=len(rows))
    counts = torch.zeros(groups, outputs, inputs, dtype=torch.long)
    for group in range(groups):
        columns, turn = torch.randperm(outputs, generator=order), 0
        mine = torch.arange(group * inputs, (group + 1) * inputs)
        for i in mine[(~live[mine]).argsort(stable=True)].tolist():  # live inputs first: they reach the outputs
            n = int(amount[i])
            at = columns[(turn + torch.arange(outputs)) % outputs]
            counts[group, at, i % inputs] = n // outputs + (torch.arange(outputs) < n % outputs).long()
            turn += n % outputs
    return counts.view(shape[0], inputs)
