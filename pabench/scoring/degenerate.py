"""What the library says of scores that mean little: how many, why on this very network, and what to do about it."""

from __future__ import annotations

import warnings

import torch

from pabench.errors import DegenerateWarning, SuiteError
from pabench.networks.network import Network, Tensors
from pabench.store.verdict import DEGENERATE_ZEROS, REMEDY, some, zero_scores

SPOKEN = ("degenerate", "tied", "non-finite")
"""Flags of a receipt that say that a ranking means little; others speak of the mask."""


def of_scores(scores: Tensors) -> list[str]:
    """What makes a ranking by these scores mean little; [] where nothing does."""
    zeros = {n: int((s == 0).sum()) for n, s in scores.items()}
    total, dead = sum(s.numel() for s in scores.values()), sum(zeros[n] == s.numel() for n, s in scores.items())
    infinite = sum(int((~s.isfinite()).sum()) for s in scores.values())
    found = []
    if sum(zeros.values()) >= DEGENERATE_ZEROS * total:
        found.append(zero_scores(sum(zeros.values()), total, dead, len(scores)))
    if infinite:
        found.append(f"{infinite} of {total} scores are infinite or not a number")
    return found


def of_flags(flags: list[dict[str, str]]) -> list[str]:
    """The same from the flags of a receipt, whose general remedy gives way to that of the network at hand."""
    return [f["detail"].removesuffix(f"; {REMEDY}") for f in flags if f["flag"] in SPOKEN]


def tell(found: list[str], criterion: str, network: Network, *, strict: bool) -> None:
    """Warn of what was found; SuiteError where the caller asked to be strict."""
    if not found:
        return
    line = f"{criterion} on {network.name}: {'; '.join(found)}; {remedy(network)}"
    if strict:
        raise SuiteError(line)
    warnings.warn(line, DegenerateWarning, stacklevel=3)


def remedy(network: Network) -> str:
    """What to do on this network, from what is 0 in it and from the precision it was scored in."""
    if scales := [n for n, w in network.scales.items() if not w.any()]:
        return f"nothing passes {len(scales)} normalisations, their scale is 0: set it to 1 first ({some(scales, 2)})"
    if weights := [n for n, w in network.weights.items() if not w.any()]:
        return f"draw the weights that are all 0 first ({some(weights, 2)})"
    if network.dtype != torch.float64:
        return "score in dtype=torch.float64"
    return "look at masks.receipt['layers'] for where; more or other images, or another initialization, may help"
