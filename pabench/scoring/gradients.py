"""One gradient for several who need the very same one: criteria of one block, and the norm of the dense network's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pabench import registry
from pabench.networks.network import Tensors
from pabench.scoring.meter import clock
from pabench.scoring.parts import Batch, Parted
from pabench.suite.cell import Cell
from pabench.suite.digest import digest


@dataclass(frozen=True)
class Asked:
    """All that a gradient depends on: the network (`call` with `rest`), images, weights, and what scales the loss."""

    call: Callable[[Tensors, Tensor], Tensor]
    rest: Tensors
    batches: Sequence[Batch]
    weights: Tensors
    temperature: float
    share: float

    def same(self, other: Asked) -> bool:
        scaled = (self.temperature, self.share) == (other.temperature, other.share)
        return (
            scaled
            and self.call == other.call
            and self.rest.keys() == other.rest.keys()
            and all(t is other.rest[n] for n, t in self.rest.items())
            and self.weights.keys() == other.weights.keys()
            and all(torch.equal(w, other.weights[n]) for n, w in self.weights.items())
            and _same_images(self.batches, other.batches)
        )


@dataclass
class Taken:
    """The first gradient that was taken, lent to all who ask for the very same one; others are taken as ever.

    `seconds` is what it took, `peak_bytes` the memory of the scoring that took it, and `lent` how often it was lent.
    """

    seconds: float = 0.0
    peak_bytes: int = 0
    lent: int = 0
    _asked: Asked | None = None
    _gradient: Tensors = field(default_factory=dict)

    def of(self, asked: Asked, take: Callable[[], Tensors]) -> Tensors:
        """The gradient that is asked for; `take` computes it."""
        if self._asked is not None and self._asked.same(asked):
            self.lent += 1
            return dict(self._gradient)
        device = next(iter(asked.weights.values())).device
        before, began = _random_state(device), clock(device)
        found = take()
        seconds = clock(device) - began
        # with random numbers of a network's own no two are the same
        if self._asked is None and all(map(torch.equal, before, _random_state(device))):
            self.seconds, self._asked, self._gradient = seconds, asked, dict(found)
        return found


def by_criterion(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells of each criterion: of one task they differ in their sparsity alone."""
    found: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        found[digest(cell.criterion.identity() if cell.criterion else None)].append(cell)
    return list(found.values())


def shares_gradient(cell: Cell) -> bool:
    """Whether it is scored once by a gradient that other criteria may need, too. Never one of others: it may change
    what it is given."""
    rule = cell.criterion
    if rule is None or rule.donor or rule.args.get("steps") != 1 or cell.ablation == "shuffle":
        return False
    known, name = registry.at_hand("criteria"), rule.name.partition("@")[0]
    return name in known.built_in and known.classes[name].first_order  # type: ignore[attr-defined]


def _same_images(one: Sequence[Batch], other: Sequence[Batch]) -> bool:
    """Those that come in parts are not read for it: they are the same where they were given as the same."""
    if len(one) != len(other) or isinstance(one, Parted) != isinstance(other, Parted):
        return False
    if isinstance(one, Parted) and isinstance(other, Parted):
        alike = (one.at_once, one.own_statistics) == (other.at_once, other.own_statistics)
        return alike and all(a is b for a, b in zip(one.given, other.given, strict=True))
    return all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(one, other, strict=True))


def _random_state(device: torch.device) -> list[Tensor]:
    own = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *own]
