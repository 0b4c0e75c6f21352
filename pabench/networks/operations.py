"""What the operations of torch do to numbers, by name: the one table for all that follow a network through them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

Operation = Callable[..., Any]


@cache
def named(function: Operation) -> str:
    """The name by which a torch function is looked up: `relu_` is `relu`, `__rsub__` is `rsub`.

    `float(x)` is no cast of a tensor, as `x.float()` is, and keeps its own name.
    """
    name: str = getattr(function, "__name__", "")
    return name if name == "__float__" else name.strip("_")


MOVES = frozenset(
    {
        *("get", "to", "float", "double", "type", "type_as", "contiguous", "clone", "detach", "flatten", "unflatten"),
        *("reshape", "reshape_as", "view", "view_as", "permute", "transpose", "t", "swapaxes", "swapdims", "movedim"),
        *("moveaxis", "adjoint", "expand", "expand_as", "broadcast_to", "squeeze", "unsqueeze", "unbind", "split"),
        *("split_with_sizes", "tensor_split", "chunk", "getitem", "select", "narrow", "index_select", "gather", "roll"),
        *("flip", "rot90", "repeat", "repeat_interleave", "tile", "unfold", "pixel_shuffle", "pixel_unshuffle"),
        *("channel_shuffle", "native_channel_shuffle"),
    }
)
"""Numbers go elsewhere, none changes."""
AVERAGES = frozenset(
    {
        *("mean", "sum", "fold", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
        *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    }
)
"""Sums with equal weights."""
LAYERS = frozenset({"linear", "conv1d", "conv2d", "conv3d"})
"""What multiplies by a matrix of weights."""
SUMS = frozenset({"add", "sub", "rsub"})
PRODUCTS = frozenset({"mul", "multiply"})
MATRIX_PRODUCTS = frozenset({"matmul", "mm", "bmm"})
QUOTIENTS = frozenset({"div", "divide", "true_divide"})
JOINS = frozenset({"cat", "concat", "stack", "hstack", "vstack"})
NORMS = frozenset({"layer_norm", "group_norm", "instance_norm", "rms_norm"})
"""Normalisations by what they are given. BatchNorm is not among them: with stored statistics it is a scale."""
RECTIFIERS = frozenset({"relu", "leaky_relu", "prelu"})
"""Activations with f(c x) = c f(x) for c > 0."""
RISING = frozenset({"gelu", "silu", "mish", "hardswish", "softplus", "elu", "celu"})
"""Activations that far above 0 are the identity, and bounded below it."""
SATURATING = frozenset({"relu6", "hardtanh", "sigmoid", "hardsigmoid", "tanh"})
"""Activations with an upper limit, which they reach or come close to."""
