"""PHEW: paths with higher edge weights (Patil & Dovrolis 2021)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pabench.plugins import Criterion, ScoreContext, Tensors, kept_count

from ._walks import Steps, Walks
from ._wiring import WiringError, wiring

PATIENCE = 4
"""Walks per weight of the network after which transition probabilities fill what is left of the budget."""


@dataclass(frozen=True, kw_only=True)
class Phew(Criterion):
    """Keep the weights that random walks through the network visit, biased by |w|, until the budget is met.

    Walks alternate: one from an input unit to the output, one from an output unit back; starts are taken in turn
    (section 4). A step from unit i of a layer to its unit j has the probability sum |w_ij| / sum over j' of sum |w_ij'|
    (sums over the kernel), and keeps one weight of the kernel from i to j, by |w| again. Positions of a flattened
    image are equally likely. A unit that feeds several layers goes on to one of them by equal chance; an identity
    shortcut has no weights and is never taken past a layer that has, as in the authors' ResNets.

    Weights count in the order of the visits, so the last walk is cut at the weight that meets the budget: a forward
    one before the output, a backward one before the input. Where 4 walks a weight do not meet it (above some 90 %
    density, where the smallest weights wait for hundreds), the most probable steps among the rest fill it.

    Reference: ShreyasMalakarjunPatil/PHEW at c4a0d40: the probabilities of all steps. Walks are drawn otherwise.
    """

    name = "phew"
    paper = "arXiv:2010.11354"
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0

    def declines(self, ctx: ScoreContext) -> str:
        try:
            found = wiring(ctx.call, ctx.weights, ctx.rest, ctx.input_shape)
            Walks(found, {n: len(w) for n, w in ctx.weights.items()}, {}, {})
        except WiringError as error:
            return str(error)
        return ""

    def prune(self, ctx: ScoreContext, density: float) -> Tensors:
        walks, generator = walks_of(ctx), ctx.generator("walks")
        sizes = [w.numel() for w in ctx.weights.values()]
        total, room = sum(sizes), kept_count(density, sum(sizes))
        visited = torch.zeros(total, dtype=torch.bool)
        pairs = max(32, min(8192, total // 128))
        for number in range(0, max(PATIENCE * total, 10_000) // 2, pairs):
            if not room:
                break
            weights = walks.draw(number, pairs, generator)
            fresh = _first_visits(weights[~visited[weights]])[:room]
            visited[fresh] = True
            room -= len(fresh)
        if room:
            rest = (_probability(walks, total) - 2.0 * visited).argsort(descending=True, stable=True)
            visited[rest[:room]] = True
        parts = visited.split(sizes)
        return {n: part.view_as(w).to(w.device) for (n, w), part in zip(ctx.weights.items(), parts, strict=True)}


def walks_of(ctx: ScoreContext) -> Walks:
    """Walks of both directions through the network; WiringError where units and their links are not defined."""
    found = wiring(ctx.call, ctx.weights, ctx.rest, ctx.input_shape)
    forward: dict[str, Steps] = {}
    reverse: dict[str, Steps] = {}
    start = 0
    for name, w in ctx.kept.items():
        index = torch.arange(start, start + w.numel()).view(w.shape)
        start += w.numel()
        for steps, backwards in ((forward, False), (reverse, True)):
            taken = by_step(index, found.groups[name], reverse=backwards)
            steps[name] = Steps(transitions(w, found.groups[name], reverse=backwards), taken, found.groups[name])
    return Walks(found, {n: len(w) for n, w in ctx.weights.items()}, forward, reverse)


def transitions(weight: Tensor, groups: int = 1, *, reverse: bool = False) -> Tensor:
    """Probability (near unit, far unit of its group, kernel) of each step through a layer, 1 in all for a near unit.

    Forward from input to output units, in reverse from output to input units. Where all weights of a unit are 0 its
    steps are equally likely.
    """
    w = by_step(weight.detach().abs().double().cpu(), groups, reverse=reverse)
    total = w.sum((1, 2), keepdim=True)
    return torch.where(total > 0, w / torch.where(total > 0, total, 1), 1 / w[0].numel())


def by_step(tensor: Tensor, groups: int, *, reverse: bool) -> Tensor:
    """A tensor (out, in of a group, *kernel) as (near unit, far unit of its group, kernel)."""
    tensor = tensor.reshape(groups, len(tensor) // groups, tensor.shape[1], -1)
    return (tensor if reverse else tensor.transpose(1, 2)).flatten(0, 1)


def _first_visits(weights: Tensor) -> Tensor:
    """Each weight once, in the order of its first visit."""
    values, order = weights.sort(stable=True)
    new = torch.ones_like(values, dtype=torch.bool)
    new[1:] = values[1:] != values[:-1]
    return weights[order[new].sort().values]


def _probability(walks: Walks, total: int) -> Tensor:
    """Of each weight, the mean probability of its step forward and in reverse."""
    found = torch.zeros(total, dtype=torch.float64)
    for steps in [*walks.forward.values(), *walks.reverse.values()]:
        found[steps.weights.flatten()] += steps.chances.flatten() / 2
    return found
