"""What is not pruned, said: in receipts, and as a warning where it is much of the network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from pabench.errors import DenseWarning
from pabench.networks.kinds import INCLUDED
from pabench.networks.network import Network
from pabench.store.verdict import some
from pabench.words import percentage

MUCH = 0.05
"""Share of all weights from which those that stay dense are worth a warning. At the sparsities that are compared, 0.9
and more, they then are half as many as all that is kept, or more, and the network is far denser than its masks say.
Positional embeddings and tables of vision transformers are 2 % of the smallest and less than 1 % of the usual ones."""


def told(network: Network) -> dict[str, dict[str, Any]]:
    """For a receipt: the names of the weight matrices that stay dense, and how many weights they have, by kind."""
    return {kind: {"names": list(sizes), "weights": sum(sizes.values())} for kind, sizes in network.dense.items()}


def warn(name: str, dense: Mapping[str, Mapping[str, Any]], prunable: int, include: Sequence[str]) -> None:
    """A `DenseWarning` of one line where `MUCH` of the network called `name` stays dense, at the library's caller.

    `dense` as in a receipt. All weights are those and the `prunable` ones: biases and norms are none.
    """
    left = sum(what["weights"] for what in dense.values())
    total = left + prunable
    if left < MUCH * total:
        return
    kinds = "; ".join(f"{some(what['names'], 3)} ({kind})" for kind, what in dense.items())
    text = f"{name}: {left:,} of {total:,} weights ({percentage(left, total)}) stay dense: {kinds}"
    if more := [kind for kind in dense if kind in INCLUDED]:
        text += f"; prune them with include={(*include, *more)}"
    warnings.warn(text, DenseWarning, stacklevel=3)  # this function, score or prune, their caller
