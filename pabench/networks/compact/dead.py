"""Which channels are without use under masks, now and for the whole of a training.

Three things are known of a channel, each for good:

- **zero**: its values are exactly 0, in train and in eval mode. A layer's output is, where each of its kept weights
  meets a channel that is 0 and its bias is 0 and stays 0; BatchNorm's, where its input is and its bias does the same.
- **unused**: no output depends on it.
- **still**: the gradient of its values is exactly 0; of those without use it is, and so it is before a ReLU of zeros,
  whose slope at 0 is 0.

A bias that is 0 at initialization stays 0 if what it is added to is still: SGD and Adam move nothing without a
gradient, and weight decay has nothing to shrink. All biases that start at 0 are taken to stay, then those that do not
are let go until nothing changes: what remains holds at the first step, and each step leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pabench.networks.compact.trace import Channels, End, Flow, Layer, Norm, Product, Trace


@dataclass
class _Known:
    """What is known of the channels of one tensor; `unused` and `still` as far as its users have been looked at."""

    zero: Tensor
    unused: Tensor
    still: Tensor


def dead_units(
    trace: Trace, masks: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, trained: bool = True
) -> set[int]:
    """The units that can be removed: in every tensor they are zero or unused, and nothing pins them.

    `tensors` are the parameters and buffers at initialization; where they are not `trained`, a bias of 0 stays 0.
    """
    linked = {step.weight: _linked(step, masks, tensors) for step in trace.steps if isinstance(step, Layer)}
    shifts = {step.bias for step in trace.steps if isinstance(step, Layer | Norm)} - {""}
    resting = {n: tensors[n] == 0 if n not in trace.elsewhere else torch.zeros_like(tensors[n]).bool() for n in shifts}
    while True:
        known = _known(trace, linked, resting, tensors)
        moved = False
        for step in trace.steps if trained else ():
            if isinstance(step, Layer | Norm) and step.bias:
                held = resting[step.bias] & known[step.output].still
                moved |= bool((held != resting[step.bias]).any())
                resting[step.bias] = held
        if not moved:
            return _removable(trace, known)


def _linked(step: Layer, masks: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
    """(outputs, inputs): whether a kept weight connects them."""
    weight = tensors[step.weight]
    kept = masks[step.weight].cpu().bool() if step.weight in masks else torch.ones_like(weight, dtype=torch.bool)
    connected = kept.flatten(2).any(2) if kept.dim() > 2 else kept
    if step.groups == 1:
        return connected
    outputs, inputs = len(weight) // step.groups, weight.shape[1]
    return torch.block_diag(*connected.view(step.groups, outputs, inputs).to(torch.uint8)).bool()


def _known(
    trace: Trace, linked: Mapping[str, Tensor], resting: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> dict[Channels, _Known]:
    known: dict[Channels, _Known] = {}

    def of(channels: Channels) -> _Known:
        """A tensor that no operation has made is a parameter: it may be anything."""
        if channels not in known:
            no = torch.zeros(len(channels), dtype=torch.bool)
            known[channels] = _Known(no, ~no, ~no)
        return known[channels]

    for step in trace.steps:
        if isinstance(step, End):
            continue
        if isinstance(step, Flow):
            zero = torch.full((len(step.output),), step.zero)
            for x, places in zip(step.inputs, step.places, strict=True):
                zero &= (places < 0) | of(x).zero[places]
        elif isinstance(step, Product):
            zero = torch.stack([of(x).zero for x in step.inputs]).any(0)
        elif isinstance(step, Norm):
            zero = of(step.input).zero & resting.get(step.bias, True)
            zero = zero & (tensors[step.mean] == 0) if step.mean else zero
        else:
            links = linked[step.weight]
            silent = of(step.input).zero if step.input else torch.zeros(links.shape[1], dtype=torch.bool)
            zero = ~(links & ~silent).any(1) & resting.get(step.bias, torch.tensor(True))
        of(step.output).zero = zero

    for step in reversed(trace.steps):
        if isinstance(step, End):
            of(step.input).unused = of(step.input).still = torch.zeros(len(step.input), dtype=torch.bool)
        elif isinstance(step, Flow):
            made = of(step.output)
            for x, places in zip(step.inputs, step.places, strict=True):
                _met(of(x), places, made.unused, made.still | (of(x).zero[places] if step.flat else False))
        elif isinstance(step, Product):
            made = of(step.output)
            for i, x in enumerate(step.inputs):
                others = [of(y).zero for j, y in enumerate(step.inputs) if j != i]
                nothing = torch.stack(others).any(0) if others else torch.zeros(len(x), dtype=torch.bool)
                _met(of(x), torch.arange(len(x)), made.unused | nothing, made.still | nothing)
        elif isinstance(step, Norm):
            made = of(step.output)
            _met(of(step.input), torch.arange(len(step.input)), made.unused, made.still)
        elif step.input:
            made, used, links = of(step.output), of(step.input), linked[step.weight]
            used.unused = used.unused & ~(links & ~made.unused[:, None]).any(0)
            used.still = used.still & ~(links & ~(made.unused | made.still)[:, None]).any(0)
    return known


def _met(x: _Known, places: Tensor, unused: Tensor, still: Tensor) -> None:
    """One more user of a tensor, whose channel i is made of `places[i]`; -1: of none."""
    there = places >= 0
    for name, value in (("unused", unused), ("still", unused | still)):
        refused = torch.zeros(len(x.zero), dtype=torch.bool)
        refused[places[there & ~value]] = True
        setattr(x, name, getattr(x, name) & ~refused)


def _removable(trace: Trace, known: Mapping[Channels, _Known]) -> set[int]:
    needed = {trace.unit(u) for u in trace.pinned}
    seen: set[int] = set()
    for channels, found in known.items():
        units, dead = trace.roots(channels.units), found.zero | found.unused
        seen.update(units.tolist())
        needed.update(units[~dead].tolist())
    return seen - needed
