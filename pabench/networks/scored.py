"""Layers of many weights and few places whose backward pass writes down w * dR/dw: no gradient of theirs is kept.

Of one image their convolutions are narrow products of matrices. In float64, which oneDNN does not have, torch's own
take three times as long, most of it for gradients of the weights that are made, filled with zeros and added to.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pabench.networks.operations import Operation

MANY = 2**16
"""Fewer weights are left to torch's own backward pass, which takes no time of Python's."""
FEW = 64
"""With more places of a filter torch's convolutions are as fast."""
NARROW = 16
"""Up to so many columns a product with the transpose of the weights is faster if they are read as they lie."""


def scored(
    function: Operation, args: tuple[Any, ...], shape: torch.Size, w: Tensor, scores: Tensor
) -> Operation | None:
    """The layer `function(*args)`, which gives a tensor of this `shape`, writing what `w` scores into `scores`.

    None: it is not worth it. Then the gradient of `w` is what it is elsewhere.
    """
    if w.numel() < MANY or w.device.type != "cpu":
        return None
    if function is not torch.conv2d:
        return partial(_Linear.apply, scores)
    stride, padding, dilation, groups = args[3:]
    narrow = groups == shape[0] == 1 and shape[2:].numel() <= FEW
    return partial(_convolved, scores, (dilation, padding, stride)) if narrow else None


def _convolved(scores: Tensor, geometry: Any, x: Tensor, w: Tensor, bias: Tensor | None, *_: Any) -> Any:
    return _Convolved.apply(scores, x, w, bias, geometry)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.scores = scores
        return F.linear(x, w, bias)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w = ctx.saved_tensors
        torch.mm(g.reshape(-1, len(w)).T, x.reshape(-1, w.shape[1]), out=ctx.scores).mul_(w)
        return None, g @ w if ctx.needs_input_grad[1] else None, None, None


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, x: Tensor, w: Tensor, bias: Tensor | None, geometry: Any) -> Tensor:
        size = w.shape[2:]
        plain = size == (1, 1) and geometry == ((1, 1), (0, 0), (1, 1))
        columns = x[0].flatten(1) if plain else F.unfold(x, size, *geometry)[0]
        ctx.scores, ctx.geometry, ctx.shape, ctx.plain = scores, geometry, x.shape, plain
        ctx.save_for_backward(columns, w)
        matrix = w.flatten(1)
        y = matrix @ columns if bias is None else torch.addmm(bias[:, None], matrix, columns)
        sides = zip(x.shape[2:], size, *geometry, strict=True)
        return y.view(1, len(w), *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in sides))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        columns, w = ctx.saved_tensors
        matrix, g = w.flatten(1), g.reshape(len(w), -1)
        torch.mm(g, columns.T, out=ctx.scores.view_as(matrix)).mul_(matrix)
        if not ctx.needs_input_grad[1]:
            return None, None, None, None, None
        back = (g.T @ matrix).T if g.shape[1] <= NARROW else matrix.T @ g
        gx = back.reshape(ctx.shape) if ctx.plain else F.fold(back[None], ctx.shape[2:], w.shape[2:], *ctx.geometry)
        return None, gx, None, None, None
