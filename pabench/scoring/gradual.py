"""Masks that come about in training: the network is pruned a little at a time while it learns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pabench.networks.network import Tensors
from pabench.scoring.selection import kept_count, select


@dataclass(frozen=True)
class Gradual:
    """Magnitude pruning on a cubic schedule (Zhu & Gupta 2017, arXiv:1710.01878, eq. 1), to `density`.

    The sparsity rises from 0, `prunings` times at equal distances, between the parts `begin` and `end` of training, and
    stays. Densities follow from the part that is done, and masks from a density and the weights: pruned ones are 0, the
    smallest that there are, so that a training can be taken up anywhere without its masks.

    >>> [round(Gradual(0.1, 0.0, 0.5, 2, "uniform").at(done), 4) for done in (0, 0.2, 0.25, 0.5, 1)]
    [1.0, 1.0, 0.2125, 0.1, 0.1]
    """

    density: float
    begin: float
    end: float
    prunings: int
    allocation: str

    def at(self, done: float) -> float:
        """The density when this part of training, 0 to 1, is done."""
        along = min(1.0, max(0.0, (done - self.begin) / (self.end - self.begin)))
        left = 1 - math.floor(along * self.prunings) / self.prunings
        return self.density + (1 - self.density) * left**3

    def masks(self, weights: Tensors, density: float) -> Tensors:
        """The largest weights of each layer, as the allocation says; exactly the count of the density in all."""
        sizes = {n: w.detach().abs() for n, w in weights.items()}
        kept = kept_count(density, sum(s.numel() for s in sizes.values()))
        return select(sizes, kept, allocation=self.allocation).masks
