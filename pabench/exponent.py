"""Numbers beyond the range of their type: a network run with a power of two carried beside each tensor.

SynFlow's sum of outputs exceeds float32 on most deep networks, and float64 on some. Within `Carried`, a tensor x that
grew stands for x * 2^e. A power of two costs no digit, so results and gradients are those of the plain run divided by
one power of two, wherever the plain run is finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pabench.rewire import Operation, named

LIMIT = 32
"""Powers of two that a tensor's largest number may be away from 1 before they move into its exponent."""
HUGE = 60
"""The exponent from which on a bounded or slowly growing function is at its limit."""

PRODUCTS = {"mul", "multiply", "__mul__", "__rmul__", "__imul__", "matmul", "__matmul__", "mm", "bmm", "einsum"}
QUOTIENTS = {"div", "divide", "true_divide", "__truediv__", "__itruediv__"}
AFFINE = {"linear", "conv1d", "conv2d", "conv3d"}
SUMS = {"add", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "__rsub__", "__isub__"}
JOINED = {"cat", "concat", "stack"}
LINEAR_AT_INFINITY = {"gelu", "silu", "mish", "hardswish", "softplus", "elu", "celu"}
BOUNDED = {"sigmoid", "hardsigmoid", "tanh", "hardtanh", "relu6", "softmax"}
SCALE_FREE = {"layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"}
HOMOGENEOUS = {
    *["relu", "leaky_relu", "prelu", "abs", "neg", "__neg__", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"],
    *["adaptive_max_pool2d", "mean", "sum", "amax", "interpolate", "upsample", "pad", "dropout", "masked_fill"],
    *["reshape", "view", "view_as", "flatten", "unflatten", "permute", "transpose", "movedim", "swapaxes", "squeeze"],
    *["unsqueeze", "expand", "expand_as", "repeat", "repeat_interleave", "roll", "flip", "unfold", "fold"],
    *["pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "chunk", "split", "tensor_split", "unbind", "narrow"],
    *["select", "index_select", "gather", "__getitem__", "clone", "contiguous", "to", "type_as", "float", "double"],
    *["detach", "__get__", "clamp", "clamp_min"],
}


class Carried(TorchFunctionMode):
    """Within it, tensors that grow or shrink beyond 2^32 give powers of two to an exponent they carry.

    What an operation does to exponents is known for the linear and piecewise linear ones, for products, sums and the
    common activations; any other gets its arguments as plain numbers, which may overflow as they do without.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), named(func)
        carrying = any(_exponent(t) for t in _tensors([args, kwargs]))
        if name in PRODUCTS | QUOTIENTS:
            sign = -1 if name in QUOTIENTS else 1
            first, *others = [*_tensors([args, kwargs])] or [torch.empty(0)]
            e = _exponent(first) + sign * sum(map(_exponent, others))
            return _normal(func(*args, **kwargs), e)
        if name in AFFINE:
            return _affine(func, *args, **kwargs)
        if func is F.batch_norm and not kwargs.get("training", args[5] if len(args) > 5 else False):
            return _batch_norm(*args, **kwargs)
        if not carrying:
            return func(*args, **kwargs)
        if name in SUMS:
            return _sum(func, *args, **kwargs)
        if name in JOINED:
            e = max(map(_exponent, _tensors(args)))
            return _carry(func(_at(args[0], e), *args[1:], **kwargs), e)
        if name == "where" and len(args) == 3:
            e = max(map(_exponent, args[1:]))
            return _carry(func(args[0], *_at(args[1:], e)), e)
        if name in HOMOGENEOUS and _is_homogeneous(name, args, kwargs):
            return _carry(func(*args, **kwargs), _exponent(args[0]))
        x, *rest = args
        e = _exponent(x) if isinstance(x, Tensor) else 0
        if e > HUGE and name in BOUNDED:
            return func(x * 2.0**HUGE, *rest, **kwargs)
        if e > HUGE and name in SCALE_FREE:
            return func(x * 2.0 ** (LIMIT - _size(x)), *rest, **kwargs)
        if e > HUGE and name == "log1p":
            return torch.where(x > 0, x, 1).log().add(e * math.log(2)).clamp(min=0) * (x > 0)
        if e > HUGE and name in LINEAR_AT_INFINITY:
            return _carry(x.relu(), e)
        return _normal(func(*_at(args, 0), **{k: _at(v, 0) for k, v in kwargs.items()}), 0)


def _affine(func: Operation, x: Tensor, w: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
    """A convolution or linear layer; the bias is 2^e times smaller where the input is 2^e times larger."""
    e = _exponent(x) + _exponent(w)
    return _normal(func(x, w, None if bias is None else _shifted(bias, _exponent(bias) - e), *args, **kwargs), e)


def _batch_norm(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """With stored statistics: a scale, and a shift that is 2^e times smaller where the input is 2^e times larger."""
    e = _exponent(x)
    small = None if bias is None else _shifted(bias, -e)
    return _normal(F.batch_norm(x, _shifted(mean, -e), var, weight, small, False, momentum, eps), e)


def _sum(func: Operation, a: Any, b: Any, **kwargs: Any) -> Any:
    """Both at the larger exponent. The left one of an in-place sum is changed in place."""
    e = max(_exponent(t) if isinstance(t, Tensor) else 0 for t in (a, b))
    in_place = named(func) in ("__iadd__", "__isub__") or func.__name__ in ("add_", "sub_")
    left = a.mul_(2.0 ** (_exponent(a) - e)) if in_place and _exponent(a) != e else _at(a, e)
    return _normal(_carry(func(left, _at(b, e), **kwargs), e), e)


def _is_homogeneous(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether f(c x) = c f(x) for c > 0 with these arguments."""
    if name == "pad":
        return not (kwargs.get("value") or (args[3] if len(args) > 3 else 0))
    if name == "masked_fill":
        return kwargs.get("value", args[-1]) in (0, math.inf, -math.inf)
    if name in ("clamp", "clamp_min"):
        limits = [*args[1:], *kwargs.values()]
        return all(limit is None or limit == 0 for limit in limits if not isinstance(limit, Tensor))
    return isinstance(args[0], Tensor)


# --- Exponents --------------------------------------------------------------------------------------------------------


def _exponent(x: Any) -> int:
    return getattr(x, "_carried_exponent", 0)


def _carry(result: Any, e: int) -> Any:
    """The result, or each tensor of a tuple, marked with its exponent."""
    if isinstance(result, Tensor):
        result._carried_exponent = e  # type: ignore[attr-defined]
    elif isinstance(result, list | tuple) and not isinstance(result, torch.Size):
        for part in result:
            _carry(part, e)
    return result


def _normal(result: Any, e: int) -> Any:
    """Move what is beyond `LIMIT` into the exponent."""
    if not isinstance(result, Tensor) or not result.is_floating_point() or not result.numel():
        return _carry(result, e)
    k = _size(_carry(result, e))
    return _carry(result * 2.0**-k, e + k) if abs(k) > LIMIT else _carry(result, e)


def _size(x: Tensor) -> int:
    """The power of two next above the largest number."""
    largest = float(x.detach().abs().max())
    return math.frexp(largest)[1] if 0 < largest < math.inf else 0


def _shifted(x: Tensor, k: int) -> Tensor:
    """x * 2^k, infinite or 0 where that is beyond the type."""
    while abs(k) > 100:
        x, k = x * 2.0 ** math.copysign(100, k), k - int(math.copysign(100, k))
        if not x.detach().any():
            return x
    return x * 2.0**k if k else x


def _at(value: Any, e: int) -> Any:
    """Tensors, numbers and lists of them as they are beside an exponent e."""
    if isinstance(value, Tensor):
        return _shifted(value, _exponent(value) - e) if value.is_floating_point() else value
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(_at(v, e) for v in value)
    return math.ldexp(value, -e) if isinstance(value, float | int) and not isinstance(value, bool) and e else value


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (t for v in value.values() for t in _tensors(v))
    elif isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        yield from (t for v in value for t in _tensors(v))
