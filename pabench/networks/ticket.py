"""Tickets of known functions, and how one is planted in a wide network (Fischer & Burkholz 2022, arXiv:2111.11153).

A ticket is a few layers of weights and biases with ReLU between them. It is hidden in a network that was drawn at
random: each of its units becomes the unit of the network that resembles it most, up to a positive factor, which ReLU
passes on to the next layer. What is left of the factors at the outputs is the ticket's `scale`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pabench.data.planted import helix, ring_lines

KNOTS = {"circle": 10, "helix": 30}
"""Between which a curve is straight: those of the paper's code."""
SMALL = 1e-9
"""Weights of a ticket up to this part of its layer's largest are rounding errors of a straight line, and no weights."""


@dataclass(frozen=True)
class Layer:
    """Weights float64 (units, inputs) and biases (units,)."""

    weight: Tensor
    bias: Tensor


Ticket = list[Layer]


@dataclass(frozen=True)
class Plant:
    """A ticket in its place: the network's layers with it, where its weights are, and what multiplies its outputs."""

    layers: list[Layer]
    masks: list[Tensor]
    scale: Tensor


@dataclass(frozen=True)
class Hidden:
    """Where a ticket is in a network: its masks by name of the weight, bool, and what multiplies each of its outputs,
    float64 (K,)."""

    masks: dict[str, Tensor]
    scale: Tensor


def ticket(inputs: int, outputs: int, layers: int) -> Ticket:
    """The ticket of the planted task with so many inputs and outputs, of so many layers of weights (two at least)."""
    makers: dict[tuple[int, int], Callable[[int], Ticket]] = {(1, 1): relu, (1, 3): spiral, (2, 4): circle}
    if (inputs, outputs) not in makers:
        raise ValueError(
            f"no ticket is known of {inputs} inputs and {outputs} outputs; "
            "use the datasets planted_relu, planted_circle and planted_helix"
        )
    if layers < 2:
        raise ValueError(f"depth: {layers + 1} counts the input, too; expected 3 or more")
    return makers[inputs, outputs](layers)


def relu(layers: int) -> Ticket:
    """max(x, 0): one unit a layer, which hands it on."""
    return [_passing(1) for _ in range(layers)]


def spiral(layers: int) -> Ticket:
    """The three coordinates of `helix`, straight between 30 knots that all of them share.

    Of three layers or more the first gives x + 1; of more than three the others hand the point on, shifted by 1 so
    that ReLU leaves it as it is.
    """
    if layers == 2:
        return list(_between(helix, torch.linspace(-1, 1, KNOTS["helix"], dtype=torch.float64)))
    first = Layer(torch.ones(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    knots, curve = _between(lambda u: helix(u - 1), torch.linspace(0, 2, KNOTS["helix"], dtype=torch.float64))
    if layers == 3:
        return [first, knots, curve]
    passing = [_passing(3) for _ in range(layers - 3)]
    passing[-1].bias.fill_(-1)
    return [first, knots, Layer(curve.weight, curve.bias + 1), *passing]


def circle(layers: int) -> Ticket:
    """A line for each class of x1^2 + x2^2 (`data.planted.rings`), each square straight between 10 knots.

    Of three layers the first gives the positive and the negative part of each input; of four or more the second adds
    them up to |x|. Further layers hand these on, where the authors' code folds the plane along more axes.
    """
    whole = layers == 2
    knots = torch.linspace(-1 if whole else 0, 1, KNOTS["circle"], dtype=torch.float64)
    inner, outer = _between(lambda u: u.square()[:, None], knots, last=-1 if layers < 4 else 1)
    slopes, offsets = (torch.tensor(line, dtype=torch.float64)[:, None] for line in ring_lines(5.0))
    rings = Layer((slopes * outer.weight).repeat(1, 2), (offsets + slopes * 2 * outer.bias).flatten())
    bends = torch.block_diag(inner.weight, inner.weight)
    if whole:
        return [Layer(bends, inner.bias.repeat(2)), rings]
    signs = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    parts = Layer(signs, torch.zeros(4, dtype=torch.float64))
    if layers == 3:
        return [parts, Layer(bends.repeat_interleave(2, dim=1), inner.bias.repeat(2)), rings]
    sizes = Layer(signs.abs().T.contiguous(), torch.zeros(2, dtype=torch.float64))
    return [parts, sizes, *(_passing(2) for _ in range(layers - 4)), Layer(bends, inner.bias.repeat(2)), rings]


def evaluated(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """Outputs (N, K) of layers for x (N, d)."""
    for layer in layers[:-1]:
        x = (x @ layer.weight.T + layer.bias).clamp(min=0)
    return x @ layers[-1].weight.T + layers[-1].bias


def plant(found: Ticket, drawn: Sequence[Layer]) -> Plant:
    """The ticket in a network of the same depth, of which `drawn` are all layers; ValueError where it has no room.

    A unit of the ticket goes where the drawn weights have the signs of its own and differ least from a positive
    multiple of them, among the units that are still free; where no unit has the signs, to the first free one.
    """
    units, scale = torch.arange(drawn[0].weight.shape[1]), torch.ones(drawn[0].weight.shape[1], dtype=torch.float64)
    layers, masks = [], []
    for place, (own, there) in enumerate(zip(found, drawn, strict=True)):
        last = place == len(drawn) - 1
        if len(own.bias) > len(there.bias):
            raise ValueError(f"width: the ticket has {len(own.bias)} units in a layer, more than {len(there.bias)}")
        weight, bias, mask = there.weight.clone(), there.bias.clone(), torch.zeros_like(there.weight, dtype=torch.bool)
        free = list(range(len(bias)))
        chosen, factors = [], []
        for unit in range(len(own.bias)):
            inputs = (own.weight[unit].abs() > SMALL * own.weight.abs().max()).nonzero().flatten()
            aim = torch.cat([own.bias[unit : unit + 1], own.weight[unit, inputs] / scale[inputs]])
            candidates = [unit] if last else free
            among = there.weight[candidates][:, units[inputs]]
            nearest, factor = _nearest(torch.cat([there.bias[candidates, None], among], dim=1), aim)
            chosen.append(candidates[nearest])
            factors.append(factor)
            if not last:
                free.remove(chosen[-1])
            weight[chosen[-1], units[inputs]] = factor * aim[1:]
            bias[chosen[-1]] = factor * aim[0]
            mask[chosen[-1], units[inputs]] = True
        units, scale = torch.tensor(chosen), torch.tensor(factors, dtype=torch.float64)
        layers.append(Layer(weight, bias))
        masks.append(mask)
    return Plant(layers, masks, scale)


def _nearest(rows: Tensor, aim: Tensor) -> tuple[int, float]:
    """The row that is most like a positive multiple of `aim`, and which multiple is most like it."""
    factors = rows @ aim / (aim @ aim)
    signs = ((rows.sign() == aim.sign()) | (aim == 0)).all(1) & (factors > 0)
    if not signs.any():
        return 0, float(rows[0].norm() / aim.norm())
    apart = (rows - factors[:, None] * aim).abs().sum(1).masked_fill(~signs, torch.inf)
    nearest = int(apart.argmin())
    return nearest, float(factors[nearest])


def _passing(width: int) -> Layer:
    return Layer(torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64))


def _between(curve: Callable[[Tensor], Tensor], knots: Tensor, last: int = -1) -> tuple[Layer, Layer]:
    """Two layers that meet `curve` (n,) -> (n, K) at all knots and are straight between them.

    A unit max(x - s, 0) or max(s - x, 0) bends the line at its knot s, by turns to the right and to the left of it, the
    first to the right and the last as `last` says. Weights of the second layer are the bends, so the first one's is
    what gives the line its slope at the left end.
    """
    signs = torch.ones_like(knots)
    signs[1::2] = -1
    if last > 0:
        signs[-1] = 1
    beyond = torch.cat([knots, knots[-1:] + knots[1] - knots[0]])
    values = curve(beyond)
    slopes = values.diff(dim=0) / beyond.diff()[:, None]
    bends = torch.cat([slopes[:1], slopes.diff(dim=0)])
    left = signs < 0
    bends[0] += bends[left].sum(0)
    bias = values[0] - ((knots - knots[0]) * left) @ bends
    return Layer(signs[:, None].clone(), -signs * knots), Layer(bends.T.contiguous(), bias)
