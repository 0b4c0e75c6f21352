"""A run of a network, written down channel by channel: which channels of which tensors and weights belong together.

Each tensor that the network makes is followed along one dimension, that of its channels. A channel is a unit, and
channels that can only be removed together are one unit: those of the terms of a sum, of a layer's output and of its
bias, of a tensor and of what it is flattened to. Where a tensor meets an operation without a rule, its units are
pinned: they stay, and so does all that the operation sees. Removal is thus declined tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from pabench.networks import operations as ops
from pabench.networks.network import ASKING
from pabench.networks.operations import Operation, named
from pabench.networks.reach import NEVER_ZERO, ZERO_AT_ZERO

# --- What is written down ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Channels:
    """The channels of one tensor at one moment: along `dim`, each of a unit."""

    dim: int
    units: Tensor

    def __len__(self) -> int:
        return len(self.units)


@dataclass(frozen=True)
class Flow:
    """An operation by which channels pass on: channel i of `output` is made of `places[k][i]` of `inputs[k]`, -1: of
    none of them.

    `zero`: of zeros it makes zeros. `flat`: its slope is 0 at 0.
    """

    inputs: Sequence[Channels]
    places: Sequence[Tensor]
    output: Channels
    zero: bool = True
    flat: bool = False


@dataclass(frozen=True)
class Product:
    """A product, channel by channel; a single input is scaled by what is not followed."""

    inputs: Sequence[Channels]
    output: Channels


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer; `input` is None where it is not followed."""

    input: Channels | None
    weight: str
    bias: str
    groups: int
    output: Channels
    strided: bool = False
    """A 1 x 1 convolution with a stride."""


@dataclass(frozen=True)
class Norm:
    """BatchNorm: each channel by its own statistics, in `mean`."""

    input: Channels
    bias: str
    mean: str
    output: Channels


@dataclass(frozen=True)
class End:
    """All of its channels have to be there: an output, or an operation without a rule."""

    input: Channels


Step = Flow | Product | Layer | Norm | End


@dataclass
class Trace:
    """What was written down of one or several runs of a network.

    `units` has the units along a dimension of a parameter or buffer; of a grouped convolution's inputs, which its
    weight shares between groups, they stand in `columns`.
    """

    steps: list[Step] = field(default_factory=list)
    units: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    columns: dict[str, Tensor] = field(default_factory=dict)
    pinned: set[int] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)
    """Parameters that an operation uses as a tensor like any other."""
    _same: list[int] = field(default_factory=list)

    def fresh(self, count: int) -> Tensor:
        start = len(self._same)
        self._same.extend(range(start, start + count))
        return torch.arange(start, start + count)

    def along(self, name: str, dim: int, size: int) -> Tensor:
        if (name, dim) not in self.units:
            self.units[name, dim] = self.fresh(size)
        return self.units[name, dim]

    def join(self, one: Tensor, other: Tensor) -> None:
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            a, b = self.unit(a), self.unit(b)
            self._same[max(a, b)] = min(a, b)

    def unit(self, a: int) -> int:
        """The one that stands for all that `a` is joined with."""
        while self._same[a] != a:
            self._same[a] = a = self._same[self._same[a]]
        return a

    def roots(self, units: Tensor) -> Tensor:
        return torch.tensor([self.unit(a) for a in units.tolist()], dtype=torch.long)

    def pin(self, units: Tensor) -> None:
        self.pinned.update(units.tolist())


# --- The run ----------------------------------------------------------------------------------------------------------


def follow(module: nn.Module, x: Tensor, trace: Trace, *, careful: bool = False) -> Any:
    """Run `module` on `x` in the mode that it is in, and write down how its channels pass; what it gives.

    `careful`: a reshape that names the number of channels counts as one that only works with this number.
    """
    mode = _Follower(module, trace, careful)
    with torch.no_grad(), mode:
        out = module(x)
    mode.end(out)
    return out


class _Follower(TorchFunctionMode):
    def __init__(self, module: nn.Module, trace: Trace, careful: bool) -> None:
        super().__init__()
        self.trace, self.careful = trace, careful
        self._names = {id(t): n for n, t in [*module.named_parameters(), *module.named_buffers()]}
        layers = [path for path, layer in module.named_modules() if isinstance(layer, _ConvNd)]
        self._settable = {f"{path}.weight".lstrip(".") for path in layers}
        self._known: dict[int, Channels] = {}
        self._kept: list[Tensor] = []  # ids are those of living tensors
        self._sharing: dict[int, list[Tensor]] = {}

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), named(func)
        given = [t for t in tree_leaves([args, kwargs]) if isinstance(t, Tensor)]
        versions = [t._version for t in given]
        before = [channels for t in given if (channels := self._known.get(id(t)))]
        out = func(*args, **kwargs)
        changed = [t for t, v in zip(given, versions, strict=True) if t._version != v and id(t) not in self._names]
        if overwritten := [other for t in changed for other in self._sharing.get(_memory(t), []) if other is not t]:
            # tensors change with another one: what they are now is not known
            self._stop([*given, *overwritten], before)
            self._forget([*changed, *overwritten])
            return out
        if not any(id(t) in self._known or id(t) in self._names for t in given):
            return out
        results = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        if not results and name in ASKING:
            return out
        rule = RULES.get(name) if results and len(changed) < 2 and "out" not in kwargs else None
        found = rule(self, func, out, *args, **kwargs) if rule else None
        if found is None:
            self._stop(given, before)
            self._forget([*changed, *results])
        for t, channels in found or []:
            self._keep(t, channels)
        return out

    def end(self, out: Any) -> None:
        self._stop([t for t in tree_leaves(out) if isinstance(t, Tensor)], [])

    # --- Tensors ---

    def of(self, t: Any) -> Channels | None:
        """The channels of a tensor that is followed, and of a parameter with one dimension of more than one entry."""
        if not isinstance(t, Tensor):
            return None
        if id(t) in self._known or id(t) not in self._names:
            return self._known.get(id(t))
        wide = [d for d, size in enumerate(t.shape) if size > 1]
        if len(wide) != 1:
            return None
        name = self._names[id(t)]
        self.trace.elsewhere.add(name)
        return Channels(wide[0], self.trace.along(name, wide[0], t.shape[wide[0]]))

    def name_of(self, t: Any) -> str:
        return self._names.get(id(t), "") if isinstance(t, Tensor) else ""

    def stop(self, t: Any) -> None:
        if isinstance(t, Tensor):
            self._stop([t], [])

    def add(self, step: Step) -> None:
        self.trace.steps.append(step)

    def settable(self, weight: str) -> bool:
        """Whether it is of one of torch's own layers, which hold their number of groups as an attribute."""
        return weight in self._settable

    def _keep(self, t: Tensor, channels: Channels) -> None:
        self._known[id(t)] = channels
        self._kept.append(t)
        self._sharing.setdefault(_memory(t), []).append(t)

    def _forget(self, tensors: Sequence[Tensor]) -> None:
        for t in tensors:
            self._known.pop(id(t), None)

    def _stop(self, tensors: Sequence[Tensor], before: Sequence[Channels]) -> None:
        """All channels of these stay, and those that they had `before` they were written over."""
        found = list(before)
        for t in tensors:
            if name := self.name_of(t):
                self.trace.elsewhere.add(name)
                for dim, size in enumerate(t.shape):
                    self.trace.pin(self.trace.along(name, dim, size))
                if name in self.trace.columns:
                    self.trace.pin(self.trace.columns[name])
            elif id(t) in self._known:
                found.append(self._known[id(t)])
        for channels in dict.fromkeys(found):
            self.trace.pin(channels.units)
            self.add(End(channels))


def _memory(t: Tensor) -> int:
    return t.untyped_storage().data_ptr()


# --- Rules: (follower, operation, what it gave, its arguments) to the channels of what it gave, None: there is none ---

Found = list[tuple[Tensor, Channels]] | None
Rule = Callable[..., Found]


def _layer(
    on: _Follower, func: Operation, out: Tensor, x: Tensor, weight: Tensor, bias: Any = None, *more: Any, **options: Any
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
    on: _Follower,
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

    def rule(on: _Follower, func: Operation, out: Tensor, x: Tensor, *more: Any, **options: Any) -> Found:
        channels = on.of(x)
        if channels is None or out.shape != x.shape or any(isinstance(t, Tensor) for t in tree_leaves([more, options])):
            return None
        return _passed(on, channels, out, channels.dim, zero=zero, flat=flat(*more, **options))

    return rule


def _passed(on: _Follower, x: Channels, out: Tensor, dim: int, *, zero: bool = True, flat: bool = False) -> Found:
    output = Channels(dim, x.units)
    on.add(Flow([x], [torch.arange(len(x))], output, zero, flat))
    return [(out, output)]


def _dropout(
    on: _Follower, func: Operation, out: Tensor, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Found:
    """What it drops is drawn for the whole tensor: with fewer channels, others would be dropped."""
    channels = on.of(x)
    if channels is None:
        return None
    if p > 0 and training:
        on.trace.pin(channels.units)
    return _passed(on, channels, out, channels.dim)


def _moved(on: _Follower, func: Operation, out: Any, *args: Any, **kwargs: Any) -> Found:
    """Numbers go elsewhere: where the channels go is seen by moving their places."""
    followed = [t for t in tree_leaves([args, kwargs]) if isinstance(t, Tensor)]
    x = followed[0]
    channels = on.of(x)
    if channels is None or len(followed) > 1 or args[0] is not x or len(channels) < 2:
        return None
    shape = [1] * x.dim()
    shape[channels.dim] = -1
    places = func(torch.arange(len(channels)).view(shape).expand(x.shape).contiguous(), *args[1:], **kwargs)
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


def _pooled(on: _Follower, func: Operation, out: Any, x: Tensor, *more: Any, **options: Any) -> Found:
    """Over the pixels of each channel."""
    channels = on.of(x)
    spatial = int(func.__name__[-2]) if func.__name__.endswith("d") else x.dim() - 2
    if channels is None or not isinstance(out, Tensor) or channels.dim != x.dim() - 1 - spatial:
        return None
    return _passed(on, channels, out, channels.dim)


def _averaged(
    on: _Follower, func: Operation, out: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False, **options: Any
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
    on: _Follower, func: Operation, out: Tensor, x: Tensor, pad: Any, mode: str = "constant", value: Any = None
) -> Found:
    channels = on.of(x)
    if channels is None or out.shape[channels.dim] != x.shape[channels.dim]:
        return None
    touched = x.dim() - len(pad) // 2
    if channels.dim >= touched and any(pad[2 * (x.dim() - 1 - channels.dim) :][:2]):
        return None
    return _passed(on, channels, out, channels.dim, zero=mode != "constant" or not value)


def _together(on: _Follower, out: Tensor, terms: Sequence[Any]) -> tuple[list[Channels], bool, int] | None:
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


def _sum(on: _Follower, func: Operation, out: Tensor, a: Any, b: Any, **options: Any) -> Found:
    together = _together(on, out, (a, b))
    if together is None:
        return None
    terms, others, dim = together
    output = Channels(dim, terms[0].units)
    on.add(Flow(terms, [torch.arange(len(t)) for t in terms], output, zero=not others))
    return [(out, output)]


def _product(on: _Follower, func: Operation, out: Tensor, a: Any, b: Any, **options: Any) -> Found:
    together = _together(on, out, (a, b))
    if together is None:
        return None
    output = Channels(together[2], together[0][0].units)
    on.add(Product(together[0], output))
    return [(out, output)]


def _quotient(on: _Follower, func: Operation, out: Tensor, a: Any, b: Any, **options: Any) -> Found:
    """By a number only: 0 by what may become 0 is no number."""
    return _product(on, func, out, a, b) if not isinstance(b, Tensor) else None


def _joined(on: _Follower, func: Operation, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Found:
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
