"""A network without the channels that its masks leave without use: smaller tensors, the same function.

What is removed are channels that are 0 for good, and those that no output depends on (`dead`); so outputs, and the
gradients of all that is left, are those of the masked network in train and in eval mode, at initialization and after
any number of steps. Constants that are trained (a BatchNorm's bias without a ReLU behind it) stay, and so does what an
operation without a rule sees.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves

from pabench.errors import DeclinedError
from pabench.networks.compact.dead import dead_units
from pabench.networks.compact.follow import follow
from pabench.networks.compact.trace import Layer, Trace
from pabench.networks.network import Tensors, scoring_mode
from pabench.networks.private import copied

STEP = 8
"""Input channels of a strided 1 x 1 convolution stay a multiple of it, or what they were: with others images do not lie
channels last on a CPU (`pabench.training.loop.channels_last`)."""
EXACT = 1e-9
"""The most by which a number may differ from the masked network's, in parts of the largest: float64, summed in another
order."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Compacted:
    """A network without unused channels, its masks, and the way back.

    `places` says of each parameter and buffer that shrank which entries of the original are left, counted through, in
    the shape that they are left in. `whole` are the masks of the original.
    """

    module: nn.Module
    masks: Tensors
    places: Mapping[str, Tensor]
    whole: Mapping[str, Tensor]

    def layers(self, original: nn.Module) -> dict[str, list[list[int]]]:
        """The shapes of all tensors that shrank, before and after."""
        full = _tensors(original)
        return {name: [list(full[name].shape), list(places.shape)] for name, places in self.places.items()}

    @torch.no_grad()
    def restore(self, original: nn.Module) -> None:
        """Write what is left, trained or not, into the network that it was made from, whose pruned weights become 0.

        Kept weights and statistics that were removed stay as they are there (masked training would go on shrinking the
        weights, by weight decay alone): no output depends on them.
        """
        found = _tensors(self.module)
        for name, tensor in _tensors(original).items():
            values = found[name].detach().to(tensor)
            if name in self.places:  # through a copy: what lies channels last has no flat view
                flat = tensor.reshape(-1).clone()
                flat[self.places[name].to(tensor.device)] = values
                values = flat.view(tensor.shape)
            tensor.copy_(values)
            if name in self.whole:
                tensor.masked_fill_(~self.whole[name].to(tensor.device, torch.bool), 0)


def compacted(module: nn.Module, masks: Mapping[str, Tensor], shape: Sequence[int]) -> Compacted:
    """A copy of `module`, its pruned weights 0, without the channels that are without use under `masks`.

    `shape` is that of one input, (C, H, W). The result is compared with the masked network, in float64 on two random
    inputs. DeclinedError, in one sentence: why there is no such copy, or that it would be no smaller.
    """
    problem = ""
    try:
        x = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for careful in (False, True):  # sizes that are numbers in a network's code
            whole = _pruned_copy(module, masks).cpu().double()
            before = _tensors(whole) | {n: t.clone() for n, t in whole.named_buffers()}
            trace, wanted = _traced(whole, x, careful)
            if trace.decides and (missed := trace.missed(masks)):
                problem = f"it decides by values what it does, and {missed[0]} had nothing to do"
                break
            small = _cut(module, masks, _plan(trace, masks, before))
            if not small.places:
                problem = problem or "all channels are in use, or an operation needs them all"
                break
            other = copied(small.module).cpu().double()
            if not (problem := _difference(wanted, _ran(other, x), small)):
                return small
    except Exception as error:  # anybody's network, run and copied
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    raise DeclinedError(f"{type(module).__name__} is not compacted: {problem}")


def _tensors(module: nn.Module) -> Tensors:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _pruned_copy(module: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    pruned = copied(module)
    weights = dict(pruned.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].masked_fill_(~mask.to(weights[name].device, torch.bool), 0)
    return pruned


# --- What stays -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """Indices that stay: along a dimension of a tensor, and of a grouped convolution's inputs in each of its groups."""

    along: Mapping[tuple[str, int], Tensor]
    groups: Mapping[str, list[Tensor]]


def _traced(whole: nn.Module, x: Tensor, careful: bool) -> tuple[Trace, _Run]:
    """In train mode and in eval mode, which may take different ways."""
    trace = Trace()
    convolutions = [path for path, layer in whole.named_modules() if isinstance(layer, _ConvNd)]
    settable = {f"{path}.weight".lstrip(".") for path in convolutions}  # torch's own: `_tell` sets their groups
    followed = partial(follow, tensors=_tensors(whole), trace=trace, settable=settable, careful=careful)
    return trace, _ran(whole, x, followed)


def _plan(trace: Trace, masks: Mapping[str, Tensor], tensors: Tensors) -> _Plan:
    """Units in use stay, and as many others as layers need."""
    layers = {step.weight: step for step in trace.steps if isinstance(step, Layer)}
    units = {key: trace.roots(along).tolist() for key, along in trace.units.items()}
    columns = {n: trace.roots(own).view(layers[n].groups, -1).tolist() for n, own in trace.columns.items()}
    outputs = {n: trace.roots(trace.units[n, 0]).view(layers[n].groups, -1).tolist() for n in columns}
    everything = {u for own in units.values() for u in own} | {u for rows in columns.values() for r in rows for u in r}
    kept = everything - dead_units(trace, masks, tensors)
    size = -1
    while size != len(kept):  # what one layer keeps more, another has to keep, too
        size = len(kept)
        for (name, dim), own in units.items():
            _fill(kept, own, STEP if dim == 1 and name in layers and layers[name].strided else 1)
        for name in columns:
            _balance(kept, columns[name], outputs[name])
    along = {key: _staying(kept, own) for key, own in units.items()}
    return _Plan(along, {n: [_staying(kept, row) for row in rows] for n, rows in columns.items()})


def _staying(kept: set[int], units: Sequence[int]) -> Tensor:
    return torch.tensor([i for i, unit in enumerate(units) if unit in kept], dtype=torch.long)


def _fill(kept: set[int], units: Sequence[int], step: int) -> None:
    """Keep one channel at least, and a multiple of `step` or all of them."""
    while (count := sum(u in kept for u in units)) == 0 or (count % step and count < len(units)):
        kept.add(next(u for u in units if u not in kept))


def _balance(kept: set[int], inputs: list[list[int]], outputs: list[list[int]]) -> None:
    """Each group of a convolution keeps as many channels as the others, or is gone."""
    there = [any(u in kept for u in (*i, *o)) for i, o in zip(inputs, outputs, strict=True)]
    for side in (inputs, outputs):
        rows = [row for row, alive in zip(side, there, strict=True) if alive]
        most = max((sum(u in kept for u in row) for row in rows), default=0)
        for row in rows:
            while sum(u in kept for u in row) < max(most, 1):
                kept.add(next(u for u in row if u not in kept))


# --- The smaller network ----------------------------------------------------------------------------------------------


def _cut(module: nn.Module, masks: Mapping[str, Tensor], plan: _Plan) -> Compacted:
    small = _pruned_copy(module, masks)
    full = _tensors(small)
    found = {name: _places(name, tensor.shape, plan) for name, tensor in full.items()}
    places = {name: p for name, p in found.items() if p.shape != full[name].shape}
    smaller = {name: _taken(full[name], p) for name, p in places.items()}
    names = {id(tensor): name for name, tensor in full.items()}
    for layer in small.modules():
        for own in (layer._parameters, layer._buffers):
            for key, tensor in own.items():
                if tensor is not None and (name := names.get(id(tensor), "")) in smaller:
                    own[key] = smaller[name]
                    _tell(layer, plan.groups.get(name))
    left = {n: m.reshape(-1)[places[n].to(m.device)] if n in places else m for n, m in masks.items()}
    return Compacted(small, left, places, dict(masks))


def _places(name: str, shape: torch.Size, plan: _Plan) -> Tensor:
    """Which entries of a tensor stay, counted through."""
    places = torch.arange(shape.numel()).view(shape)
    for dim in range(len(shape)):
        if (name, dim) in plan.along:
            places = places.index_select(dim, plan.along[name, dim])
    if name in plan.groups:
        size = shape.numel() // len(plan.groups[name])
        rows = [row.index_select(0, plan.groups[name][int(row.flatten()[0]) // size]) for row in places]
        places = torch.stack(rows)
    return places


def _taken(tensor: Tensor, places: Tensor) -> Tensor:
    values = tensor.detach().reshape(-1)[places.to(tensor.device)]
    return nn.Parameter(values, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else values


def _tell(layer: nn.Module, groups: list[Tensor] | None) -> None:
    """The sizes that torch's layers hold as numbers."""
    weight = layer._parameters.get("weight")
    if isinstance(layer, _ConvNd) and weight is not None:
        layer.groups = layer.groups if groups is None else sum(map(bool, map(len, groups)))
        layer.out_channels, layer.in_channels = len(weight), weight.shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, _NormBase):
        layer.num_features = len(next(t for t in (weight, layer.running_mean) if t is not None))


# --- The proof --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """What a network gives for some images, in train mode and then in eval mode; `gradients` are those of a sum of the
    outputs with random factors, in train mode, in which it is trained."""

    train: list[Tensor]
    gradients: Tensors
    eval: list[Tensor]


def _ran(network: nn.Module, x: Tensor, call: Callable[[Callable[[], Any]], Any] = operator.call) -> _Run:
    weights = {n: p for n, p in network.named_parameters() if p.requires_grad}
    network.train()
    with scoring_mode(CPU):
        train = _numbers(call(partial(network, x.clone())))
        loss = sum((t * torch.randn(t.shape, dtype=t.dtype)).sum() for t in train)
        trained = list(weights.values())  # none where the whole network is frozen
        found = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True) if trained else ()  # type: ignore[arg-type]
    network.eval()  # with the running statistics of the run before
    with scoring_mode(CPU), torch.no_grad():
        tested = _numbers(call(partial(network, x.clone())))
    return _Run([t.detach() for t in train], dict(zip(weights, found, strict=True)), tested)


def _numbers(out: Any) -> list[Tensor]:
    return [t for t in tree_leaves(out) if isinstance(t, Tensor) and t.is_floating_point()]


def _difference(wanted: _Run, found: _Run, small: Compacted) -> str:
    """In what the smaller network differs from the masked one by more than rounding; "" if in nothing."""
    if not _alike(wanted.train, found.train):
        return "its outputs in train mode would be others"
    if not _alike(wanted.eval, found.eval):
        return "its outputs in eval mode would be others"
    whole, left = (_kept(run.gradients, masks) for run, masks in ((wanted, small.whole), (found, small.masks)))
    taken = {n: g.reshape(-1)[small.places[n]] if n in small.places else g for n, g in whole.items()}
    # what is removed has to be without a gradient
    gone = [whole[n].reshape(-1).index_fill_(0, p.reshape(-1), 0) for n, p in small.places.items() if n in whole]
    if not _alike([taken[n] for n in left], list(left.values()), gone):
        return "its gradients in train mode would be others"
    return ""


def _kept(gradients: Tensors, masks: Mapping[str, Tensor]) -> Tensors:
    """Copies, 0 where a weight is pruned."""
    return {n: g * masks[n].cpu() if n in masks else g.clone() for n, g in gradients.items()}


def _alike(wanted: Sequence[Tensor], found: Sequence[Tensor], gone: Sequence[Tensor] = ()) -> bool:
    """Whether tensors are the same up to rounding, and those that are `gone` 0."""
    most = EXACT * max(map(_largest, wanted), default=0.0)
    same = (w.shape == f.shape and _largest(w - f) <= most for w, f in zip(wanted, found, strict=True))
    return all(same) and all(_largest(t) <= most for t in gone)


def _largest(t: Tensor) -> float:
    """By its size; not a number where one of them is none."""
    return max(abs(float(end)) for end in t.aminmax()) if t.numel() else 0.0
