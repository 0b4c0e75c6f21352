"""How channels pass through each operation: what its result is of, and what it joins or pins.

A rule is given the follower, the operation, what it gave and its arguments, and says the channels of what it gave.
None: there is no rule for such arguments, and all that the operation sees stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from pabench.networks import operations as ops
from pabench.networks.compact.trace import Channels, Flow, Layer, Norm, Product
from pabench.networks.operations import Operation, named
from pabench.networks.reach import NEVER_ZERO, ZERO_AT_ZERO

if TYPE_CHECKING:
    from pabench.networks.compact.follow import Follower

Found = list[tuple[Tensor, Channels]] | None
Rule = Callable[..., Found]


def _layer(
    on: Follower, func: Operation, out: Tensor, x: Tensor, weight: Tensor, bias: Any = None, *more: Any, **options: Any
) -> Found:
    name, shift = on.name_of(weight), on.name_of(bias)
    groups = options.get("groups", more[3] if len(more) > 3 else 1)
    if not name or (bias is not None and not shift) or (groups > 1 and not on.settable(name)):
        return None
    trace, spatial = on.trace, weight.dim() - 2
    output = Channels(out.dim() - 1 - spatial, trace.along(name, 0, len(weight)))
    if shift:
        trace.join(output.units, trace.along(shift, 0, len(weight)))
    if groups == 1:
        columns = trace.along(name, 1, weight.shape[1])
    else:
        columns = trace.columns.setdefault(name, trace.fresh(groups * weight.shape[1]))
    channels = on.of(x)
    if channels and channels.dim == x.dim() - 1 - spatial:
        trace.join(columns, channels.units)
    else:
        trace.pin(columns)
        on.stop(x)
        channels = None
    stride = options.get("stride", more[0] if more else 1)
    strided = spatial > 0 and weight[0, 0].numel() == 1 and max(stride if isinstance(stride, tuple) else (stride,)) > 1
    on.add(Layer(channels, name, shift, groups, output, strided))
    return [(out, output)]


def _batch_norm(
    on: Follower,
    func: Operation,
    out: Tensor,
    x: Tensor,
    mean: Any = None,
    var: Any = None,
    weight: Any = None,
    bias: Any = None,
    *_: Any,
    **__: Any,
) -> Found:
    channels = on.of(x)
    own = [t for t in (mean, var, weight, bias) if t is not None]
    if channels is None or channels.dim != 1 or not all(map(on.name_of, own)):
        return None
    for t in own:
        on.trace.join(channels.units, on.trace.along(on.name_of(t), 0, len(t)))
    output = Channels(1, channels.units)
    on.add(Norm(channels, on.name_of(bias), on.name_of(mean), output))
    return [(out, output)]


def _unary(zero: bool, flat: Callable[..., bool] = lambda *_, **__: False) -> Rule:
    """An activation, number by number."""

    def rule(on: Follower, func: Operation, out: Tensor, x: Tensor, *more: Any, **options: Any) -> Found:
        channels = on.of(x)
        if channels is None or out.shape != x.shape or any(isinstance(t, Tensor) for t in tree_leaves([more, options])):
            return None
        return _passed(on, channels, out, channels.dim, zero=zero, flat=flat(*more, **options))

    return rule


def _passed(on: Follower, x: Channels, out: Tensor, dim: int, *, zero: bool = True, flat: bool = False) -> Found:
    output = Channels(dim, x.units)
    on.add(Flow([x], [torch.arange(len(x))], output, zero, flat))
    return [(out, output)]


def _dropout(
    on: Follower, func: Operation, out: Tensor, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Found:
    """What it drops is drawn for the whole tensor: with fewer channels, others would be dropped."""
    channels = on.of(x)
    if channels is None:
        return None
    if p > 0 and training:
        on.trace.pin(channels.units)
    return _passed(on, channels, out, channels.dim)


def _moved(on: Follower, func: Operation, out: Any, *args: Any, **kwargs: Any) -> Found:
    """Numbers go elsewhere: where the channels go is seen by moving their places."""
    followed = [t for t in tree_leaves([args, kwargs]) if isinstance(t, Tensor)]
    x = followed[0]
    channels = on.of(x)
    if channels is None or len(followed) > 1 or args[0] is not x or len(channels) < 2:
        return None
    shape = [1] * x.dim()
    shape[channels.dim] = -1
    whole = torch.arange(len(channels), dtype=torch.float64)  # some operations move no integers
    places = func(whole.view(shape).expand(x.shape).contiguous(), *args[1:], **kwargs)
    found: list[tuple[Tensor, Channels]] = []
    for result, moved in zip(tree_leaves(out), tree_leaves(places), strict=True):
        dim = _dim_of(moved, len(channels)) if isinstance(moved, Tensor) else None
        if dim is None:
            return None
        if on.careful and named(func) in SHAPED and moved.shape[dim] in tree_leaves([args[1:], kwargs]):
            return None
        times = moved.shape[dim] // len(channels)
        output = Channels(dim, channels.units.repeat_interleave(times))
        on.add(Flow([channels], [torch.arange(len(channels)).repeat_interleave(times)], output))
        found.append((result, output))
    return found


def _dim_of(places: Tensor, count: int) -> int | None:
    """The dimension along which places 0 to `count` - 1 follow each other, each the same number of times."""
    for dim, size in enumerate(places.shape):
        if size % count or not size:
            continue
        lines = places.movedim(dim, 0).reshape(size, -1)
        wanted = torch.arange(count).repeat_interleave(size // count)
        if lines.shape[1] and bool((lines == wanted.to(lines)[:, None]).all()):
            return dim
    return None


def _pooled(on: Follower, func: Operation, out: Any, x: Tensor, *more: Any, **options: Any) -> Found:
    """Over the pixels of each channel."""
    channels = on.of(x)
    spatial = int(func.__name__[-2]) if func.__name__.endswith("d") else x.dim() - 2
    if channels is None or not isinstance(out, Tensor) or channels.dim != x.dim() - 1 - spatial:
        return None
    return _passed(on, channels, out, channels.dim)


def _averaged(
    on: Follower, func: Operation, out: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False, **options: Any
) -> Found:
    channels = on.of(x)
    if channels is None or dim is None or dim == [] or dim == ():
        return None
    over = sorted({d % x.dim() for d in ([dim] if isinstance(dim, int) else dim)})
    if channels.dim in over:
        return None
    left = channels.dim if keepdim else channels.dim - sum(d < channels.dim for d in over)
    return _passed(on, channels, out, left)


def _padded(
    on: Follower, func: Operation, out: Tensor, x: Tensor, pad: Any, mode: str = "constant", value: Any = None
) -> Found:
    channels = on.of(x)
    if channels is None or out.shape[channels.dim] != x.shape[channels.dim]:
        return None
    touched = x.dim() - len(pad) // 2
    if channels.dim >= touched and any(pad[2 * (x.dim() - 1 - channels.dim) :][:2]):
        return None
    return _passed(on, channels, out, channels.dim, zero=mode != "constant" or not value)


def _together(on: Follower, out: Tensor, terms: Sequence[Any]) -> tuple[list[Channels], bool, int] | None:
    """The followed terms of a sum or product, joined; whether there are others; the dimension of the channels.

    None: there is no such dimension, or it could not shrink.
    """
    found, others = [], False
    for t in terms:
        channels = on.of(t)
        if channels is not None and len(channels) > 1:
            found.append((channels, channels.dim + out.dim() - t.dim()))
        else:
            others = True
            on.stop(t)
    if not found or len({dim for _, dim in found}) > 1 or len({len(channels) for channels, _ in found}) > 1:
        return None
    dim = found[0][1]
    for t in terms:  # what is not followed and as wide as the channels would no longer fit
        if isinstance(t, Tensor) and on.of(t) is None and _size(t, dim - out.dim()) > 1:
            return None
    for (one, _), (other, _) in pairwise(found):
        on.trace.join(one.units, other.units)
    return [channels for channels, _ in found], others, dim


def _size(t: Tensor, dim: int) -> int:
    """The size along a dimension counted from the last; 1 where it has none."""
    return t.shape[dim] if t.dim() >= -dim else 1


def _sum(on: Follower, func: Operation, out: Tensor, a: Any, b: Any, **options: Any) -> Found:
    together = _together(on, out, (a, b))
    if together is None:
        return None
    terms, others, dim = together
    output = Channels(dim, terms[0].units)
    on.add(Flow(terms, [torch.arange(len(t)) for t in terms], output, zero=not others))
    return [(out, output)]


def _product(on: Follower, func: Operation, out: Tensor, a: Any, b: Any, **options: Any) -> Found:
    together = _together(on, out, (a, b))
    if together is None:
        return None
    output = Channels(together[2], together[0][0].units)
    on.add(Product(together[0], output))
    return [(out, output)]


def _quotient(on: Follower, func: Operation, out: Tensor, a: Any, b: Any, **options: Any) -> Found:
    """By a number only: 0 by what may become 0 is no number."""
    return _product(on, func, out, a, b) if not isinstance(b, Tensor) else None


def _joined(on: Follower, func: Operation, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Found:
    parts = [on.of(t) for t in tensors]
    dim %= out.dim()
    followed = [channels for channels in parts if channels is not None]
    if len(followed) < len(parts) or len({channels.dim for channels in followed}) > 1:
        return None
    if followed[0].dim != dim:
        for one, other in pairwise(followed):
            on.trace.join(one.units, other.units)
        output = Channels(followed[0].dim, followed[0].units)
        on.add(Flow(followed, [torch.arange(len(output)) for _ in followed], output))
        return [(out, output)]
    output, start, places = Channels(dim, torch.cat([channels.units for channels in followed])), 0, []
    for channels in followed:
        place = torch.full((len(output),), -1)
        place[start : start + len(channels)] = torch.arange(len(channels))
        places.append(place)
        start += len(channels)
    on.add(Flow(followed, places, output))
    return [(out, output)]


def _at_least_zero(min_val: float = -1.0, *_: Any, **__: Any) -> bool:
    """A hardtanh from 0 on (ReLU6) has the slope 0 at its lower limit."""
    return min_val == 0


def _always(*_: Any, **__: Any) -> bool:
    return True


DRAWN = {"dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "rrelu"}
SHAPED = {"view", "reshape", "unflatten"}
"""Operations that are told sizes."""
SEEN_TOGETHER = {"rms_norm", "local_response_norm", "normalize", "prelu"}
POOLS = {name for name in ops.AVERAGES if "pool" in name} | {
    *("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d"),
}
RULES: dict[str, Rule] = {
    **dict.fromkeys(ops.LAYERS, _layer),
    "batch_norm": _batch_norm,
    **dict.fromkeys(ZERO_AT_ZERO - DRAWN - SEEN_TOGETHER, _unary(True)),
    **dict.fromkeys(NEVER_ZERO - {"rpow"}, _unary(False)),
    **dict.fromkeys(("relu", "relu6"), _unary(True, _always)),
    "hardtanh": _unary(True, _at_least_zero),
    "dropout": _dropout,
    **dict.fromkeys(ops.MOVES - {"get"}, _moved),
    **dict.fromkeys(POOLS | {"interpolate"}, _pooled),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _averaged),
    "pad": _padded,
    **dict.fromkeys(ops.SUMS, _sum),
    **dict.fromkeys(ops.PRODUCTS, _product),
    **dict.fromkeys(ops.QUOTIENTS, _quotient),
    **dict.fromkeys(("cat", "concat"), _joined),
}
