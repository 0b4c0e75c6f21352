"""The flow of SynFlow through each layer: what conservation says of it (Tanaka et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pabench.diagnostics.metric import MaskMetric, MetricContext, Numbers, kept
from pabench.networks.network import Network, Tensors


@dataclass(frozen=True, kw_only=True)
class LayerFlow(MaskMetric):
    """Sum of |w| * dR/d|w| over a layer's kept weights in parts of R: the `least` and the `most` of all layers.

    Tanaka et al. 2020 (arXiv:2006.05467, theorems 1 and 2): where each path passes a layer once, and no bias adds to
    it, the sum is R, so that both are 1. Layers beside a shortcut have less. R and the network as in `synflow_r`, in
    float64; None where R is 0 or no float64.
    """

    name = "layer_flow"
    title = "flow through a layer"
    unit = "of R"
    cost = "dear"

    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        rest = {n: t.abs() if t.is_floating_point() else t for n, t in network.rest.items()}
        w = {n: t.abs().requires_grad_() for n, t in kept(masks, network).items()}
        total = network.call({**rest, **w}, next(iter(w.values())).new_ones(1, *ctx.shape())).sum()
        if not torch.isfinite(total) or total <= 0:
            return {"least": None, "most": None}
        slopes = torch.autograd.grad(total, list(w.values()), materialize_grads=True)
        parts = [(t * slope).sum() / total for t, slope in zip(w.values(), slopes, strict=True)]
        flows = torch.stack(parts).detach()
        return {"least": float(flows.min()), "most": float(flows.max())}
