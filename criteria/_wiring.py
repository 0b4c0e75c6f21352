"""Which layer feeds which, unit by unit, found by running the network with coded signals in place of activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pabench.plugins import LAYERS, NORMS, RECTIFIERS, RISING, SATURATING, PluginError, Rewired, Tensors, is_recurrent

Call = Callable[[Tensors, Tensor], Tensor]
INPUT = ""
"""The source of what a layer takes from the network's input."""
PASSED = NORMS | RECTIFIERS | RISING | SATURATING - {"hardsigmoid"} | {"batch_norm", "selu"}
"""Norms and activations. A hard sigmoid stays: a channel that it gates arrives by half, its value at 0."""
ATTENTION = ("softmax", "scaled_dot_product_attention")
CHUNK = 8
"""Layers coded in one pass: memory is some 25 images' worth of activations."""


class WiringError(PluginError):
    """The network is no graph of layers through which a path can be followed unit by unit."""


@dataclass(frozen=True)
class Applied:
    """One application of a layer: `function(x, weight, bias, *args, **kwargs)`, a name of `LAYERS` of torch."""

    name: str
    function: Callable[..., Tensor]
    x: Tensor
    weight: Tensor
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    @property
    def axis(self) -> int:
        """Where the units are, in what it takes and in what it gives."""
        return -1 if self.function is F.linear else 1

    @property
    def groups(self) -> int:
        return int(self.kwargs.get("groups", self.args[3] if len(self.args) > 3 else 1))

    def by(self, weight: Tensor) -> Tensor:
        """What it gives with another weight and without bias."""
        return self.function(self.x, weight, None, *self.args, **self.kwargs)

    def shape(self) -> torch.Size:
        """The shape of what it gives."""
        return self.function(self.x.to("meta"), self.weight.to("meta"), None, *self.args, **self.kwargs).shape


@dataclass(frozen=True)
class Wiring:
    """`feeds[layer][source]` is an int64 tensor over the layer's input units: the unit of `source`, or -1.

    Units are the channels of a convolution, the features of a linear layer; layers and sources are named by their
    weights. The source INPUT has the unit 0 wherever the network's input arrives. `outputs` is the same map for the
    units of the network's output, `groups` are those of each layer. Layers are in the order of their application.
    """

    feeds: dict[str, dict[str, Tensor]]
    outputs: dict[str, Tensor]
    groups: dict[str, int]


def passing(weights: Mapping[str, Tensor], layer: Callable[[Applied], Tensor]) -> Rewired:
    """Within it norms and activations pass their input on, and `layer` computes the layers that hold these weights.

    A layer is known by the very tensor it is given: WiringError where one computes its weight first, in recurrent
    layers, and where a network attends: what attention passes on is no sum over paths.
    """
    names = {id(w): n for n, w in weights.items()}

    def applied(kind: str, input: Tensor, weight: Tensor, bias: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        if id(weight) not in names:
            raise WiringError(f"a {kind} computes its weight before it applies it, or has one that stays dense")
        if is_recurrent(names[id(weight)]):
            raise WiringError(f"{names[id(weight)]} is applied at every step: a recurrent layer has paths without end")
        return layer(Applied(names[id(weight)], getattr(F, kind), input, weight, args, kwargs))

    others = {**dict.fromkeys(PASSED, lambda input, *_, **__: input), **dict.fromkeys(ATTENTION, _refused)}
    return Rewired({**others, **{kind: partial(applied, kind) for kind in LAYERS}})


def wiring(call: Call, weights: Tensors, rest: Tensors, input_shape: Sequence[int]) -> Wiring:
    """The wiring of `call(tensors, x)` for inputs (N, *input_shape); WiringError says why there is none.

    Each layer gives the code of its own units, 1, 2, 3, ..., at a place of the batch of its own, and ones at another.
    What stands between layers (pooling, reshaping, sums, concatenation; norms and activations are passed over) is
    linear, so the quotient of the two at a layer's input says which unit arrives there. A third place holds twice the
    code. Where that is not twice what the code gave, or where several units arrive in one, layers are tied by something
    that is no path: attention, gating, mixing of tokens.
    """
    if not input_shape:
        raise WiringError("the shape of the input is not known; give input_shape=(C, H, W)")
    names = [INPUT, *weights]
    found = Wiring({}, {}, {})
    for start in range(0, len(names), CHUNK):
        probe = _Probe(weights, names[start : start + CHUNK])
        found.outputs.update(probe.run(call, rest, input_shape))
        found.groups.update(probe.groups)
        for layer, sources in probe.feeds.items():
            found.feeds.setdefault(layer, {}).update(sources)
    if missing := [n for n in weights if n not in found.feeds]:
        raise WiringError(f"{missing[0]} is not applied ({len(missing)} of {len(weights)} layers)")
    return found


@dataclass(frozen=True)
class _Probe:
    """One pass in which some layers are coded."""

    weights: Tensors
    coded: Sequence[str]
    feeds: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)

    @property
    def places(self) -> int:
        return 3 * len(self.coded) + 1

    def run(self, call: Call, rest: Tensors, input_shape: Sequence[int]) -> dict[str, Tensor]:
        """What of the coded layers arrives at the output."""
        like = next(iter(self.weights.values()))
        x = torch.zeros(self.places, *input_shape).to(like)
        self._write(x, INPUT, x.new_ones(()))
        with torch.no_grad(), passing(self.weights, self._layer):
            logits = call({**rest, **self.weights}, x)
        return self._sources(logits, -1 if logits.dim() == 2 else 1, "the output")

    def _sources(self, x: Tensor, axis: int, layer: str) -> dict[str, Tensor]:
        """Which unit of each coded layer arrives at each unit of `layer`, -1 for none."""
        found = {}
        x = x.movedim(axis, -1)
        x = x.reshape(self.places, -1, x.shape[-1])
        for source in self.coded:
            code, ones, twice = ((x[place] - x[-1]).T for place in self._at(source))
            there = ones != 0
            if not there.any() and not code.any():
                continue
            origin = source or "the input"
            # A float32 sum of thousands of terms is off by 1e-5; a gate or attention is off by the size of the code.
            if not torch.allclose(twice, 2 * code, rtol=1e-4, atol=1e-9 * float(code.abs().max())):
                raise WiringError(f"what {origin} sends to {layer} is not passed on as it is (attention or gating)")
            unit = code / torch.where(there, ones, 1)
            highest = torch.where(there, unit, 0).amax(1)
            lowest = torch.where(there, unit, torch.inf).amin(1)
            used = there.any(1)
            # Codes are whole numbers: units that mix give quotients between them, or several at the places of one unit.
            mixed = used & ((highest - lowest > 1e-2) | ((highest - highest.round()).abs() > 1e-2))
            if mixed.any() or code[~there].any():
                raise WiringError(f"a unit of {layer} takes several units of {origin} at once")
            found[source] = torch.where(used, highest.round().long() - 1, -1).cpu()
        return found

    def _at(self, name: str) -> list[int]:
        """The places of the code of a layer, of its ones, and of twice its code."""
        return [copy * len(self.coded) + self.coded.index(name) for copy in range(3)]

    def _layer(self, applied: Applied) -> Tensor:
        name, x = applied.name, applied.x
        if name in self.feeds:
            raise WiringError(f"{name} is applied more than once")
        if x.shape[0] % self.places:
            raise WiringError(f"{name} is applied to a batch that is not one of images")
        self.feeds[name] = self._sources(x, applied.axis, name)
        self.groups[name] = applied.groups
        out = torch.zeros(applied.shape(), dtype=x.dtype, device=x.device)
        units = out.movedim(applied.axis, -1).unflatten(0, (self.places, -1))
        self._write(units, name, torch.arange(1, units.shape[-1] + 1).to(x))
        return out

    def _write(self, batch: Tensor, name: str, code: Tensor) -> None:
        if name in self.coded:
            for place, value in zip(self._at(name), (code, torch.ones_like(code), 2 * code), strict=True):
                batch[place] = value


def _refused(*args: Any, **kwargs: Any) -> Tensor:
    raise WiringError("attention is no sum over paths")
