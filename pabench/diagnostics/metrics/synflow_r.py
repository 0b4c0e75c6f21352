"""R of SynFlow: the flow that a masked network lets through (Tanaka et al. 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from pabench.diagnostics.metric import MaskMetric, MetricContext, Numbers, kept
from pabench.networks.carried import log2_sum
from pabench.networks.network import Network, Tensors


@dataclass(frozen=True, kw_only=True)
class SynflowR(MaskMetric):
    """log10 of R = 1^T (prod |m * w|) 1, the sum of the logits of an all-ones input when every tensor is positive.

    Tanaka et al. 2020 (arXiv:2006.05467, eq. 3 and 4); computed as the criterion does it: all parameters and buffers
    by absolute value, BatchNorm with its stored statistics. None where R is 0 (no path: the network has collapsed) or
    negative (a LayerNorm takes the positivity). Beyond float64, 10^308, the activations are rescaled on their way.
    """

    name = "synflow_r"
    title = "SynFlow's R"
    unit = "log10"

    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        tensors = {n: _positive(t) for n, t in {**network.rest, **kept(masks, network)}.items()}
        x = next(iter(network.weights.values())).new_ones(1, *ctx.shape())
        total = float(network.call(tensors, x).sum())
        log2 = math.log2(total) if 0 < total < math.inf else None
        if not math.isfinite(total):
            log2 = log2_sum(lambda: network.call(tensors, x))
        return {"log10": log2 * math.log10(2) if log2 is not None else None}


def _positive(t: Tensor) -> Tensor:
    return t.abs() if t.is_floating_point() else t
