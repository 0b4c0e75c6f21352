"""Masks that move: weights are dropped, and as many grow elsewhere, so that the count stays exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pabench.training.sparse.method import Held

Layers = Literal["kept", "free"]
"""Whether each layer keeps its density, or weights move between layers."""


@dataclass(frozen=True)
class Group:
    """Layers between which weights may move, as one row of numbers: `names` of them, and how many are kept of all."""

    names: Sequence[str]
    kept: int

    def row(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The group's tensors one after another, shape (n,)."""
        return torch.cat([tensors[name].reshape(-1) for name in self.names])

    def layers(self, row: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A row as the tensors of its layers, by name."""
        parts = row.split([like[name].numel() for name in self.names])
        return {name: part.view(like[name].shape) for name, part in zip(self.names, parts, strict=True)}


def groups(held: Held, layers: Layers) -> list[Group]:
    """Each layer by itself where densities are `kept`, all of them together where they are `free`."""
    if layers == "kept":
        return [Group([name], kept) for name, kept in held.kept.items()]
    return [Group(list(held.kept), sum(held.kept.values()))]


def highest(scores: Tensor, among: Tensor, count: int | Tensor) -> Tensor:
    """Which `count` have the highest scores of those that are true in `among`, bool (n,); of equal ones the first.

    Nothing waits for the device, and any number counts as some score, so that the count is exact.

    >>> highest(torch.tensor([3.0, 9.0, 5.0, 5.0]), torch.tensor([True, False, True, True]), 1).tolist()
    [False, False, True, False]
    """
    finite = scores.nan_to_num()
    order = finite.masked_fill(~among, -torch.inf).argsort(descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return among & (place < count)


@torch.no_grad()
def exchange(held: Held, group: Group, dropped: Tensor, attraction: Tensor) -> None:
    """Prune the `dropped` weights of a group, and let as many grow that attract most.

    What was dropped may grow again in the same moment, and is then what it was; what is new is 0 and without momentum
    (the official code of RigL, `_get_update_op` in rigl/sparse_optimizers_base.py).
    """
    kept = group.row(held.masks).bool()
    stay = kept & ~dropped
    grown = highest(attraction, ~stay, dropped.sum())
    new = group.layers(grown & ~kept, held.weights)
    for name, mask in group.layers(stay | grown, held.weights).items():
        held.masks[name].copy_(mask)
        held.optimizer.reset(held.weights[name], new[name])
