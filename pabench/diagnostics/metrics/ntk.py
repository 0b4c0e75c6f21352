"""Empirical neural tangent kernel at initialization: trace and condition number (Jacot et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pabench.diagnostics.metric import MaskMetric, MetricContext, Numbers, kept
from pabench.networks.network import Network, Tensors
from pabench.parameters import PositiveInt

BUDGET = 2**27
"""Numbers of the Jacobian held at once; wider ones are made layer by layer."""


@dataclass(frozen=True, kw_only=True)
class Ntk(MaskMetric):
    """Theta = J J^T, J the Jacobian of logits with respect to the kept weights at m * w (arXiv:1806.07572, sec. 4).

    outputs="full": one row for each image and class, Theta is (n K, n K). outputs="sum": one row for each image, the
    gradient of the sum of its logits, Theta is (n, n); this is the kernel of Chen et al. 2021 (arXiv:2102.11535), and
    K times cheaper. `trace`; `largest` and `smallest` eigenvalue; their quotient `condition`, None where Theta is
    singular; `rank`. Biases and norms are left out. BatchNorm uses its stored statistics, so that images do not mix.
    """

    name = "ntk"
    title = "NTK"
    cost = "dear"
    samples: PositiveInt = 10
    outputs: Literal["full", "sum"] = "full"

    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        x, w = ctx.images(self.samples), kept(masks, network)
        classes = network.call({**network.rest, **w}, x[:1]).shape[1]
        rows = len(x) * (classes if self.outputs == "full" else 1)
        theta = torch.zeros(rows, rows, dtype=x.dtype, device=x.device)
        for names in _parts(masks, w, rows):
            jacobian = self._jacobian(names, masks, w, network, x)
            theta += jacobian @ jacobian.T
        values = torch.linalg.eigvalsh(theta)
        largest, smallest = float(values[-1]), float(values[0])
        tolerance = largest * rows * torch.finfo(values.dtype).eps
        return {
            "trace": float(theta.trace()),
            "largest": largest,
            "smallest": max(smallest, 0.0),
            "condition": largest / smallest if smallest > tolerance else None,
            "rank": int((values > tolerance).sum()),
        }

    def _jacobian(self, names: list[str], masks: Tensors, w: Tensors, network: Network, x: Tensor) -> Tensor:
        """Rows: images, and classes within them; columns: the kept weights of some layers."""
        leaves = {n: w[n].detach().requires_grad_() for n in names}
        rows = []
        for image in x:
            logits = network.call({**network.rest, **w, **leaves}, image[None])[0]
            for target in logits if self.outputs == "full" else [logits.sum()]:
                g = torch.autograd.grad(target, list(leaves.values()), retain_graph=True, materialize_grads=True)
                rows.append(torch.cat([v[masks[n]] for n, v in zip(names, g, strict=True)]))
        return torch.stack(rows)


def _parts(masks: Tensors, w: Tensors, rows: int) -> Iterator[list[str]]:
    """Layers in groups whose part of the Jacobian stays within the budget; a single one may exceed it."""
    part: list[str] = []
    size = 0
    for n in w:
        more = rows * int(masks[n].sum())
        if part and size + more > BUDGET:
            yield part
            part, size = [], 0
        part.append(n)
        size += more
    yield part
