"""Tasks whose answer is known: ReLU, Circle and Helix of Fischer & Burkholz (ICLR 2022, arXiv:2111.11153).

The networks with a ticket planted in them are `networks.zoo.planted`. The data are drawn here, so that nothing is read
from a disk: inputs uniform in [-1, 1), nine of ten samples for training.
"""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from pabench.data.dataset import Dataset, Regression
from pabench.data.split import Images
from pabench.parameters import NonNegativeFloat, NonNegativeInt
from pabench.suite.digest import canonical

BOUNDS = (0.2, 0.5, 0.7)
"""Of Circle: the squared radii between its four classes."""


@dataclass(frozen=True, kw_only=True)
class Planted(Dataset):
    """`samples` of a function on [-1, 1)^d: inputs float32 (N, d, 1, 1). `path` is not used."""

    groups: ClassVar[int] = 4  # type: ignore[assignment]
    """As in the authors' code, for all tasks: 40 samples to score by, where a criterion asks for 10 a class."""
    samples: Annotated[int, Ge(20)] = 10_000
    noise: NonNegativeFloat = 0.01
    seed: NonNegativeInt = 0
    inputs: ClassVar[int] = 1

    @abstractmethod
    def targets(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """What belongs to inputs, float64 (N, d): classes int64 (N,), or numbers (N, K)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.inputs, 1, 1

    @property
    def mean(self) -> tuple[float, ...]:
        return (0.0,) * self.inputs

    @property
    def std(self) -> tuple[float, ...]:
        return (1.0,) * self.inputs

    def missing(self) -> str:
        return ""

    def fingerprint(self) -> str:
        sha = hashlib.sha256(canonical([self.name, list(self._all.pixels.shape)]).encode())
        sha.update(self._all.pixels.numpy().tobytes())
        sha.update(self._all.labels.numpy().tobytes())
        return sha.hexdigest()

    def train(self) -> Images:
        return self._all.subset(torch.arange(self._held_in))

    def test(self) -> Images:
        return self._all.subset(torch.arange(self._held_in, self.samples))

    @property
    def _held_in(self) -> int:
        return math.ceil(0.9 * self.samples)

    @cached_property
    def _all(self) -> Images:
        """Drawn in float64, in which all machines agree on sines to far more digits than float32 has."""
        generator = torch.Generator().manual_seed(self.seed % 2**63)
        x = 2 * torch.rand(self.samples, self.inputs, generator=generator, dtype=torch.float64) - 1
        y = self.targets(x, generator)
        return Images(x.float()[:, :, None, None], y.float() if y.is_floating_point() else y)

    def _noise(self, count: int, outputs: int, generator: torch.Generator) -> Tensor:
        return self.noise * torch.randn(count, outputs, generator=generator, dtype=torch.float64)


class PlantedReLU(Planted, Regression):
    """max(x, 0) of one number, with normal noise of the standard deviation `noise`."""

    name = "planted_relu"
    outputs = 1

    def targets(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x.clamp(min=0) + self._noise(len(x), 1, generator)


class PlantedHelix(Planted, Regression):
    """A point of a helix that widens as it rises, by one number; normal noise of the standard deviation `noise`."""

    name = "planted_helix"
    outputs = 3

    def targets(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return helix(x[:, 0]) + self._noise(len(x), 3, generator)


class PlantedCircle(Planted):
    """Four classes between concentric circles; a share `noise` of the samples has the second-nearest class."""

    name = "planted_circle"
    classes = 4
    inputs = 2

    def targets(self, x: Tensor, generator: torch.Generator) -> Tensor:
        best = rings(x.square().sum(1)).argsort(dim=1, descending=True)
        moved = torch.rand(len(x), generator=generator, dtype=torch.float64) < self.noise
        return torch.where(moved, best[:, 1], best[:, 0])


def helix(x: Tensor) -> Tensor:
    """(N, 3) in [-1, 1]: (t cos t, t sin t, t) / 8 pi, t from 2 pi to 8 pi as x goes from -1 to 1.

    >>> helix(torch.tensor([-1.0, 1.0])).round(decimals=4).tolist()
    [[0.25, 0.0, 0.25], [1.0, 0.0, 1.0]]
    """
    t = math.pi * (5 + 3 * x)
    return torch.stack([t * t.cos(), t * t.sin(), t], dim=1).div(8 * math.pi).add(0.0)


def rings(r2: Tensor) -> Tensor:
    """(N, 4): by squared radius a line for each class, of which the one whose ring it is is the highest.

    The lines of neighbours cross at `BOUNDS`; each is twice as steep as the one before.

    >>> rings(torch.tensor([0.1, 0.3, 0.6, 0.9])).argmax(1).tolist()
    [0, 1, 2, 3]
    """
    slopes, offsets = ring_lines(5.0)
    return r2[:, None] * torch.tensor(slopes).to(r2) + torch.tensor(offsets).to(r2)


def ring_lines(first: float) -> tuple[list[float], list[float]]:
    """Slopes and offsets of those lines: the `first` slope, then doubled at each bound.

    >>> ring_lines(5.0)
    ([5.0, 10.0, 20.0, 40.0], [0.0, -1.0, -6.0, -20.0])
    """
    slopes, offsets = [first], [0.0]
    for bound in BOUNDS:
        offsets.append(offsets[-1] - slopes[-1] * bound)
        slopes.append(2 * slopes[-1])
    return slopes, offsets
