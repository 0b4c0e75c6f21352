"""A uniform image on fewer pixels: but near the borders, all pixels of all maps that convolutions make of it are equal.

Rows (and columns) in the middle are left out of the image and so of the maps behind it. They come back, as copies of
the rows that are left, where an operation sees a map as a whole or where the borders meet. Results and gradients are
those of the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor
from torch.nn.modules.utils import _pair

from pabench.networks import operations as ops
from pabench.networks.tape import INPUT, Place, Step, Tape

PIXELWISE = ops.RECTIFIERS | ops.RISING | ops.SATURATING | ops.SUMS | ops.PRODUCTS | {"batch_norm", "clone", "dropout"}
TRIED = 16
"""How many sizes of the image are looked at."""
POOLS = {
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "avg_pool2d": ("kernel_size", "stride", "padding", "ceil_mode"),
}
"""Poolings, and what their arguments are behind the first."""


@dataclass(frozen=True)
class Side:
    """Of the rows of a map `missing` are left out, all equal to those `first` to `last` of the rows that are there."""

    missing: int
    first: int
    last: int

    def through(self, size: int, stride: int, padding: int, dilation: int) -> Side | None:
        """Behind a filter; None where no place of it sees only equal rows, or none falls upon what is left out."""
        first = -(-(self.first + padding) // stride)
        last = (self.last + padding - dilation * (size - 1)) // stride
        return Side(self.missing // stride, first, last) if first <= last and self.missing % stride == 0 else None

    def beside(self, other: Side) -> Side | None:
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Side(self.missing, first, last) if self.missing == other.missing and first <= last else None


Sides = tuple[Side, Side]


def shrunk(tape: Tape, tensors: Mapping[str, Tensor], x: Tensor) -> tuple[Tape, Tensor]:
    """The tape for the smaller image that costs least, and that image. `x` is (1, C, H, W), all its pixels equal."""
    if x.dim() != 4:
        return tape, x
    least = min(x.shape[2:])
    tried = range(0, least, max(1, least // TRIED))
    found = min((_Shrunk(tape, tensors, x, missing) for missing in tried), key=lambda s: s.cost)
    return found.tape, x[:, :, : x.shape[2] - found.missing, : x.shape[3] - found.missing]


class _Shrunk:
    """A tape for an image without `missing` rows and columns, and its multiplications."""

    def __init__(self, tape: Tape, tensors: Mapping[str, Tensor], x: Tensor, missing: int) -> None:
        self.missing, self.cost = missing, 0
        self._shapes = {Place(number): step.shape for number, step in enumerate(tape.steps)}
        self._steps: list[Step] = []
        self._now: dict[Place, Place] = {}
        self._sides: dict[Place, Sides] = {}
        self._whole: dict[Place, Place] = {}
        if missing:
            self._sides[Place(INPUT)] = tuple(Side(missing, 0, n - missing - 1) for n in x.shape[2:])  # type: ignore[assignment]
        for number, step in enumerate(tape.steps):
            self._add(Place(number), step, tensors)
        self.tape = Tape(tuple(self._steps), self._put_back(tape.output))

    def _add(self, place: Place, step: Step, tensors: Mapping[str, Tensor]) -> None:
        small = [p for p in step.places if p in self._sides]
        sides = self._behind(step, small, tensors) if small else None
        moved = step.moved((lambda p: self._now.get(p, p)) if sides else self._put_back)
        self._steps.append(moved)
        self._now[place] = Place(len(self._steps) - 1)
        if sides:
            self._sides[place] = sides
        if step.name in ops.LAYERS:
            weight = tensors[step.args[1].key]
            rows = [n - side.missing for n, side in zip(step.shape[2:], sides or (), strict=False)] or step.shape[2:]
            self.cost += weight.numel() * prod(rows)

    def _behind(self, step: Step, small: list[Place], tensors: Mapping[str, Tensor]) -> Sides | None:
        """What is left out of the map that a step makes; None where it needs the whole of what it is given."""
        if filters := _filter(step, tensors):
            return _both(*(side.through(*each) for side, *each in zip(self._sides[small[0]], *filters, strict=True)))
        others = [p for p in step.places if p in self._shapes and p not in self._sides]
        if step.name not in PIXELWISE and not (step.name in ops.JOINS and step.kwargs.get("dim", step.args[-1]) == 1):
            return None
        if any(prod(self._shapes[p][2:]) > 1 for p in others):  # a whole map, or none with pixels
            return None
        own: Sides | None = self._sides[small[0]]
        for p in small[1:]:
            own = _both(*(a.beside(b) for a, b in zip(own, self._sides[p], strict=True))) if own else None
        return own

    def _put_back(self, place: Place) -> Place:
        """Where the whole of a map is found."""
        if place not in self._sides:
            return self._now.get(place, place)
        if place not in self._whole:
            back, small = partial(_repeated, *self._sides[place]), self._now.get(place, place)
            self._steps.append(Step(back, (small,), {}, torch.Size()))
            self._whole[place] = Place(len(self._steps) - 1)
        return self._whole[place]


def _both(rows: Side | None, columns: Side | None) -> Sides | None:
    return (rows, columns) if rows and columns else None


def _filter(step: Step, tensors: Mapping[str, Tensor]) -> tuple[tuple[int, int], ...] | None:
    """Size, stride, padding and dilation of a convolution or pooling of maps; None for any other step."""
    if step.name == "conv2d" and len(step.args) == 7:
        _, _, _, stride, padding, dilation, _ = step.args
        size = tuple(tensors[step.args[1].key].shape[2:])
    elif step.name in POOLS:
        given = {**dict(zip(POOLS[step.name], step.args[1:], strict=False)), **step.kwargs}
        size, padding, dilation = given["kernel_size"], given.get("padding", 0), given.get("dilation", 1)
        stride = given.get("stride") or size
        if given.get("ceil_mode"):
            return None
    else:
        return None
    return tuple(map(_pair, (size, stride, padding, dilation)))


def _repeated(rows: Side, columns: Side, x: Tensor) -> Tensor:
    """With copies of the first of the equal rows and columns in the place of the missing ones."""
    for dim, side in ((2, rows), (3, columns)):
        before, there, behind = x.tensor_split((side.first, side.first + 1), dim)
        x = torch.cat([before, there.repeat_interleave(1 + side.missing, dim), behind], dim)
    return x
