"""Sums of positive networks beyond the range of float64: every activation carries a power of two of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pabench.reach import AVERAGES, PLAIN
from pabench.rewire import Operation, Rewired

LIMIT = 100
"""Values are kept between 2^-100 and 2^100: products of two of them stay far inside float64."""
LARGE = 2.0**100
"""From here on GELU, SiLU and their like are the identity."""


def log2_sum(output: Callable[[], Tensor]) -> float | None:
    """log2 of the sum of what `output` computes; None where that is 0, negative or still not finite.

    Exact up to rounding for convolutions, linear layers, BatchNorm with stored statistics, sums, products, ReLU,
    pooling; GELU, SiLU and their like count as the identity above 2^100, where float64 cannot tell them apart.
    """
    with _Scaled({}):
        y = output()
        total, exponent = float(y.sum()), _exponent(y)
    return math.log2(total) + exponent if 0 < total < math.inf else None


def _exponent(x: Any) -> int:
    """e where the value is x * 2^e."""
    return getattr(x, "_pabench_exponent", 0)


def _at(x: Tensor, exponent: int) -> Tensor:
    x._pabench_exponent = exponent  # type: ignore[attr-defined]
    return x


def _fitted(x: Tensor, exponent: int) -> Tensor:
    """The same value with its largest entry brought within the limits."""
    largest = float(x.abs().max())
    if largest == 0 or not math.isfinite(largest) or 2.0**-LIMIT < largest < 2.0**LIMIT:
        return _at(x, exponent)
    shift = math.frexp(largest)[1]
    return _at(x * 2.0**-shift, exponent + shift)


def _lowered(x: Any, exponent: int) -> Any:
    """A value as a multiple of 2^exponent; what is far below it becomes 0."""
    if x is None or not (shift := _exponent(x) - exponent):
        return x
    return x * math.ldexp(1.0, shift) if shift < 1000 else x * math.inf


def _biased(func: Operation, x: Tensor, weight: Tensor, bias: Any = None, *args: Any, **kwargs: Any) -> Tensor:
    e = _exponent(x) + _exponent(weight)  # a standardized weight is computed, and may have one too
    return _fitted(func(x, weight, _lowered(bias, e), *args, **kwargs), e)


def _batch_norm(
    func: Operation,
    x: Tensor,
    mean: Any,
    var: Any,
    weight: Any = None,
    bias: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """With stored statistics linear in x; without, as weight standardization has it, x may have any scale."""
    scale = 0 if mean is None else _exponent(x)
    e = scale + _exponent(weight)
    return _fitted(func(x, _lowered(mean, scale), var, weight, _lowered(bias, e), *args, **kwargs), e)


def _sum(func: Operation, a: Any, b: Any, **kwargs: Any) -> Tensor:
    e = max(_exponent(a), _exponent(b))
    return _fitted(func(_lowered(a, e), _lowered(b, e), **kwargs), e)


def _product(func: Operation, a: Any, b: Any, **kwargs: Any) -> Tensor:
    return _fitted(func(a, b, **kwargs), _exponent(a) + _exponent(b))


def _quotient(func: Operation, a: Any, b: Any, **kwargs: Any) -> Tensor:
    return _fitted(func(a, b, **kwargs), _exponent(a) - _exponent(b))


def _joined(func: Operation, tensors: Sequence[Tensor], *args: Any, **kwargs: Any) -> Tensor:
    e = max(map(_exponent, tensors))
    return _at(func([_lowered(x, e) for x in tensors], *args, **kwargs), e)


def _rising(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """An activation that is the identity for large values."""
    real = _lowered(x, 0)
    small = real < LARGE
    below = func(torch.where(small, real, torch.zeros_like(x)), *args, **kwargs)
    return _at(torch.where(small, below * math.ldexp(1.0, -_exponent(x)), x), _exponent(x))


def _invariant(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A normalisation by the statistics of what it is given."""
    return _at(func(x, *args, **kwargs), 0)


_HOMOGENEOUS = (
    PLAIN
    | AVERAGES
    | frozenset(
        [
            *("relu", "leaky_relu", "prelu", "dropout", "dropout2d", "max_pool1d", "max_pool2d", "adaptive_max_pool2d"),
            *("interpolate", "pad", "amax", "amin", "abs", "neg", "norm"),
        ]
    )
)
_RULES: dict[str, Operation] = {
    **{f"conv{d}d": _biased for d in (1, 2, 3)},
    "linear": _biased,
    "batch_norm": _batch_norm,
    **dict.fromkeys(("add", "sub"), _sum),
    **dict.fromkeys(("mul", "matmul", "bmm", "mm"), _product),
    "div": _quotient,
    **dict.fromkeys(("cat", "concat", "stack"), _joined),
    **dict.fromkeys(("gelu", "silu", "hardswish", "elu", "selu", "celu", "mish", "softplus"), _rising),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "rms_norm"), _invariant),
}


class _Scaled(Rewired):
    """Operations on values with an exponent; what has none runs as it is, save that it may get one."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        written = getattr(func, "__name__", "")
        name = written.strip("_")
        if name in _RULES:
            return _RULES[name](getattr(torch, name) if written == f"{name}_" else func, *args, **kwargs)
        exponent = next(filter(None, map(_exponent, args)), 0)
        if not exponent:
            return func(*args, **kwargs)
        if name not in _HOMOGENEOUS:
            return func(*(_lowered(v, 0) if isinstance(v, Tensor) else v for v in args), **kwargs)
        result = func(*args, **kwargs)
        for part in result if isinstance(result, list | tuple) else [result]:
            if isinstance(part, Tensor) and part.is_floating_point():
                _at(part, exponent)
        return result
