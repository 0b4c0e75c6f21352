"""What came of a pruning: masks, numbers by which a reader can judge them, and what must be flagged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from pabench.criterion import Criterion, ScoreContext, source_digest
from pabench.donor import donor_identity
from pabench.selection import Selection, Tensors
from pabench.verdict import DEGENERATE_ZEROS, REMEDY, zero_scores

ARBITRARY_TIES = 0.01
"""Share of the kept weights that owe their place to the order of the parameters alone from which a mask is flagged."""


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
    seconds: float,
) -> Pruned:
    """The receipt: numbers by which a reader can judge the mask. `scores` are those of the dense network."""
    masks = {n: m.cpu() for n, m in selection.masks.items()}
    zeros = {n: int((s == 0).sum()) for n, s in scores.items()} if scores else {}
    layers = [
        {
            "name": n,
            "shape": list(m.shape),
            "total": m.numel(),
            "kept": int(m.sum()),
            "zero_scores": zeros.get(n, 0),
        }
        for n, m in masks.items()
    ]
    total, kept = sum(w.numel() for w in ctx.weights.values()), sum(layer["kept"] for layer in layers)
    receipt = {
        "criterion": rule.name,
        "parameters": asdict(rule),
        "version": rule.version,
        "source": source_digest(type(rule)),
        "dtype": str(next(iter(ctx.weights.values())).dtype).removeprefix("torch."),
        "requested_sparsity": round(1 - density, 12),
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
        "scores": _quantiles(scores) if scores else {},
    }
    if taken_over := donor_identity(rule):
        receipt["donor"] = taken_over
    doubtful = [{"flag": "doubtful", "detail": doubts}] if doubts else []
    return Pruned(masks, receipt, doubtful + _flags(receipt), seconds)


def _quantiles(scores: Tensors) -> dict[str, float]:
    """Five numbers of the finite scores; sorting is avoided, networks have up to 10^8 weights."""
    flat = torch.cat([s.flatten() for s in scores.values()])
    flat = flat[flat.isfinite()]
    n = flat.numel()
    ranks = {f"{q:g}": max(1, math.ceil(q * n)) for q in (0, 0.25, 0.5, 0.75, 1)}
    return {q: float(flat.kthvalue(rank).values) for q, rank in ranks.items()} if n else {}


def _flags(receipt: Mapping[str, Any]) -> list[dict[str, str]]:
    """What must never be reported as if it were fine."""
    flags = []
    total, kept, zeros = receipt["total"], receipt["kept"], receipt["zero_scores"]
    if zeros >= DEGENERATE_ZEROS * total:
        layers = sum(layer["zero_scores"] == layer["total"] for layer in receipt["layers"])
        detail = f"{zero_scores(zeros, total, layers, len(receipt['layers']))}; {REMEDY}"
        flags.append({"flag": "degenerate", "detail": detail})
    arbitrary = min(receipt["kept_of_tied"], receipt["tied_at_threshold"] - receipt["kept_of_tied"])
    if arbitrary > ARBITRARY_TIES * kept:
        detail = (
            f"{receipt['tied_at_threshold']} weights share the lowest kept score; "
            f"the order of the parameters chose {receipt['kept_of_tied']} of them"
        )
        flags.append({"flag": "tied", "detail": detail})
    if receipt["non_finite_scores"]:
        flags.append({"flag": "non-finite", "detail": f"{receipt['non_finite_scores']} scores are infinite"})
    if receipt["dead_layers"]:
        flags.append({"flag": "collapsed", "detail": ", ".join(receipt["dead_layers"])})
    return flags
