"""Random walks along the wiring of a network, thousands at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ._wiring import INPUT, Wiring, WiringError


@dataclass(frozen=True)
class Steps:
    """Steps through one layer: `chances` (near, far in its group, kernel) add up to 1 for each near unit.

    `weights` of the same shape says which weight of the network each step takes.
    """

    chances: Tensor
    weights: Tensor
    groups: int

    def draw(self, unit: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """(weight, far unit) of walks at near units, by numbers in [0, 1)."""
        # unit + chance must round below unit + 1, the next unit's row: float64 near 10^5 is rounded by 1e-11
        found = torch.searchsorted(self._keys, unit + chance.clamp(max=1 - 1e-9), right=True)
        found = found.clamp(max=self._keys.numel() - 1)
        near, far, kernel = self.chances.shape
        group = unit // (near // self.groups)
        return self.weights.flatten()[found], group * far + found % (far * kernel) // kernel

    @cached_property
    def _keys(self) -> Tensor:
        """Row r of the cumulative chances lies in (r, r + 1], so one search serves walks at all units."""
        cumulative = self.chances.flatten(1).cumsum(1)
        return (cumulative / cumulative[:, -1:] + torch.arange(len(cumulative)).unsqueeze(1)).flatten()


@dataclass(frozen=True)
class Fork:
    """Where walks go on from each unit: to one of the open layers, then to one of its units, by equal chance."""

    layers: Sequence[str]
    open: Tensor
    """(layer, unit), bool."""
    far: Tensor
    first: Tensor
    count: Tensor
    """In layer i, a unit u leads to the units far[first[i, u] : first[i, u] + count[i, u]]."""

    @classmethod
    def along(cls, edges: Mapping[str, tuple[Tensor, Tensor]], units: int, passes: Callable[[str, str], bool]) -> Fork:
        """By the `edges` (near units, far units of a layer) that lead to each layer.

        Of each layer are open the units that lead to it and to no other one from which a walk still `passes` it.
        """
        layers = list(edges)
        far = [to[near.argsort(stable=True)] for near, to in edges.values()]
        count = torch.zeros(len(layers), units, dtype=torch.long)
        for row, (near, _) in zip(count, edges.values(), strict=True):
            row += torch.bincount(near, minlength=units)
        open_ = count > 0
        for i, layer in enumerate(layers):
            before = [passes(other, layer) for other in layers]
            open_[i] &= ~(count[before] > 0).any(0)
        first = (count.flatten().cumsum(0) - count.flatten()).view_as(count)
        return cls(layers, open_, torch.cat(far) if far else count.flatten(), first, count)

    def draw(self, unit: Tensor, chance: Tensor, second: Tensor) -> list[tuple[str, Tensor, Tensor]]:
        """(layer, indices into `unit`, units of that layer); walks at units without an open layer end."""
        if not self.layers:
            return []
        ranks = self.open.cumsum(0)[:, unit]
        chosen = (ranks > (chance * ranks[-1]).long()) & self.open[:, unit]
        which = torch.where(ranks[-1] > 0, chosen.int().argmax(0), -1)
        found = []
        for i, layer in enumerate(self.layers):
            walks = (which == i).nonzero().flatten()
            at = unit[walks]
            spot = self.first[i, at] + (second[walks] * self.count[i, at]).long()
            found.append((layer, walks, self.far[spot]))
        return found

    def leads(self) -> list[tuple[str, int]]:
        """All (layer, unit) that it leads to, in the order of its own units."""
        found = []
        for unit, i in self.open.T.nonzero().tolist():
            first, count = int(self.first[i, unit]), int(self.count[i, unit])
            found += [(self.layers[i], u) for u in self.far[first : first + count].tolist()]
        return found


class Walks:
    """Walks from the input to the output and back, by the steps given for each layer in each direction.

    `units` are how many output units each layer has.

    A unit that feeds several layers leads to those that no other of them leads to, so that no walk takes an identity
    past a layer; backwards likewise. WiringError where a unit leads nowhere or comes from nowhere.
    """

    def __init__(
        self, wiring: Wiring, units: Mapping[str, int], forward: Mapping[str, Steps], reverse: Mapping[str, Steps]
    ) -> None:
        self.layers = list(wiring.feeds)
        self.forward, self.reverse = forward, reverse
        self._units = {INPUT: 1, **units}
        self._before: dict[str, set[str]] = {INPUT: set()}
        for layer, sources in wiring.feeds.items():
            self._before[layer] = set(sources).union(*(self._before[s] for s in sources))
        self.onward = {a: self._onward(a, wiring) for a in [INPUT, *self.layers]}
        self.back = {b: self._back(b, sources) for b, sources in wiring.feeds.items()}
        self.starts = self.onward[INPUT].leads()
        self.ends = self._back("the output", wiring.outputs).leads()

    def draw(self, number: int, walks: int, generator: torch.Generator) -> Tensor:
        """The weights that `walks` pairs of walks visit, forward and backward in turn, in the order of the visits.

        `number` pairs were drawn before: starts are taken in turn.
        """
        turns = range(number, number + walks)
        there = self._walk([self.starts[i % len(self.starts)] for i in turns], generator, reverse=False)
        back = self._walk([self.ends[i % len(self.ends)] for i in turns], generator, reverse=True)
        both = torch.stack([there, back], 1).flatten()
        return both[both >= 0]

    def _walk(self, starts: Sequence[tuple[str, int]], generator: torch.Generator, *, reverse: bool) -> Tensor:
        """(walk, step) of weights, -1 after the end of a walk."""
        visits = torch.full((len(starts), len(self.layers)), -1)
        length = torch.zeros(len(starts), dtype=torch.long)
        arrivals: dict[str, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in [INPUT, *self.layers]}
        for layer in {layer for layer, _ in starts}:
            here = [(walk, unit) for walk, (b, unit) in enumerate(starts) if b == layer]
            arrivals[layer].append((torch.tensor([w for w, _ in here]), torch.tensor([u for _, u in here])))
        for layer in reversed(self.layers) if reverse else self.layers:
            if not arrivals[layer]:
                continue
            walk, unit = (torch.cat(parts) for parts in zip(*arrivals[layer], strict=True))
            chance = torch.rand(3, len(walk), generator=generator, dtype=torch.float64)
            weight, far = (self.reverse if reverse else self.forward)[layer].draw(unit, chance[0])
            visits[walk, length[walk]] = weight
            length[walk] += 1
            for target, some, units in (self.back if reverse else self.onward)[layer].draw(far, chance[1], chance[2]):
                arrivals[target].append((walk[some], units))
        return visits

    def _onward(self, layer: str, wiring: Wiring) -> Fork:
        """From the output units of a layer to the input units of those that it feeds."""
        edges = {b: _edges(sources[layer])[::-1] for b, sources in wiring.feeds.items() if layer in sources}
        units = self._units[layer]
        fork = Fork.along(edges, units, lambda a, b: a in self._before[b])
        leads = fork.open.any(0)
        if layer in wiring.outputs:
            leads[_edges(wiring.outputs[layer])[1]] = True
        if idle := int((~leads).sum()):
            raise WiringError(f"{idle} of {units} units of {layer or 'the input'} lead nowhere (a gate is no path)")
        return fork

    def _back(self, layer: str, sources: Mapping[str, Tensor]) -> Fork:
        """From the input units of a layer to the output units of those that feed it."""
        units = next((f.numel() for f in sources.values()), 0)
        fork = Fork.along({a: _edges(f) for a, f in sources.items()}, units, lambda b, a: a in self._before[b])
        if not units or not fork.open.any(0).all():
            raise WiringError(f"some units of {layer} come from nowhere")
        return fork


def _edges(feed: Tensor) -> tuple[Tensor, Tensor]:
    """Units that are fed, and the units that feed them."""
    fed = (feed >= 0).nonzero().flatten()
    return fed, feed[fed]
