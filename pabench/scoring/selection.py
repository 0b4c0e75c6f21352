"""From scores to masks: how many weights each round and each layer keeps, and exactly which ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pabench.errors import PluginError
from pabench.networks.network import Tensors
from pabench.scoring.allocation import ALLOCATIONS, AS, fitted, lamp, layer_counts, whole

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
    exponential = schedule == "exponential"
    return [*(density**f if exponential else 1 - (1 - density) * f for f in fractions), density]


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
    refuse_nan(scores)
    if lowest:  # turned by its sign: a reciprocal would make zeros infinite, and v / v^2 makes them NaN
        scores = {n: -s for n, s in scores.items()}
    if allocation == "global":
        return _ranked(scores, kept, within)
    capacity = {n: int(within[n].sum()) if within else s.numel() for n, s in scores.items()}
    if allocation in ALLOCATIONS:
        counts = layer_counts(allocation, {n: tuple(s.shape) for n, s in scores.items()}, capacity, kept)
    elif allocation == "lamp" and weights:
        counts = _lamp_counts(weights, kept, within)
    elif allocation.startswith(AS) and layers:
        counts = whole(fitted({n: layers[n] for n in scores}, capacity, kept), capacity, kept)
    else:
        raise PluginError(f"allocation {allocation!r} cannot be used here; it is known to a cell and to pabench.prune")
    return _layer_by_layer(scores, counts, within)


def refuse_nan(scores: Tensors) -> None:
    """PluginError where scores have no order, by their layer and number."""
    for name, s in scores.items():
        if s.sum().isnan() and (nan := int(s.isnan().sum())):  # a sum is cheap, and infinities of both signs rare
            raise PluginError(
                f"{name}: {nan} of {s.numel()} scores are not a number: a derivative has no value there, or a number "
                "overflows; other images or another initialization may help"
            )


def _lamp_counts(weights: Tensors, kept: int, within: Mapping[str, Tensor] | None) -> dict[str, int]:
    """How many weights of each layer are among the `kept` highest LAMP scores of all."""
    flat = {n: lamp(w, within[n] if within else None) for n, w in weights.items()}
    best = select({n: s.view_as(weights[n]) for n, s in flat.items()}, kept, within=within)
    return {n: int(m.sum()) for n, m in best.masks.items()}


def _layer_by_layer(scores: Tensors, counts: Mapping[str, int], within: Mapping[str, Tensor] | None) -> Selection:
    """The highest scores of each layer."""
    chosen = {n: _ranked({n: s}, counts[n], within and {n: within[n]}) for n, s in scores.items()}
    masks = {n: layer.masks[n] for n, layer in chosen.items()}
    # A tie only matters where it divides equals: layers that keep or drop all their tied weights do not count.
    divided = [layer for layer in chosen.values() if layer.tied > layer.kept_of_tied]
    return Selection(masks, sum(layer.tied for layer in divided), sum(layer.kept_of_tied for layer in divided))


def _ranked(scores: Tensors, k: int, within: Mapping[str, Tensor] | None) -> Selection:
    """The k highest scores of all layers together, ties by index, exactly k ones."""
    if within and all(bool(m.all()) for m in within.values()):
        within = None  # nothing is pruned yet, and nothing need be picked out
    live = {n: m.bool() for n, m in within.items()} if within else {}
    left = sum(int(m.sum()) for m in live.values()) if within else sum(s.numel() for s in scores.values())
    if k > left:
        raise PluginError(f"{k} weights asked for, {left} are left to choose from")
    if not k:
        return Selection({n: torch.zeros_like(s, dtype=torch.bool) for n, s in scores.items()}, 0, 0)
    if isinstance(scores, Scores) and not within:
        threshold = scores.order[left - k]
        above = left - int(torch.searchsorted(scores.order, threshold, right=True))
        tied = left - above - int(torch.searchsorted(scores.order, threshold))
    else:
        values = torch.cat([s[live[n]] if within else s.flatten() for n, s in scores.items()])
        threshold = kth_highest(values, k)
        above, tied = int((values > threshold).count_nonzero()), int((values == threshold).count_nonzero())
    masks = {n: (s >= threshold) & live[n] if within else s >= threshold for n, s in scores.items()}
    if above + tied > k:
        _drop_last(masks, {n: (s == threshold) & masks[n] for n, s in scores.items()}, k - above)
    return Selection(masks, tied, k - above)


def _drop_last(masks: Tensors, equals: Tensors, kept: int) -> None:
    """Of what is equal leave the first `kept`, in the order of the parameters and then of the index."""
    for n, equal in equals.items():
        places = equal.flatten().nonzero().flatten()
        masks[n].view(-1)[places[kept:]] = False
        kept = max(0, kept - len(places))


class Scores(Tensors):
    """Scores by parameter name that know their `order`: one sorting serves all densities and a receipt's statistics."""

    @cached_property
    def order(self) -> Tensor:
        """All scores in rising order."""
        flat = torch.cat([s.flatten() for s in self.values()])
        if flat.device.type != "cpu":
            return flat.sort().values
        flat.numpy().sort()  # in place, and many times faster than torch's on the CPU
        return flat


MANY = 2**20
"""So many values are looked at in a sample first."""
SAMPLED = 2**15


def kth_highest(values: Tensor, k: int) -> Tensor:
    """The k-th highest value; on the CPU by numpy's partition, which is several times faster than kthvalue.

    Of many values those are left out that a sample shows to be too high or too low, as long as the counts agree.
    """
    position = values.numel() - k
    if values.device.type != "cpu":
        return values.sort().values[position]  # kthvalue has one block of a GPU at work
    flat = values.numpy()
    if values.numel() >= MANY:
        sample = np.sort(flat[:: values.numel() // SAMPLED])
        at, margin = position * len(sample) // values.numel(), 4 * math.isqrt(len(sample))
        low, high = sample[max(0, at - margin)], sample[min(len(sample) - 1, at + margin)]
        below, near = int(np.count_nonzero(flat < low)), flat[(flat >= low) & (flat <= high)]
        if below <= position < below + len(near):
            flat, position = near, position - below
    return torch.as_tensor(np.partition(flat, position)[position])


def picked(values: Tensor, mask: Tensor) -> Tensor:
    """`values[mask]`; on the CPU by numpy, which is three times faster."""
    return torch.from_numpy(values.numpy()[mask.numpy()]) if values.device.type == "cpu" else values[mask]


def places(values: Tensor) -> Tensor:
    """Where the values of a flat tensor are not 0."""
    on_cpu = values.device.type == "cpu"
    return torch.from_numpy(np.flatnonzero(values.numpy())) if on_cpu else values.nonzero().flatten()
