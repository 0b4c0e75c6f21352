"""Running a network with some of its operations replaced: relu by identity, BatchNorm by its scale, and the like.

`UNCLAMPED` and `UNNORMALISED` are tables that take away what breaks a flow of positive numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_unary

from pabench.networks.operations import Operation, named

CASTS = ("to", "float", "half", "bfloat16", "cfloat", "type", "type_as")
"""Methods of a tensor that change its type."""


class Rewired(TorchFunctionMode):
    """Within it, every torch operation of a name in `table` is computed by the function given for it.

    Names are those of the functions that end up being called: `relu`, `hardtanh` (ReLU6 as well), `gelu`, `silu`,
    `hardswish`, `hardsigmoid`, `sigmoid`, `softmax`, `batch_norm`, `layer_norm`, `group_norm`, `conv2d`, `linear`,
    `matmul`, `mul`, `scaled_dot_product_attention`, whether a network calls them as modules, functions or methods
    (an in-place method `relu_` goes by `relu`). A replacement gets the arguments of the call; operations inside it are
    not replaced again. It works under autograd and under torch.func, and leaves the network as it is.

    >>> import torch
    >>> with Rewired({"relu": lambda x, inplace=False: x}):
    ...     torch.nn.ReLU()(torch.tensor([-1.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, table: Mapping[str, Operation]) -> None:
        super().__init__()
        self.table = dict(table)

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return (self.table.get(named(func)) or func)(*args, **(kwargs or {}))


def hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """The same function by operations that have a second derivative; PyTorch's own kernel has none.

    Within a `Rewired` of that name it is replaced like PyTorch's.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(hardsigmoid, (x,), x, inplace=inplace)
    return F.relu6(x + 3) / 6


def in_precision(dtype: torch.dtype) -> Mapping[str, Operation]:
    """Casts to a narrower type give `dtype` instead: a network that casts in `forward` is scored in one precision."""

    def instead(cast: Operation) -> Operation:
        def replaced(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            out = cast(x, *args, **kwargs)
            wanted = dtype_like(out, dtype) if isinstance(out, Tensor) else None
            return x.to(device=out.device, dtype=wanted) if wanted and out.element_size() < wanted.itemsize else out

        return replaced

    return {name: instead(getattr(Tensor, name)) for name in CASTS}


def dtype_like(tensor: Tensor, dtype: torch.dtype) -> torch.dtype:
    """`dtype` for real numbers, the complex type of its precision for complex ones, the tensor's own for others."""
    if tensor.is_complex():
        return dtype.to_complex()
    return dtype if tensor.is_floating_point() else tensor.dtype


# --- Without upper limits ---------------------------------------------------------------------------------------------


def _positive(x: Tensor) -> Tensor:
    """ReLU with the slope 1 at 0."""
    return torch.where(x >= 0, x, 0)


def _gate(at_zero: Operation, slope: float) -> Operation:
    """A saturating function that above 0 goes on by the logarithm, from the value and with the slope it has at 0.

    The logarithm never is flat, and grows too slowly to change the order of magnitude of what a gate multiplies.
    """
    return lambda x, inplace=False: at_zero(-(-x).relu()) + torch.log1p(2 * slope * _positive(x)) / 2


UNCLAMPED: Mapping[str, Operation] = {
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0, inplace=False: x.clamp(min=min_val),
    "relu6": lambda x, inplace=False: x.relu(),
    **dict.fromkeys(("clamp", "clip"), lambda x, min=None, max=None: x if min is None else x.clamp(min=min)),
    "sigmoid": _gate(torch.sigmoid, 1 / 4),
    "hardsigmoid": _gate(lambda x: (x + 3).relu() / 6, 1 / 6),
    "tanh": _gate(torch.tanh, 1.0),
}
"""ReLU6 and other clamps without their upper limit; gates that would saturate (sigmoid, hard sigmoid, tanh) go on by
the logarithm. Everything stays as it is for negative numbers."""


# --- Without normalisation --------------------------------------------------------------------------------------------


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int]) -> Tensor:
    x = x if weight is None else x * weight.view(*shape)
    return x if bias is None else x + bias.view(*shape)


def _by_channel(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    return _scaled(x, weight, bias, (-1, *[1] * (x.ndim - 2)))


def _softmax(x: Tensor, dim: int = -1, *_: Any, **__: Any) -> Tensor:
    return (torch.exp(-(-x).relu()) + torch.log1p(_positive(x))) / x.shape[dim]


def _attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, *_: Any, scale: float | None = None, **__: Any
) -> Tensor:
    x = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None:
        x = x.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else x + attn_mask
    return _softmax(x) @ v


UNNORMALISED: Mapping[str, Operation] = {
    "layer_norm": lambda x, normalized_shape, weight=None, bias=None, eps=0: _scaled(x, weight, bias, normalized_shape),
    "rms_norm": lambda x, normalized_shape, weight=None, eps=None: _scaled(x, weight, None, normalized_shape),
    "group_norm": lambda x, num_groups, weight=None, bias=None, eps=1e-5: _by_channel(x, weight, bias),
    "instance_norm": lambda x, mean=None, var=None, weight=None, bias=None, *_, **__: _by_channel(x, weight, bias),
    "normalize": lambda x, *_, **__: x,
    "softmax": _softmax,
    "scaled_dot_product_attention": _attention,
}
"""Normalisations by what the input is, reduced to their scale and shift. A softmax over n keeps its value 1/n and slope
1/n at 0, loses the division by the sum, and above 0 goes on by the logarithm: it is positive and grows with its input.
BatchNorm is not among them: with stored statistics it is a scale already."""
