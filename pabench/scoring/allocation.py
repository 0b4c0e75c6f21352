"""How many weights each layer keeps: layer allocations, which go with any score.

An allocation wants a number of weights for each layer, from the shapes (out, in, *kernel) of all of them and the
number that stays. Whatever it wants, the total is met: a layer that cannot take its share is kept whole and the others
share what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import StringConstraints
from torch import Tensor

from pabench.suite.cell import NAME

Shapes = dict[str, Sequence[int]]
Shares = dict[str, float]
"""Weights of each layer, before rounding to whole ones."""
Rule = Callable[[Shapes, float], Shares]
AS = "as:"
"""What an allocation begins with that is taken over from another criterion: `as:synflow`, `as:grasp@official`."""
Named = Literal[
    "global", "uniform", "er", "erk", "balanced", "igq", "uniform_plus", "smart_ratio", "smart_ratio_vgg", "lamp"
]
Allocation = Named | Annotated[str, StringConstraints(pattern=f"^{AS}{NAME.pattern}(@{NAME.pattern})?$")]


# --- What the allocations want, by shape ------------------------------------------------------------------------------


def uniform(shapes: Shapes, kept: float) -> Shares:
    """The same density in every layer."""
    return {n: float(math.prod(shape)) for n, shape in shapes.items()}


def er(shapes: Shapes, kept: float) -> Shares:
    """Erdos-Renyi: density by (n_in + n_out) / (n_in n_out) (Mocanu et al. 2018, arXiv:1707.04780, eq. 2)."""
    return {n: math.prod(shape) * (shape[0] + shape[1]) / (shape[0] * shape[1]) for n, shape in shapes.items()}


def erk(shapes: Shapes, kept: float) -> Shares:
    """Erdos-Renyi-kernel: the kernel's sides count as well (Evci et al. 2020, arXiv:1911.11134, section 3)."""
    return {n: float(sum(shape)) for n, shape in shapes.items()}


def balanced(shapes: Shapes, kept: float) -> Shares:
    """The same number of weights in every layer, whatever its size."""
    return dict.fromkeys(shapes, 1.0)


def uniform_plus(shapes: Shapes, kept: float) -> Shares:
    """`uniform`; a first convolution stays whole, a last layer has at least 0.2 (Gale et al. 2019, arXiv:1902.09574).

    Where the two alone are more than all that stays, they share it;
    public code answers with negative densities.
    """
    return uniform(shapes, kept)


def smart_ratio(shapes: Shapes, kept: float) -> Shares:
    """Density of layer l of L by k^2 + k, k = L - l + 1; 0.3 of a linear classifier (Su et al. 2020, arXiv:2009.11094).

    What their code does on ResNets (the text could not be seen). Where 0.3 of the classifier is more than all that
    stays, which the code answers with negative densities, the classifier follows the formula like any layer. A layer
    that overflows passes the rest on to all others; in the code, to the next.
    """
    from_last = {n: k for k, n in enumerate(reversed(shapes), 1)}
    return {n: float(math.prod(shape) * (from_last[n] ** 2 + from_last[n])) for n, shape in shapes.items()}


def smart_ratio_vgg(shapes: Shapes, kept: float) -> Shares:
    """`smart_ratio` with density by (k^2 + k) / l^2: what its code does on networks that are no ResNet."""
    return {n: share / layer**2 for layer, (n, share) in enumerate(smart_ratio(shapes, kept).items(), 1)}


def igq(shapes: Shapes, kept: float) -> Shares:
    """Ideal gas quotas: density 1 / (F n + 1) of n weights, F by the total (Vysogorets & Kempe 2021, arXiv:2107.02306).

    The formula is that of their code. No layer keeps more than 1 / F, so F is at most the number of layers / `kept`:
    it is found by bisection.
    """
    sizes = [math.prod(shape) for shape in shapes.values()]
    low, high = 0.0, len(sizes) / kept if kept else 1.0
    for _ in range(200):  # bisection has no bit left to halve long before
        force = (low + high) / 2
        low, high = (force, high) if sum(n / (force * n + 1) for n in sizes) > kept else (low, force)
    return {name: n / (high * n + 1) for name, n in zip(shapes, sizes, strict=True)}


def _ends(shapes: Shapes, kept: float) -> Shares:
    """A whole first convolution, and 0.2 of the last layer where it would keep less."""
    sizes, (first, *_, last) = uniform(shapes, kept), [*shapes, *shapes]
    reserved = {first: sizes[first]} if len(shapes[first]) > 2 else {}
    left, rest = kept - sum(reserved.values()), sum(sizes.values()) - sum(reserved.values())
    if last not in reserved and left < 0.2 * rest:
        reserved[last] = 0.2 * sizes[last]
    return reserved


def _classifier(shapes: Shapes, kept: float) -> Shares:
    """0.3 of a last layer that is linear, where that is not more than all that stays."""
    last = list(shapes)[-1]
    quota = 0.3 * math.prod(shapes[last])
    return {last: quota} if len(shapes) > 1 and len(shapes[last]) == 2 and quota <= kept else {}


ALLOCATIONS: dict[str, Rule] = {
    rule.__name__: rule for rule in (uniform, er, erk, balanced, igq, uniform_plus, smart_ratio, smart_ratio_vgg)
}
RESERVED: dict[str, Rule] = {"uniform_plus": _ends, "smart_ratio": _classifier, "smart_ratio_vgg": _classifier}
"""Layers that get a number of weights before the others share what is left."""


# --- Meeting the total ------------------------------------------------------------------------------------------------


def layer_shares(allocation: str, shapes: Shapes, capacity: Mapping[str, int], kept: float) -> Shares:
    """How many of `kept` weights each layer gets, before rounding.

    A layer whose share exceeds its `capacity` gets the capacity and the others share what is left, so that the total
    is met (capping without redistribution asks for 50 % of a ResNet-18 and yields 38.9 %).

    >>> layer_shares("erk", {"wide": (100, 100), "narrow": (5, 5)}, {"wide": 10_000, "narrow": 25}, 1002.5)
    {'wide': 977.5, 'narrow': 25.0}
    """
    wanted = ALLOCATIONS[allocation](shapes, kept)
    reserved = RESERVED[allocation](shapes, kept) if allocation in RESERVED else {}
    held = {n: min(quota, capacity[n]) for n, quota in reserved.items()}
    others = {n: share for n, share in wanted.items() if n not in held}
    room = sum(capacity[n] for n in others)
    first = min(kept, max(sum(held.values()), kept - room))
    shares = fitted(held, capacity, first) | fitted(others, capacity, kept - first)
    return {n: shares[n] for n in shapes}


def fitted(wanted: Mapping[str, float], capacity: Mapping[str, int], kept: float) -> Shares:
    """Shares in proportion to what is wanted, none above its capacity, `kept` in all.

    Where only layers are left that want nothing, they share the rest by capacity.
    """
    shares: Shares = {}
    while len(shares) < len(wanted):
        relative = {n: share for n, share in wanted.items() if n not in shares}
        if not sum(relative.values()):
            relative = {n: float(capacity[n]) for n in relative}
        left, total = kept - sum(shares.values()), sum(relative.values())
        scale = left / total if left > 0 and total else 0.0
        full = {n: float(capacity[n]) for n in relative if scale * relative[n] > capacity[n]}
        shares.update(full or {n: scale * share for n, share in relative.items()})
    return {n: shares[n] for n in wanted}


def layer_counts(allocation: str, shapes: Shapes, capacity: Mapping[str, int], kept: int) -> dict[str, int]:
    """`layer_shares` in whole weights: the counts add up to exactly `kept`."""
    return whole(layer_shares(allocation, shapes, capacity, kept), capacity, kept)


def whole(shares: Shares, capacity: Mapping[str, int], kept: int) -> dict[str, int]:
    """Shares of `kept` weights as whole ones, by largest remainder."""
    # A share of 3 that arithmetic made 2.9999999999 is a whole one, and not one that waits for its remainder.
    counts = {n: min(math.floor(share + 1e-9), capacity[n]) for n, share in shares.items()}
    room = [n for n in counts if counts[n] < capacity[n]]
    for n in sorted(room, key=lambda n: counts[n] - shares[n])[: kept - sum(counts.values())]:
        counts[n] += 1
    return counts


# --- By the weights ---------------------------------------------------------------------------------------------------


def lamp(weights: Tensor, alive: Tensor | None = None) -> Tensor:
    """As many as are among the highest of all LAMP scores, at initialization (Lee et al. 2021, arXiv:2010.07611).

    The score of a weight is its square over the sum of the squares in its layer that are not smaller, itself included
    (as their code has it); pruned weights count as 0. Flat, in the order of the tensor; of equal squares the first
    counts as the smallest.
    """
    squares = weights.flatten().square()
    if alive is not None:
        squares = squares * alive.flatten()
    ascending, order = squares.sort(stable=True)
    tail = ascending.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(squares)
    scores[order] = torch.where(tail > 0, ascending / tail, 0.0)
    return scores
