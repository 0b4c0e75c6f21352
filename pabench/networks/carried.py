"""Numbers beyond the range of their type: a network run with a power of two carried beside each tensor.

SynFlow's sum of outputs exceeds float32 on most deep networks, and float64 on some. Within `Carried`, a tensor x that
grew stands for x * 2^e. A power of two costs no digit, so results and gradients are those of the plain run divided by
one power of two, wherever the plain run is finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from pabench.networks import operations as ops
from pabench.networks.operations import Operation, named

LIMIT = 32
"""Powers of two that a tensor's largest number may be away from 1 before they move into its exponent: in float32, which
ends at 2^127, a product of two such tensors still has room for a layer's sum."""
NOTHING = 2.0**-100
"""Beside numbers of about 1 a divisor below this is what is left of an epsilon; its inverse nears float32's end."""
FAR = 100
"""The exponent from which on what is added to zeros nears the end of float32, 2^-126; up to it, all bits are held."""
HUGE = 60
"""The exponent from which on a bounded or slowly growing function is at its limit: float64 has 53 digits."""


def log2_sum(output: Callable[[], Tensor]) -> float | None:
    """log2 of the sum of what `output` computes, however large; None where that is 0, negative or not finite."""
    with Carried():
        total = output().sum()
    value = float(total.detach())
    return math.log2(value) + _exponent(total) if 0 < value < math.inf else None


class Carried(TorchFunctionMode):
    """Within it, tensors that grow or shrink beyond 2^32 give powers of two to an exponent they carry.

    What an operation does to exponents is known for the linear and piecewise linear ones, for products, sums and the
    common activations; any other gets its arguments as plain numbers, which may overflow as they do without.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), named(func)
        if name in GROWING or any(_exponent(t) for t in _tensors([args, kwargs])):
            return RULES.get(name, _as_numbers)(func, *args, **kwargs)
        return func(*args, **kwargs)


# --- What operations do to exponents ----------------------------------------------------------------------------------


def _as_numbers(func: Operation, *args: Any, **kwargs: Any) -> Any:
    return _normal(func(*_at(args, 0), **{k: _at(v, 0) for k, v in kwargs.items()}), 0)


def _same(func: Operation, x: Any, *args: Any, **kwargs: Any) -> Any:
    """f(c x) = c f(x) for c > 0."""
    return _carry(func(x, *args, **kwargs), _exponent(x))


def _product(func: Operation, *args: Any, **kwargs: Any) -> Any:
    return _normal(func(*args, **kwargs), sum(map(_exponent, _tensors([args, kwargs]))))


def _quotient(func: Operation, a: Any, b: Any, **kwargs: Any) -> Any:
    """0 where 0 is divided by next to nothing: a norm's epsilon beside numbers of 2^200 is below the type's range."""
    e = _exponent(a) - _exponent(b)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        nothing = (a == 0) & (b.abs() < NOTHING)
        if nothing.any():  # the slope there, 1/0, is that of weights which are 0, and times 0 it is no number
            b = torch.where(nothing, torch.ones_like(b), b)
    return _normal(func(a, b, **kwargs), e)


def _sum(func: Operation, a: Any, b: Any, **kwargs: Any) -> Any:
    """Both at the larger exponent. The left one of an in-place sum is changed in place."""
    in_place = func.__name__ in ("add_", "sub_")
    if _exponent(a) != _exponent(b):
        a, b = _carry(a, 0) if in_place and _exponent(a) > FAR and _any_nothing(a) else _grounded(a), _grounded(b)
    e = max(_exponent(a), _exponent(b))
    left = a.mul_(2.0 ** (_exponent(a) - e)) if in_place and _exponent(a) != e else _at(a, e)
    return _normal(_carry(func(left, _at(b, e), **kwargs), e), e)


def _joined(func: Operation, tensors: Sequence[Tensor], *args: Any, **kwargs: Any) -> Any:
    if len(set(map(_exponent, tensors))) > 1:
        tensors = [_grounded(t) for t in tensors]
    e = max(map(_exponent, tensors))
    return _carry(func(_at(tensors, e), *args, **kwargs), e)


def _where(func: Operation, condition: Any, input: Any, other: Any) -> Any:
    """As `x.where(condition, other)` has it, the first may be a value too."""
    return _joined(lambda parts: func(*parts), (condition, input, other))


def _layer(func: Operation, x: Tensor, w: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
    """A convolution or linear layer; the bias is 2^e times smaller where the input is 2^e times larger."""
    e = _exponent(x) + _exponent(w)
    e = 0 if bias is not None and e > FAR and _any_nothing(x, w) else e
    return _normal(func(x, w, _at(bias, e), *args, **kwargs), e)


def _batch_norm(
    func: Operation, x: Tensor, mean: Any, var: Any, *, weight: Any, bias: Any, training: bool, **kwargs: Any
) -> Tensor:
    """With stored statistics: a scale, and a shift that is 2^e times smaller where the input is 2^e times larger."""
    if training:
        return _as_numbers(func, x, mean, var, weight=weight, bias=bias, training=training, **kwargs)
    e = _exponent(x)
    e = 0 if e > FAR and _any_nothing(x, weight) else e
    return _normal(func(x, _at(mean, e), var, weight=weight, bias=_at(bias, e), training=training, **kwargs), e)


def _padded(func: Operation, x: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    return (_as_numbers if value else _same)(func, x, pad, mode, value)


def _filled(func: Operation, x: Tensor, mask: Tensor, value: Any) -> Any:
    return (_same if value in (0, math.inf, -math.inf) else _as_numbers)(func, x, mask, value)


def _clamped(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    limits = [limit for limit in (*args, *kwargs.values()) if not isinstance(limit, Tensor)]
    return (_same if all(limit is None or limit == 0 for limit in limits) else _as_numbers)(func, x, *args, **kwargs)


# --- Beyond `HUGE`: the limits of functions there ---------------------------------------------------------------------


def _far(rule: Operation) -> Operation:
    """`rule` for inputs beyond `HUGE`; nearer ones are taken as the numbers they are."""
    return lambda func, x, *args, **kwargs: (rule if _exponent(x) > HUGE else _as_numbers)(func, x, *args, **kwargs)


def _saturated(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    return func(x * 2.0**HUGE, *args, **kwargs)


def _normalised(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Whatever the scale; at the largest allowed one, beside which the norm's epsilon is nothing."""
    return func(x * 2.0 ** (LIMIT - _size(x)), *args, **kwargs)


def _log1p(func: Operation, x: Tensor) -> Tensor:
    """ln(x * 2^e) = ln(x) + e ln(2), 0 for x = 0."""
    return torch.where(x > 0, x, 1).log().add(_exponent(x) * math.log(2)).clamp(min=0) * (x > 0)


def _identity(func: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _carry(x.relu(), _exponent(x))


GROWING = ops.LAYERS | ops.PRODUCTS | ops.MATRIX_PRODUCTS | ops.QUOTIENTS | {"einsum", "batch_norm"}
"""Operations that may take plain numbers out of range; others matter once a tensor carries an exponent."""
RULES: dict[str, Operation] = {
    **dict.fromkeys(ops.MOVES | ops.AVERAGES | ops.RECTIFIERS, _same),
    **dict.fromkeys(("abs", "neg", "dropout", "dropout2d", "amax", "amin", "norm", "interpolate", "upsample"), _same),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "adaptive_max_pool2d"), _same),
    **dict.fromkeys(ops.PRODUCTS | ops.MATRIX_PRODUCTS | {"einsum"}, _product),
    **dict.fromkeys(ops.QUOTIENTS, _quotient),
    **dict.fromkeys(ops.SUMS, _sum),
    **dict.fromkeys(ops.JOINS, _joined),
    **dict.fromkeys(ops.LAYERS, _layer),
    "batch_norm": _batch_norm,
    "where": _where,
    "pad": _padded,
    "masked_fill": _filled,
    **dict.fromkeys(("clamp", "clamp_min"), _clamped),
    **dict.fromkeys(ops.SATURATING | {"softmax"}, _far(_saturated)),
    **dict.fromkeys(ops.NORMS | {"normalize"}, _far(_normalised)),
    "log1p": _far(_log1p),
    **dict.fromkeys(ops.RISING, _far(_identity)),
}


# --- Exponents --------------------------------------------------------------------------------------------------------


def _exponent(x: Any) -> int:
    return getattr(x, "_carried_exponent", 0)


def _carry(result: Any, e: int) -> Any:
    """The result, or each tensor of a tuple, marked with its exponent."""
    for tensor in _tensors(result):
        tensor._carried_exponent = e  # type: ignore[attr-defined]
    return result


def _normal(result: Any, e: int) -> Any:
    """Move what is beyond `LIMIT` into the exponent."""
    carried = _carry(result, e)
    if not isinstance(result, Tensor) or not result.is_floating_point() or not result.numel():
        return carried
    k = _size(result)
    return _carry(_shifted(result, -k), e + k) if abs(k) > LIMIT else carried


def _size(x: Tensor) -> int:
    """The power of two next above the largest number."""
    largest = float(x.detach().abs().max())
    return math.frexp(largest)[1] if 0 < largest < math.inf else 0


def _any_nothing(*factors: Any) -> bool:
    """Whether a tensor is 0 throughout, as a layer that is pruned away and what is behind it: so is their product."""
    return any(isinstance(x, Tensor) and not x.detach().any() for x in factors)


def _grounded(x: Any) -> Any:
    """0 * 2^e as the 0 it is: beside e, what is added to it (a bias, an epsilon, another branch) would vanish."""
    return _carry(_shifted(x, _exponent(x)), 0) if _exponent(x) > FAR and _any_nothing(x) else x


def _shifted(x: Tensor, k: int) -> Tensor:
    """x * 2^k, infinite or 0 where that is beyond the type."""
    while abs(k) > 100:  # float32 holds 2^100, and no 2^k much beyond: in steps the result is right where it exists
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


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
