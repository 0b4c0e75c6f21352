"""From scores to masks: how many weights each round and each layer keeps, and exactly which ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pabench.errors import PluginError

Tensors = dict[str, Tensor]
Shape = Sequence[int]
Schedule = Literal["exponential", "linear"]
Allocation = Literal["global", "uniform", "er", "erk", "balanced"]


def kept_count(density: float, total: int) -> int:
    """N - floor((1 - density) * N): how many of `total` weights stay.

    The product is rounded to 6 decimals first, so that binary noise in `1 - 0.9` does not cost a weight.

    >>> kept_count(1 - 0.9, 10), kept_count(0.9, 10), kept_count(0.1, 4928)
    (1, 9, 493)
    """
    return total - math.floor(round((1 - density) * total, 6))


def round_densities(density: float, steps: int, schedule: Schedule) -> list[float]:
    """Density after each of `steps` rounds; the last one is `density` itself.

    Exponential: d^(t/T) (Tanaka et al. 2020, arXiv:2006.05467, alg. 1). Linear: 1 - (1 - d) t/T.

    >>> round_densities(0.01, 2, "exponential"), round_densities(0.5, 2, "linear")
    ([0.1, 0.01], [0.75, 0.5])
    """
    fractions = [t / steps for t in range(1, steps)]
    if schedule == "exponential":
        earlier = [density**f for f in fractions]
    else:
        earlier = [1 - (1 - density) * f for f in fractions]
    return [*earlier, density]


# --- Layer allocations: the relative density of a layer by its shape (out, in, *kernel) -------------------------------


def _uniform(shape: Shape) -> float:
    """The same density in every layer."""
    return 1.0


def _er(shape: Shape) -> float:
    """Erdos-Renyi: (n_in + n_out) / (n_in n_out) (Mocanu et al. 2018, arXiv:1707.04780, eq. 2)."""
    return (shape[0] + shape[1]) / (shape[0] * shape[1])


def _erk(shape: Shape) -> float:
    """Erdos-Renyi-kernel: the kernel's sides count as well (Evci et al. 2020, arXiv:1911.11134, section 3)."""
    return sum(shape) / math.prod(shape)


def _balanced(shape: Shape) -> float:
    """The same number of weights in every layer, whatever its size."""
    return 1 / math.prod(shape)


ALLOCATIONS: dict[str, Callable[[Shape], float]] = {
    "uniform": _uniform,
    "er": _er,
    "erk": _erk,
    "balanced": _balanced,
}


def layer_shares(allocation: str, shapes: Mapping[str, Shape], capacity: Mapping[str, int], kept: float) -> list[float]:
    """How many of `kept` weights each layer gets, before rounding.

    A layer whose share exceeds its `capacity` gets the capacity and the others share what is left, so that the total
    is met (capping without redistribution asks for 50 % of a ResNet-18 and yields 38.9 %).
    """
    relative = {n: ALLOCATIONS[allocation](shape) * math.prod(shape) for n, shape in shapes.items()}
    shares: dict[str, float] = {}
    while len(shares) < len(shapes):
        free = [n for n in shapes if n not in shares]
        scale = (kept - sum(shares.values())) / sum(relative[n] for n in free)
        full = [n for n in free if scale * relative[n] > capacity[n]]
        shares.update({n: float(capacity[n]) for n in full} or {n: scale * relative[n] for n in free})
    return [shares[n] for n in shapes]


def layer_densities(allocation: str, shapes: Mapping[str, Shape], density: float) -> dict[str, float]:
    """Density of each layer under an allocation, before rounding to whole weights.

    A layer whose share exceeds 1 stays dense and the others share what is left.

    >>> {n: round(d, 3) for n, d in layer_densities("erk", {"wide": (100, 100), "narrow": (5, 5)}, 0.1).items()}
    {'wide': 0.098, 'narrow': 1.0}
    """
    sizes = {n: math.prod(shape) for n, shape in shapes.items()}
    shares = layer_shares(allocation, shapes, sizes, density * sum(sizes.values()))
    return {n: share / sizes[n] for n, share in zip(shapes, shares, strict=True)}


def layer_counts(
    allocation: str, shapes: Mapping[str, Shape], capacity: Mapping[str, int], kept: int
) -> dict[str, int]:
    """`layer_shares` in whole weights, by largest remainder: the counts add up to exactly `kept`."""
    shares = layer_shares(allocation, shapes, capacity, kept)
    counts = [min(math.floor(s + 1e-9), c) for s, c in zip(shares, capacity.values(), strict=True)]
    room = [i for i, c in enumerate(capacity.values()) if counts[i] < c]
    for i in sorted(room, key=lambda i: counts[i] - shares[i])[: kept - sum(counts)]:
        counts[i] += 1
    return dict(zip(shapes, counts, strict=True))


# --- Exact top-k ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """Masks (True = kept) of exactly the asked count, and how many of them a tie decided.

    `tied` weights had the score of the last kept one; `kept_of_tied` of them stayed (lowest index first). Where the
    two differ, the difference between kept and pruned is the order of the parameters and nothing else.
    """

    masks: Tensors
    tied: int
    kept_of_tied: int


def select(
    scores: Tensors,
    kept: int,
    *,
    allocation: str = "global",
    within: Mapping[str, Tensor] | None = None,
    lowest: bool = False,
) -> Selection:
    """Keep the `kept` highest scores (or the `lowest`), over all layers at once or by a layer allocation.

    Only weights `within` a mask can stay: a signed score of a pruned weight (0) must not outrank a live negative one.
    Equal scores are taken in the order of the parameters, then of the index.
    """
    check_scores(scores)
    if lowest:  # turned by its sign: a reciprocal would make zeros infinite, and v / v^2 makes them NaN
        scores = {n: -s for n, s in scores.items()}
    if allocation == "global":
        flat = torch.cat([s.flatten() for s in scores.values()])
        alive = torch.cat([m.flatten() for m in within.values()]).bool() if within else None
        keep, tied, kept_of_tied = _keep_highest(flat, kept, alive)
        parts = keep.split([s.numel() for s in scores.values()])
        masks = {n: part.view_as(s) for (n, s), part in zip(scores.items(), parts, strict=True)}
        return Selection(masks, tied, kept_of_tied)
    shapes = {n: tuple(s.shape) for n, s in scores.items()}
    capacity = {n: int(within[n].sum()) if within else s.numel() for n, s in scores.items()}
    counts = layer_counts(allocation, shapes, capacity, kept)
    layers = {
        n: _keep_highest(s.flatten(), counts[n], within[n].flatten().bool() if within else None)
        for n, s in scores.items()
    }
    masks = {n: keep.view_as(scores[n]) for n, (keep, _, _) in layers.items()}
    # A tie only matters where it divides equals: layers that keep or drop all their tied weights do not count.
    divided = [(tied, part) for _, tied, part in layers.values() if tied > part]
    return Selection(masks, sum(t for t, _ in divided), sum(p for _, p in divided))


def check_scores(scores: Tensors) -> None:
    """Refuse scores that have no order."""
    for name, s in scores.items():
        if nan := int(s.isnan().sum()):
            raise PluginError(f"{name}: {nan} of {s.numel()} scores are not a number")


def _keep_highest(scores: Tensor, k: int, alive: Tensor | None) -> tuple[Tensor, int, int]:
    """(mask, tied, kept of the tied) for the k highest of a flat tensor, ties by index, exactly k ones."""
    keep = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    candidates = alive.nonzero().flatten() if alive is not None else None
    values = scores if candidates is None else scores[candidates]
    if k > values.numel():
        raise PluginError(f"{k} weights asked for, {values.numel()} are left to choose from")
    if k == 0:
        return keep, 0, 0
    threshold = _kth_highest(values, k)
    chosen = values > threshold
    tied = (values == threshold).nonzero().flatten()
    kept_of_tied = k - int(chosen.sum())
    chosen[tied[:kept_of_tied]] = True
    if candidates is None:
        keep = chosen
    else:
        keep[candidates[chosen]] = True
    return keep, tied.numel(), kept_of_tied


def _kth_highest(values: Tensor, k: int) -> Tensor:
    """The k-th highest value; on the CPU by numpy's partition, which is several times faster than kthvalue."""
    position = values.numel() - k
    if values.device.type == "cpu":
        return torch.as_tensor(np.partition(values.detach().numpy(), position)[position])
    return values.kthvalue(position + 1).values
