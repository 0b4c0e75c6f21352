"""What a run of a network has written down: which channels of which tensors and weights belong together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


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
    decides: bool = False
    """Whether the network has made a number of a tensor, as where it decides by its values what it does."""
    _same: list[int] = field(default_factory=list)

    def fresh(self, count: int) -> Tensor:
        start = len(self._same)
        self._same.extend(range(start, start + count))
        return torch.arange(start, start + count)

    def along(self, name: str, dim: int, size: int) -> Tensor:
        if (name, dim) not in self.units:
            self.units[name, dim] = self.fresh(size)
        return self.units[name, dim]

    def missed(self, names: Iterable[str]) -> list[str]:
        """Those of some weights that no operation has used."""
        return [name for name in names if (name, 0) not in self.units and name not in self.elsewhere]

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
