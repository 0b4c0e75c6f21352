"""How reachability passes through each operation of torch: from the input to a value, from a value to the output.

A followed tensor holds 1 where the input reaches a value and 0 elsewhere; its gradient likewise says where the value
reaches a logit. It carries a second tensor, `nonzero`: where the value is not 0, be it for a constant such as a bias.
`RULES` holds a function for each operation that needs one; those that move values or add them up run as they are.
`pabench.networks.liveness` says what counts as a path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import add, matmul, mul
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from pabench.errors import PluginError
from pabench.networks import operations as ops

TINY = 1e-9
"""Values are 0, 1 or means of them; convolutions by Fourier or Winograd leave 1e-16 where 0 belongs."""
Rule = Callable[..., Any]


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > TINY).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return (g > TINY).to(g.dtype)


def mark(x: Tensor, nonzero: Tensor, *, weight: bool = False) -> Tensor:
    """Follow a tensor from here on; `weight`: it is made of weights, the input has not reached it yet."""
    x._pabench_nonzero, x._pabench_weight = nonzero, weight  # type: ignore[attr-defined]
    return x


def cut(x: Tensor, nonzero: Tensor, *, weight: bool = False) -> Tensor:
    """A followed tensor: 1 where positive, else 0, in value and in gradient."""
    return mark(_Cut.apply(x), (nonzero.detach() > TINY).to(x.dtype), weight=weight)


def followed(x: Any) -> bool:
    return hasattr(x, "_pabench_nonzero")


def is_weight(x: Any) -> bool:
    return getattr(x, "_pabench_weight", False)


def reached(x: Any) -> bool:
    return followed(x) and not is_weight(x)


def nonzero(x: Any) -> Any:
    """1 where a value is not 0."""
    if followed(x):
        return x._pabench_nonzero
    if not isinstance(x, Tensor):
        return float(x != 0)
    return (x != 0).to(x.dtype if x.is_floating_point() else torch.get_default_dtype())


def blank(x: Any) -> bool:
    """Whether it is made of zeros of the network's own, such as the first memory of a recurrent layer: its parts, and
    what layers give of it."""
    return getattr(x, "_pabench_blank", False)


def still(name: str, result: Any, args: Any) -> Any:
    """What the operation `name` gives of constants, marked where it is `blank`."""
    if name in ZEROS or (name in ops.MOVES | ops.LAYERS and args and blank(args[0])):
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):  # and not its dtype or device
                tensor._pabench_blank = True
    return result


def _term(x: Any) -> Any:
    """As a summand: constants are reached from nowhere."""
    return x if followed(x) else torch.zeros_like(x) if isinstance(x, Tensor) else 0


def _ones(x: Any) -> Any:
    return torch.ones_like(x) if isinstance(x, Tensor) else 1


def _alike(operation: Rule) -> Rule:
    """The same for reached and for nonzero values."""

    def rule(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return cut(operation(x, *args, **kwargs), operation(nonzero(x), *args, **kwargs), weight=is_weight(x))

    return rule


def _never_zero(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return cut(x, torch.ones_like(x), weight=is_weight(x))


def _softmax(x: Tensor, dim: int = -1, *_: Any, **__: Any) -> Tensor:
    return _never_zero(mark(x.sum(dim, keepdim=True).expand_as(x), x))


def _shifted(x: Tensor, *shifts: Any) -> Tensor:
    """Normalised values; a shift makes constants of zeros."""
    constants = [nonzero(shift) for shift in shifts if shift is not None]
    return cut(x, sum(constants, nonzero(x)), weight=is_weight(x))


def _batch_norm(
    x: Tensor, mean: Any = None, variance: Any = None, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    return _shifted(x, *(t.view(shape) for t in (mean, bias) if t is not None))


def _convolved(operation: Rule) -> Rule:
    def rule(x: Tensor, weight: Tensor, bias: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        if not reached(x):
            found = operation(x, weight, bias, *args, **kwargs).detach()  # of constants, a constant
            return still(operation.__name__, found, [x])
        connected = weight if followed(weight) else _ones(weight)
        shift = nonzero(bias) if bias is not None else None
        constant = operation(nonzero(x), connected.detach(), shift, *args, **kwargs)
        return cut(operation(x, connected, None, *args, **kwargs), constant)

    return rule


def _summed(operation: Rule, *terms: Any) -> Tensor:
    """A sum, or a choice, is reached where any of its terms is."""
    weight = not any(map(reached, terms))
    return cut(operation(*map(_term, terms)), operation(*map(nonzero, terms)), weight=weight)


def _add(a: Any, b: Any, *_: Any, **__: Any) -> Tensor:
    return _summed(add, a, b)


def _multilinear(operation: Rule, *factors: Any) -> Tensor:
    """A product is reached through any factor, where the others are not 0; constant factors are scales: 1.

    What is `blank` is no scale: it counts as 0 where it is 0.
    """
    usual = [x if is_weight(x) else nonzero(x) if followed(x) or blank(x) else _ones(x) for x in factors]
    places = [i for i, x in enumerate(factors) if reached(x)]
    terms = [operation(*usual[:i], factors[i], *usual[i + 1 :]) for i in places]
    whole = operation(*usual)
    return cut(sum(terms[1:], terms[0]) if terms else whole, whole, weight=not terms)


def _product(operation: Rule) -> Rule:
    return lambda a, b, *_, **__: _multilinear(operation, a, b)


_mul, _matmul = _product(mul), _product(matmul)


def _div(a: Any, b: Any, *_: Any, **__: Any) -> Tensor:
    return _mul(a, _never_zero(b) if followed(b) else b)


def _einsum(equation: str, *operands: Any) -> Tensor:
    factors = operands[0] if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    return _multilinear(partial(torch.einsum, equation), *factors)


def _attention(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Tensor:
    scores = _multilinear(lambda q, k: q @ k.transpose(-2, -1), q, k)
    return _matmul(_softmax(scores), v)


def _joined(operation: Rule) -> Rule:
    return lambda tensors, *args, **kwargs: _summed(lambda *terms: operation(terms, *args, **kwargs), *tensors)


def _max_pool(average: Rule) -> Rule:
    """The average reaches whatever the maximum may: all of the window, not the first of equals."""

    def pool(
        x: Tensor, size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, **_: Any
    ) -> Tensor:
        if dilation not in (1, [1, 1], (1, 1)):
            raise PluginError("no rule for paths through a dilated max_pool")
        return average(x, size, stride or size, padding, ceil_mode)

    return _alike(pool)


def _interpolated(x: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", **_: Any) -> Tensor:
    return F.interpolate(x, size, scale_factor, "bilinear" if mode == "bicubic" else mode)  # bicubic: negative values


def _extreme(x: Tensor, dim: Any = None, keepdim: bool = False, *_: Any, **__: Any) -> Tensor:
    return x.mean() if dim is None else x.mean(dim, keepdim=keepdim)


def _with_places(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    found = _alike(_extreme)(x, dim, keepdim)
    return found if dim is None else (found, torch.zeros_like(found, dtype=torch.int64))


NEVER_ZERO = {"sigmoid", "hardsigmoid", "exp", "softplus", "reciprocal", "rsqrt", "rpow"}
ZERO_AT_ZERO = (ops.RECTIFIERS | ops.RISING | ops.SATURATING) - NEVER_ZERO | {
    *("selu", "rrelu", "hardshrink", "softshrink", "clamp", "clip", "clamp_min", "clamp_max", "abs", "neg", "sqrt"),
    *("square", "pow", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"),
    *("feature_alpha_dropout", "rms_norm", "local_response_norm", "normalize"),
}
ZEROS = {"zeros", "zeros_like", "new_zeros"}
CONSTANTS = {
    *("zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "empty_like"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"),
}
RULES: dict[str, Rule] = {
    **dict.fromkeys(ZERO_AT_ZERO, _alike(lambda x, *_, **__: x)),
    **dict.fromkeys(NEVER_ZERO, _never_zero),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
    **{name: _convolved(getattr(F, name)) for name in ops.LAYERS},
    **{name: _convolved(getattr(F, name)) for name in ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")},
    **dict.fromkeys(("batch_norm", "instance_norm"), _batch_norm),
    "group_norm": lambda x, groups, weight=None, bias=None, eps=0: _batch_norm(x, bias=bias),
    "layer_norm": lambda x, shape, weight=None, bias=None, eps=0: _shifted(x, bias),
    **dict.fromkeys(ops.SUMS, _add),
    **dict.fromkeys(ops.PRODUCTS, _mul),
    **dict.fromkeys(ops.QUOTIENTS, _div),
    "rdiv": lambda a, b: _div(b, a),
    **dict.fromkeys(ops.MATRIX_PRODUCTS, _matmul),
    "addcmul": lambda x, a, b, *_, **__: _add(x, _mul(a, b) if followed(a) or followed(b) else a * b),
    "baddbmm": lambda x, a, b, **_: _add(x, _matmul(a, b)),
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
    **{name: _joined(getattr(torch, name)) for name in ops.JOINS},
    "where": lambda condition, a, b: _summed(partial(torch.where, condition), a, b),
    "masked_fill": lambda x, mask, value: _summed(lambda x, value: x.masked_fill(mask, value), x, value),
    "pad": _alike(lambda x, pad, mode="constant", value=None: F.pad(x, pad, mode)),
    "max_pool1d": _max_pool(F.avg_pool1d),
    "max_pool2d": _max_pool(F.avg_pool2d),
    "adaptive_max_pool2d": _alike(lambda x, size, *_, **__: F.adaptive_avg_pool2d(x, size)),
    "interpolate": _alike(_interpolated),
    **dict.fromkeys(("amax", "amin", "logsumexp"), _alike(_extreme)),
    **dict.fromkeys(("max", "min"), _with_places),
    "norm": _alike(lambda x, p=2, dim=None, keepdim=False, **_: _extreme(x, dim, keepdim)),
    **dict.fromkeys(("var", "std"), _alike(lambda x, dim=None, *_, keepdim=False, **__: _extreme(x, dim, keepdim))),
}
