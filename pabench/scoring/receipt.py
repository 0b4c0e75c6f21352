"""What came of a pruning: masks, numbers by which a reader can judge them, and what must be flagged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from pabench.networks.network import Tensors
from pabench.parameters import told
from pabench.scoring.context import ScoreContext
from pabench.scoring.criterion import Criterion
from pabench.scoring.donor import donor_identity
from pabench.scoring.parts import Parted
from pabench.scoring.pattern import CHANNELS
from pabench.scoring.selection import Scores, Selection, kept_count
from pabench.source import source_digest
from pabench.store.verdict import flags


@dataclass(frozen=True)
class Pruned:
    """Masks on the CPU (True = kept), their receipt (plain data), the flags they earn, and the seconds they took.

    The seconds of a one-shot criterion at several densities are its scoring, which they share, and one selection.
    """

    masks: Tensors
    receipt: dict[str, Any]
    flags: list[dict[str, str]]
    seconds: float


def receipted(
    rule: Criterion,
    ctx: ScoreContext,
    density: float,
    doubts: str,
    scores: Scores | None,
    selection: Selection,
    dense: Mapping[str, Any],
    seconds: float,
) -> Pruned:
    """The receipt: numbers by which a reader can judge the mask. `scores` are those of the dense network, if any;
    `dense` is what of its weights no mask touches."""
    masks = {n: m.cpu() for n, m in selection.masks.items()}
    zeros = {n: s.numel() - int(s.count_nonzero()) for n, s in scores.items()} if scores else dict.fromkeys(masks, 0)
    finite = _finite(scores.order) if scores else torch.empty(0)
    layers: list[dict[str, Any]] = [
        {"name": n, "shape": list(m.shape), "total": m.numel(), "kept": int(m.sum()), "zero_scores": zeros[n]}
        for n, m in masks.items()
    ]
    total, kept = sum(layer["total"] for layer in layers), sum(layer["kept"] for layer in layers)
    receipt = {
        "criterion": rule.name,
        "parameters": told(rule),
        "version": rule.version,
        "source": source_digest(type(rule)),
        "dtype": str(next(iter(ctx.weights.values())).dtype).removeprefix("torch."),
        "requested_sparsity": round(1 - density, 12),  # binary noise of 1 - 0.9 is nothing that was asked for
        "sparsity": 1 - kept / total,
        "total": total,
        "kept": kept,
        "tied_at_threshold": selection.tied,
        "kept_of_tied": selection.kept_of_tied,
        "zero_scores": sum(zeros.values()),
        "non_finite_scores": total - len(finite) if scores else 0,
        "rounds": getattr(rule, "steps", 1),
        "layers": layers,
        "dead_layers": [layer["name"] for layer in layers if not layer["kept"]],
        "dense": dict(dense),
        "scores": _quantiles(finite),
        "score_histogram": histogram(finite) if scores else {},
    }
    if getattr(rule, "pattern", "") == CHANNELS:
        receipt["requested"] = kept_count(density, total)
    if isinstance(ctx.batches, Parted):
        receipt["at_once"] = ctx.batches.at_once
    if taken_over := donor_identity(rule):
        receipt["donor"] = taken_over
    doubtful = [{"flag": "doubtful", "detail": doubts}] if doubts else []
    return Pruned(masks, receipt, doubtful + flags(receipt), seconds)


def _quantiles(finite: Tensor) -> dict[str, float]:
    """Five numbers of the finite scores, which are given in rising order."""
    n = finite.numel()
    return {f"{q:g}": float(finite[max(1, math.ceil(q * n)) - 1]) for q in (0, 0.25, 0.5, 0.75, 1)} if n else {}


def _finite(order: Tensor) -> Tensor:
    """Of scores in rising order those that are finite."""
    first, last = _places(order, [-math.inf], right=True), _places(order, [math.inf])
    return order[first[0] : last[0]]


PER_DECADE, DECADES = 4, 24
"""Bins of the histogram: how many a power of ten, and how many powers of ten below the largest score at most."""


def histogram(finite: Tensor) -> dict[str, Any]:
    """How many finite scores of each sign have which size. The scores are given in rising order.

    Bin i holds sizes from 10^(i / 4) to below 10^((i + 1) / 4), on every network: histograms of several seeds add up.
    `first` is the lowest bin of the lists `positive` and `negative`; it also holds what is smaller, where the scores
    span more than 24 powers of ten. `zero` scores are in no bin.

    >>> histogram(torch.tensor([-1.0, 0.0, 1.0, 1.5, 10.0]))
    {'first': 0, 'positive': [2, 0, 0, 0, 1], 'negative': [1, 0, 0, 0, 0], 'zero': 1}
    """
    (below,), (above,) = _places(finite, [0.0]), _places(finite, [0.0], right=True)
    largest = max(float(finite[-1]), -float(finite[0])) if len(finite) else 0.0
    if largest == 0:
        return {"first": 0, "positive": [], "negative": [], "zero": above - below}
    last = math.floor(math.log10(largest) * PER_DECADE)
    bins = range(last - PER_DECADE * DECADES, last + 1)
    edges = [10 ** (i / PER_DECADE) for i in bins[1:]]
    positive = _counts([0, *_places(finite[above:], edges), len(finite) - above])
    negative = _counts([0, *(below - at for at in _places(finite[:below], [-e for e in edges], right=True)), below])
    begin = next(i for i in range(len(bins)) if positive[i] or negative[i])
    counts = {"positive": positive[begin:], "negative": negative[begin:]}
    return {"first": bins[begin], **counts, "zero": above - below}


def _places(order: Tensor, values: Sequence[float], right: bool = False) -> list[int]:
    """How many scores in rising order are below each of the values, or at most as large (`right`)."""
    exact = torch.tensor(values, dtype=torch.float64, device=order.device)
    near = exact.to(order.dtype)
    # a narrower type rounds a value: to the next one on the side where no score lies between the two
    wrong, outwards = (near > exact, -math.inf) if right else (near < exact, math.inf)
    near = torch.where(wrong, torch.nextafter(near, torch.full_like(near, outwards)), near)
    found: list[int] = torch.searchsorted(order, near, right=right).tolist()
    return found


def _counts(places: Sequence[int]) -> list[int]:
    return [there - here for here, there in pairwise(places)]
