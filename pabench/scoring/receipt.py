"""What came of a pruning: masks, numbers by which a reader can judge them, and what must be flagged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from pabench.networks.network import Tensors
from pabench.scoring.context import ScoreContext
from pabench.scoring.criterion import Criterion
from pabench.scoring.donor import donor_identity
from pabench.scoring.selection import Selection
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
    scores: Tensors | None,
    selection: Selection,
    dense: Mapping[str, Any],
    seconds: float,
) -> Pruned:
    """The receipt: numbers by which a reader can judge the mask. `scores` are those of the dense network, if any;
    `dense` is what of its weights no mask touches."""
    masks = {n: m.cpu() for n, m in selection.masks.items()}
    zeros = {n: int((s == 0).sum()) for n, s in scores.items()} if scores else dict.fromkeys(masks, 0)
    layers: list[dict[str, Any]] = [
        {"name": n, "shape": list(m.shape), "total": m.numel(), "kept": int(m.sum()), "zero_scores": zeros[n]}
        for n, m in masks.items()
    ]
    total, kept = sum(layer["total"] for layer in layers), sum(layer["kept"] for layer in layers)
    receipt = {
        "criterion": rule.name,
        "parameters": asdict(rule),
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
        "non_finite_scores": sum(int((~s.isfinite()).sum()) for s in scores.values()) if scores else 0,
        "rounds": getattr(rule, "steps", 1),
        "layers": layers,
        "dead_layers": [layer["name"] for layer in layers if not layer["kept"]],
        "dense": dict(dense),
        "scores": _quantiles(scores) if scores else {},
        "score_histogram": histogram(scores) if scores else {},
    }
    if taken_over := donor_identity(rule):
        receipt["donor"] = taken_over
    doubtful = [{"flag": "doubtful", "detail": doubts}] if doubts else []
    return Pruned(masks, receipt, doubtful + flags(receipt), seconds)


def _quantiles(scores: Tensors) -> dict[str, float]:
    """Five numbers of the finite scores; sorting is avoided, networks have up to 10^8 weights."""
    flat = torch.cat([s.flatten() for s in scores.values()])
    flat = flat[flat.isfinite()]
    n = flat.numel()
    ranks = {f"{q:g}": max(1, math.ceil(q * n)) for q in (0, 0.25, 0.5, 0.75, 1)}
    return {q: float(flat.kthvalue(rank).values) for q, rank in ranks.items()} if n else {}


PER_DECADE, DECADES = 4, 24
"""Bins of the histogram: how many a power of ten, and how many powers of ten below the largest score at most."""


def histogram(scores: Tensors) -> dict[str, Any]:
    """How many finite scores of each sign have which size.

    Bin i holds sizes from 10^(i / 4) to below 10^((i + 1) / 4), on every network: histograms of several seeds add up.
    `first` is the lowest bin of the lists `positive` and `negative`; it also holds what is smaller, where the scores
    span more than 24 powers of ten. `zero` scores are in no bin.

    >>> histogram({"w": torch.tensor([1.0, 1.5, 10.0, -1.0, 0.0])})
    {'first': 0, 'positive': [2, 0, 0, 0, 1], 'negative': [1, 0, 0, 0, 0], 'zero': 1}
    """
    finite = {n: s.flatten()[s.flatten().isfinite()] for n, s in scores.items()}
    zero = sum(int((s == 0).sum()) for s in finite.values())
    sizes = [s.abs().max() for s in finite.values() if s.numel()]
    if not sizes or (largest := float(torch.stack(sizes).max().double())) == 0:
        return {"first": 0, "positive": [], "negative": [], "zero": zero}
    last = int(_bin(torch.tensor(largest, dtype=torch.float64)))
    lowest = last - PER_DECADE * DECADES
    counts = torch.zeros(2, last - lowest + 1, dtype=torch.int64)
    for s in finite.values():  # layer by layer: a copy of all scores in float64 may not fit
        for sign, some in ((0, s[s > 0]), (1, s[s < 0])):
            places = (_bin(some.abs().double()) - lowest).clamp(min=0)
            counts[sign] += torch.bincount(places, minlength=counts.shape[1]).cpu()
    begin = int(counts.sum(0).nonzero()[0])
    positive, negative = counts[:, begin:].tolist()
    return {"first": lowest + begin, "positive": positive, "negative": negative, "zero": zero}


def _bin(sizes: torch.Tensor) -> torch.Tensor:
    return (sizes.log10() * PER_DECADE).floor().to(torch.int64)
