"""Singular values of the input-output Jacobian: dynamical isometry (Saxe et al. 2014, Lee et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pabench.diagnostics.metric import MaskMetric, MetricContext, Numbers, kept
from pabench.networks.network import Network, Tensors
from pabench.parameters import PositiveInt


@dataclass(frozen=True, kw_only=True)
class Jacobian(MaskMetric):
    """Singular values of d logits / d input at m * w: min(K, C H W) of them for each image, over all images.

    A network is dynamically isometric where all are close to 1 (Lee et al. 2020, arXiv:1906.06307, section 3, after
    arXiv:1312.6120); pruning lowers them. `mean`, `min`, `max`, and `deviation`, the standard deviation. BatchNorm uses
    its stored statistics, so that images do not mix.
    """

    name = "jacobian"
    title = "Jacobian singular values"
    cost = "dear"
    samples: PositiveInt = 10

    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        tensors = {**network.rest, **kept(masks, network)}
        values = []
        for image in ctx.images(self.samples):
            x = image[None].requires_grad_()
            logits = network.call(tensors, x)[0]
            rows = [torch.autograd.grad(y, x, retain_graph=True, materialize_grads=True)[0] for y in logits]
            values.append(torch.linalg.svdvals(torch.stack([g.flatten() for g in rows])))
        found = torch.cat(values)
        return {
            "mean": float(found.mean()),
            "min": float(found.min()),
            "max": float(found.max()),
            "deviation": float(found.std(correction=0)),
        }
