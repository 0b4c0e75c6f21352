"""Effective density: the weights that lie on a live path (Vysogorets & Kempe 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from pabench.diagnostics.metric import MaskMetric, MetricContext, Numbers
from pabench.networks.liveness import effective
from pabench.networks.network import Network, Tensors


@dataclass(frozen=True, kw_only=True)
class EffectiveDensity(MaskMetric):
    """Share of all prunable weights that are kept and on a path of kept weights from the input to a logit.

    Vysogorets & Kempe 2023 (arXiv:2107.02306) define effective sparsity as the share of weights that are pruned or
    disconnected; this is one minus it. `networks.liveness` says what a path is. `of_kept` is the share of the kept
    weights that are effective.
    """

    name = "effective_density"
    title = "effective density"

    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        live = sum(int(e.sum()) for e in effective(network, masks, ctx.shape()).values())
        total = sum(w.numel() for w in network.weights.values())
        remaining = total - sum(int((~m).sum()) for m in masks.values())
        return {"effective_density": live / total, "of_kept": live / remaining if remaining else None}
