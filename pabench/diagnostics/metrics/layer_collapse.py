"""Layer collapse: layers with nothing left, and layers that no path goes through (Tanaka et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from pabench.diagnostics.metric import MaskMetric, MetricContext, Numbers
from pabench.networks.liveness import effective
from pabench.networks.network import Network, Tensors


@dataclass(frozen=True, kw_only=True)
class LayerCollapse(MaskMetric):
    """`dead` layers keep no weight: layer collapse of Tanaka et al. 2020 (arXiv:2006.05467, section 3).

    `disconnected` layers keep no effective weight, the dead ones among them: no live path from the input to a logit
    goes through one (`networks.liveness`). Where a residual branch goes around a layer, the network may still learn.
    """

    name = "layer_collapse"
    title = "collapsed layers"
    unit = "layers"

    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        found = effective(network, masks, ctx.shape())
        dead = sum(not m.any() for m in masks.values())
        return {"dead": dead, "disconnected": sum(not e.any() for e in found.values()), "layers": len(found)}
