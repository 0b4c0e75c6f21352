"""Gradient norm and its change by pruning (Wang et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from pabench.diagnostics.metric import MaskMetric, MetricContext, Numbers
from pabench.networks.network import Network, Tensors
from pabench.scoring.pruning import gradient_norm


@dataclass(frozen=True, kw_only=True)
class GradientNorm(MaskMetric):
    """Norm of dL/dw over the kept weights before and after pruning, and their quotient `change`.

    GraSP (arXiv:2002.07376, eq. 6 and 7) sets out to preserve it. L is the mean cross-entropy of the context's images,
    BatchNorm by the statistics of the batch. A receipt has measured the same already and is not computed again.
    """

    name = "gradient_norm"
    title = "gradient norm"
    bn = "train"

    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        norms = ctx.receipt.get("gradient_norm")
        if norms is None:
            ctx.images(1)
            before = gradient_norm(network, ctx.batches)
            norms = {"before": before, "after": gradient_norm(network, ctx.batches, masks) if masks else before}
        before, after = norms["before"], norms["after"]
        return {"before": before, "after": after, "change": after / before if before and after is not None else None}
