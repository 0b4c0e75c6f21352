"""From scores to masks: how many weights each round and each layer keeps, and exactly which ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from pabench.allocation import AS, Allocation, fitted, lamp, layer_counts, whole
from pabench.errors import PluginError

__all__ = ["Allocation", "Schedule", "Selection", "Tensors", "kept_count", "round_densities", "select"]

T = TypeVar("T")
Tensors = dict[str, Tensor]
Schedule = Literal["exponential", "linear"]


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
    weights: Tensors | None = None,
    layers: Mapping[str, int] | None = None,
) -> Selection:
    """Keep the `kept` highest scores (or the `lowest`), over all layers at once or by a layer allocation.

    Only weights `within` a mask can stay: a signed score of a pruned weight (0) must not outrank a live negative one.
    Equal scores are taken in the order of the parameters, then of the index. The allocation `lamp` asks for the
    `weights`, one that begins with `as:` for the numbers of weights that the other criterion keeps in the `layers`.
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
    capacity = {n: int(within[n].sum()) if within else s.numel() for n, s in scores.items()}
    if allocation == "lamp":
        counts = _lamp_counts(_given(weights, allocation), kept, within)
    elif allocation.startswith(AS):
        wanted = _given(layers, allocation)
        counts = whole(fitted({n: wanted[n] for n in scores}, capacity, kept), capacity, kept)
    else:
        counts = layer_counts(allocation, {n: tuple(s.shape) for n, s in scores.items()}, capacity, kept)
    chosen = {
        n: _keep_highest(s.flatten(), counts[n], within[n].flatten().bool() if within else None)
        for n, s in scores.items()
    }
    masks = {n: keep.view_as(scores[n]) for n, (keep, _, _) in chosen.items()}
    # A tie only matters where it divides equals: layers that keep or drop all their tied weights do not count.
    divided = [(tied, part) for _, tied, part in chosen.values() if tied > part]
    return Selection(masks, sum(t for t, _ in divided), sum(p for _, p in divided))


def _given(value: T | None, allocation: str) -> T:
    if value is None:
        raise PluginError(f"allocation {allocation!r} cannot be used here; it is known to a cell and to pabench.prune")
    return value


def _lamp_counts(weights: Tensors, kept: int, within: Mapping[str, Tensor] | None) -> dict[str, int]:
    """How many weights of each layer are among the `kept` highest LAMP scores of all."""
    flat = {n: lamp(w, within[n] if within else None) for n, w in weights.items()}
    best = select({n: s.view_as(weights[n]) for n, s in flat.items()}, kept, within=within)
    return {n: int(m.sum()) for n, m in best.masks.items()}


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
