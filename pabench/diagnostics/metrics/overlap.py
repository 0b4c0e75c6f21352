"""Mask overlap of two criteria, against chance."""

from __future__ import annotations

from dataclasses import dataclass

from pabench.diagnostics.metric import Numbers, PairMetric
from pabench.networks.network import Tensors


@dataclass(frozen=True, kw_only=True)
class Overlap(PairMetric):
    """Jaccard index of two masks: weights that both keep over weights that either keeps.

    `chance`: what two masks of these counts share that are drawn at random over the whole network; at equal density d
    that is d / (2 - d). `chance_in_layers`: the same with the counts of each layer fixed, as if both masks were
    shuffled within layers. Both divide the expected intersection by the union that goes with it.
    """

    name = "overlap"
    title = "mask overlap"

    def measure(self, first: Tensors, second: Tensors) -> Numbers:
        layers = [(int((a & second[n]).sum()), int(a.sum()), int(second[n].sum()), a.numel()) for n, a in first.items()]
        both, a, b, total = (sum(column) for column in zip(*layers, strict=True))
        by_layer = sum(kept * other / size for _, kept, other, size in layers)
        shared = {"jaccard": both, "chance": a * b / total, "chance_in_layers": by_layer}
        return {name: value / (a + b - value) if a + b > value else None for name, value in shared.items()}
