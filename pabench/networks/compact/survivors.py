"""Which channels of a network are left while its weights are pruned for good: nothing is trained in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pabench.networks.compact.dead import dead_units
from pabench.networks.compact.follow import follow
from pabench.networks.compact.trace import Trace
from pabench.networks.network import Tensors


class Survivors:
    """The channels of a network, of which ever fewer are left.

    `run(tensors)` is the network, and does not hold the numbers of its channels; `tensors` are its weights and
    constants.
    """

    def __init__(self, run: Callable[[Tensors], Tensor], tensors: Tensors) -> None:
        self._trace, self._tensors = Trace(), {n: t.cpu() for n, t in tensors.items()}
        with torch.no_grad():
            follow(lambda: run(tensors), tensors, self._trace, careful=True)
        self._units = {key: self._trace.roots(own) for key, own in self._trace.units.items()}
        self._left = torch.ones(1 + max((int(own.max()) for own in self._units.values()), default=0), dtype=torch.bool)

    def along(self, connected: Mapping[str, Tensor]) -> dict[tuple[str, int], Tensor]:
        """The indices that are left along the dimensions of the tensors.

        `connected` says of each layer, (outputs, inputs), which are connected by a weight. A channel that is taken out
        never returns, and one stays where all are dead.
        """
        left = self._left.clone()
        left[list(dead_units(self._trace, connected, self._tensors, trained=False))] = False
        for own in self._units.values():
            if not left[own].any():
                left[own[self._left[own]][0]] = True
        self._left = left
        return {key: left[own].nonzero().flatten() for key, own in self._units.items()}
