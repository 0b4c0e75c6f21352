"""How much of a planted ticket a mask has, and whether its function is left (Fischer & Burkholz 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pabench.data import task
from pabench.diagnostics.metric import MaskMetric, MetricContext, Numbers, kept
from pabench.errors import SuiteError
from pabench.networks.network import Network, Tensors


@dataclass(frozen=True, kw_only=True)
class Planted(MaskMetric):
    """A mask against that of the ticket which is planted in the network (`networks.zoo.planted`, arXiv:2111.11153).

    `precision`: the share of the kept weights that are the ticket's; `recall`: the share of the ticket's that are kept;
    both also by layer (`precision.NAME`, None of a layer without kept weights). `sparsity` is the ticket's, and `size`
    its weights. `lost_layers` keep none of the ticket's weights, `short_layers` fewer weights than it has there.

    `quality` and `loss` are of the masked network before any training, on test data: R² and squared error, or top-1 in
    percent and cross-entropy. `ticket_quality`, `ticket_loss`: those of the ticket by itself. Planting multiplies each
    output by a constant, which is undone first: numbers are scaled to fit their targets best, output by output, as in
    the authors' code; logits are divided by the ticket's constants.
    """

    name = "planted"
    title = "planted ticket"
    cost = "dear"

    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        if ctx.ticket is None:
            raise SuiteError(f"no ticket is planted in {network.name}; the model `planted` has one")
        there, scale = {n: mask.to(masks[n].device) for n, mask in ctx.ticket.masks.items()}, ctx.ticket.scale
        both = {n: int((masks[n] & m).sum()) for n, m in there.items()}
        size = {n: int(m.sum()) for n, m in there.items()}
        left = {n: int(masks[n].sum()) for n in there}
        total = sum(m.numel() for m in there.values())
        x, y = ctx.held_out()
        quality, loss = _computed(network, masks, x, y, scale)
        ticket_quality, ticket_loss = _computed(network, there, x, y, scale)
        return {
            "precision": _share(sum(both.values()), sum(left.values())),
            "recall": _share(sum(both.values()), sum(size.values())),
            "sparsity": 1 - sum(size.values()) / total,
            "size": sum(size.values()),
            "lost_layers": sum(not found for found in both.values()),
            "short_layers": sum(left[n] < size[n] for n in there),
            "layers": len(there),
            "quality": quality,
            "loss": loss,
            "ticket_quality": ticket_quality,
            "ticket_loss": ticket_loss,
            **{f"precision.{n}": _share(both[n], left[n]) for n in there},
            **{f"recall.{n}": _share(both[n], size[n]) for n in there},
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _computed(network: Network, masks: Tensors, x: Tensor, y: Tensor, scale: Tensor) -> tuple[float, float]:
    """Quality and loss of the network under masks."""
    with torch.no_grad():
        outputs = network.call({**network.rest, **kept(masks, network)}, x)
        if task.is_regression(y):
            outputs = outputs * _fitting(outputs, y.to(outputs))
        else:
            outputs = outputs / scale.to(outputs)
        loss = float(task.loss(outputs, y))
    if task.is_regression(y):
        return 1 - loss / task.spread(y), loss
    return 100 * float(task.right(outputs, y).double().mean()), loss


def _fitting(outputs: Tensor, targets: Tensor) -> Tensor:
    """(K,): the factor of each output that brings it closest to its targets; 0 of one that is 0 everywhere."""
    squares = outputs.square().sum(0)
    return torch.where(squares > 0, (outputs * targets).sum(0) / squares, 0.0)
