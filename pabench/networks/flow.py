"""R of SynFlow, of a network in which nothing is negative: its products |w| * dR/d|w| for what is left of it.

Where all weights and constants are at least 0 and so is the input, so is every signal that only layers, sums, averages,
maxima and rising activations make. Then a ReLU is the identity, and a BatchNorm with stored statistics is a factor of
the layer before it and a shift. The factor is multiplied into the weights once for all rounds: w * dR/dw is the same
for w and for c * w.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from pabench.networks import operations as ops
from pabench.networks.compact.survivors import Survivors
from pabench.networks.network import Tensors
from pabench.networks.scored import scored
from pabench.networks.tape import Place, Step, Tape, recorded
from pabench.networks.uniform import shrunk

LAYERS = frozenset({"conv2d", "linear"})
IDENTITIES = frozenset({"relu", "leaky_relu", "dropout", "clone", "contiguous"})
"""Of numbers >= 0, and where nothing is drawn."""
RISING = (
    IDENTITIES
    | LAYERS
    | ops.AVERAGES
    | ops.JOINS
    | ops.PRODUCTS
    | ops.RISING
    | ops.SATURATING
    | (ops.MOVES - {"get"})
    | {"add", "batch_norm", "pad", "max_pool1d", "max_pool2d", "adaptive_max_pool2d"}
)
"""Operations that make numbers >= 0 of such numbers, and larger ones of larger ones."""
WITH_NUMBERS = frozenset({"add", "pad"}) | ops.PRODUCTS
"""Those that are given numbers, which may be negative."""
WORTH = 0.8
"""A network with more of its weights than this is not copied into a smaller one."""


class Flow:
    """R, the sum of the outputs for one input, as a function of the prunable weights, and what is left of them.

    `weights` are flat, one tensor after another in the order of the network. Pruned ones are 0, and BatchNorm is
    multiplied into them.
    """

    def __init__(self, tape: Tape, weights: Tensors, rest: Tensors, x: Tensor) -> None:
        self._tape, self._x = shrunk(tape, weights, x)
        if x.dim() == 4 and x.device.type == "cpu" and x.dtype == torch.float64:
            # a quarter less time in torch's own convolutions; oneDNN's, of float32, may overrun (`layout.overruns`)
            self._x = self._x.contiguous(memory_format=torch.channels_last)
        self._rest = rest
        self._whole = self._shapes = {n: w.shape for n, w in weights.items()}
        self._along: dict[tuple[str, int], Tensor] = {}
        self._hold(torch.cat([w.reshape(-1) for w in weights.values()]))
        self._survivors = Survivors(lambda tensors: tape.run(tensors, x), {**rest, **weights})

    @classmethod
    def of(cls, call: Callable[[Tensors, Tensor], Tensor], weights: Tensors, rest: Tensors, x: Tensor) -> Flow | None:
        """The flow of a network; None where it has negative numbers, or operations that may make them."""
        with torch.no_grad():
            tape = recorded(call, {**rest, **weights}, x)
            if tape is None or not _rises(tape, weights, rest):
                return None
            return cls(*_folded(tape, weights, rest), x)

    def copy(self) -> Flow:
        """The same, to be pruned on its own."""
        other = copy.copy(self)
        other._survivors = copy.copy(self._survivors)
        other._hold(self.weights.clone())
        return other

    def _hold(self, weights: Tensor) -> None:
        """What does not change while the weights are pruned where they lie: their parts, and where scores are put."""
        self.weights, self._scores = weights, torch.zeros_like(weights)
        parts, scores = self._named(weights), self._named(self._scores)
        self._leaves = {n: w.detach().requires_grad_() for n, w in parts.items()}
        self._products = [(w, scores[n]) for n, w in parts.items()]
        layers = {number: step for number, step in enumerate(self._tape.steps) if _is_layer(step)}
        found = {
            number: scored(step.function, step.args, step.shape, parts[name], scores[name])
            for number, step in layers.items()
            if (name := step.args[1].key) in parts
        }
        self._writing = {number: layer for number, layer in found.items() if layer}

    def scores(self) -> Tensor:
        """w * dR/dw of all `weights`, flat; the next call writes over it."""
        with torch.enable_grad():
            total = self._tape.run({**self._rest, **self._leaves}, self._x, instead=self._writing).sum()
            found = torch.autograd.grad(total, list(self._leaves.values()), allow_unused=True)
        for g, (w, product) in zip(found, self._products, strict=True):
            if g is not None:  # else it has been written
                torch.mul(g, w, out=product)
        return self._scores

    def drop(self, places: Tensor) -> None:
        """Prune the weights at these places."""
        self.weights.index_fill_(0, places, 0)

    def shrink(self) -> bool:
        """Take out the channels that are 0 or lead nowhere; whether that was worth it."""
        weights = self._named(self.weights)
        connected = {n: self._put(n, w.flatten(2).sum(2) if w.dim() > 2 else w) > 0 for n, w in weights.items()}
        along = self._survivors.along(connected)
        shapes = {n: _shape(n, shape, along) for n, shape in self._shapes.items()}
        if sum(shape.numel() for shape in shapes.values()) > WORTH * len(self.weights):
            return False
        smaller = torch.cat([self._cut(n, w, along).reshape(-1) for n, w in weights.items()])
        self._rest = {n: self._cut(n, t, along) for n, t in self._rest.items()}
        self._along, self._shapes = along, shapes
        self._hold(smaller)
        return True

    def whole(self, flat: Tensor) -> Tensors:
        """Numbers of `weights` as tensors of the network's own shapes, 0 for what has been taken out."""
        return {n: self._put(n, part) for n, part in self._named(flat).items()}

    def _named(self, flat: Tensor) -> Tensors:
        parts = flat.split([shape.numel() for shape in self._shapes.values()])
        return {n: part.view(shape) for (n, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def _put(self, name: str, part: Tensor) -> Tensor:
        """Into the place that it has in the whole of a weight, along the first two dimensions."""
        rows, columns = self._along.get((name, 0)), self._along.get((name, 1))
        if rows is None and columns is None:
            return part
        shape = self._whole[name]
        full = part.new_zeros(shape[:2] + part.shape[2:])
        every = (torch.arange(n) if left is None else left for n, left in zip(shape, (rows, columns), strict=False))
        places = [left.to(part.device) for left in every]
        full[places[0][:, None], places[1]] = part
        return full

    def _cut(self, name: str, tensor: Tensor, along: Mapping[tuple[str, int], Tensor]) -> Tensor:
        for dim in range(tensor.dim()):
            left, before = along.get((name, dim)), self._along.get((name, dim))
            if left is not None and len(left) < tensor.shape[dim]:
                places = left if before is None else torch.searchsorted(before, left)
                tensor = tensor.index_select(dim, places.to(tensor.device))
        return tensor


def _shape(name: str, shape: torch.Size, along: Mapping[tuple[str, int], Tensor]) -> torch.Size:
    return torch.Size(len(along[name, d]) if (name, d) in along else n for d, n in enumerate(shape))


# --- From a tape to a flow --------------------------------------------------------------------------------------------


def _rises(tape: Tape, weights: Tensors, rest: Tensors) -> bool:
    """Whether no number is negative and stays so, and each prunable weight is that of one layer."""
    tensors = {**rest, **weights}
    uses = Counter(place.key for step in tape.steps for place in step.places)
    layers = {step.args[1].key for step in tape.steps if _is_layer(step)}
    means = {step.args[1].key for step in tape.steps if step.name == "batch_norm" and step.args[1]}
    used = [t for n, t in tensors.items() if uses[n] and n not in means]
    return (
        all(uses[n] == 1 and n in layers for n in weights)
        and all(_step_rises(step, tensors) for step in tape.steps)
        and all(not t.is_complex() and bool((t >= 0).all()) for t in used)
    )


def _step_rises(step: Step, tensors: Tensors) -> bool:
    if step.name in LAYERS:
        return _is_layer(step) and "same" not in step.args
    if step.name == "batch_norm":
        found = _factor_and_shift(step, tensors)
        return found is not None and bool((found[1] >= 0).all())
    if step.name == "dropout" and step.kwargs.get("training", True):
        return False
    numbers = [v for v in tree_leaves([step.args, dict(step.kwargs)]) if isinstance(v, int | float)]
    return step.name in RISING and (step.name not in WITH_NUMBERS or all(v >= 0 for v in numbers))


def _is_layer(step: Step) -> bool:
    """Whether it is a layer as torch's own modules call it: input, weight and bias, then all of the geometry."""
    return step.name in LAYERS and len(step.args) == (7 if step.name == "conv2d" else 3) and not step.kwargs


def _factor_and_shift(step: Step, tensors: Tensors) -> tuple[Tensor, Tensor] | None:
    """What BatchNorm multiplies a channel by and adds to it; None where it takes the statistics of what it is given."""
    options = {"weight": None, "bias": None, **step.kwargs}
    stored = [tensors.get(place.key) for place in step.args[1:3] if place]
    if options["training"] or len(stored) < 2 or None in stored:
        return None
    mean, var = stored
    weight, bias = (tensors[place.key] if place else None for place in (options["weight"], options["bias"]))
    factor = (var + options["eps"]).rsqrt() * (1 if weight is None else weight)
    return factor, (0 if bias is None else bias) - mean * factor


def _folded(tape: Tape, weights: Tensors, rest: Tensors) -> tuple[Tape, Tensors, Tensors]:
    """The same without what is the identity, each BatchNorm behind a layer of its own as a part of that layer."""
    steps, tensors = list(tape.steps), {**rest, **weights}
    uses = Counter(place.key for step in steps for place in step.places)
    gone: dict[int, Place] = {}
    for number, step in enumerate(steps):
        if step.name in IDENTITIES:
            gone[number] = step.args[0]
        if step.name != "batch_norm" or not isinstance(before := step.args[0].key, int):
            continue
        layer, factor_and_shift = steps[before], _factor_and_shift(step, tensors)
        alone = _is_layer(layer) and uses[before] == uses[layer.args[1].key] == 1 and tape.output != Place(before)
        if alone and factor_and_shift:
            name, (factor, shift) = layer.args[1].key, factor_and_shift
            gone[number] = step.args[0]
            weight, bias = tensors[name], layer.args[2]
            tensors[name] = weight * factor.view(-1, *[1] * (weight.dim() - 1))
            shift = shift if bias is None else shift + tensors[bias.key] * factor
            tensors[f"{name}, shifted by"] = shift
            place = Place(f"{name}, shifted by") if shift.any() else None
            steps[before] = replace(layer, args=(*layer.args[:2], place, *layer.args[3:]))
    shorter = replace(tape, steps=tuple(steps)).without(gone)
    used = {place.key for step in shorter.steps for place in step.places}
    return (
        shorter,
        {n: tensors[n] for n in weights},
        {n: t for n, t in tensors.items() if n in used and n not in weights},
    )
