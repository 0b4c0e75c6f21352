"""How large a network is: parameters and FLOPs, dense and after pruning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pabench.networks.network import prunable_weights
from pabench.networks.private import private_copy


def parameters(module: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """All parameters of the network, dense and after pruning."""
    dense = sum(p.numel() for p in module.parameters())
    return {"dense": dense, "pruned": dense - sum(int((~m).sum()) for m in masks.values())}


def flops(module: nn.Module, masks: Mapping[str, torch.Tensor], shape: tuple[int, ...]) -> dict[str, Any]:
    """Forward FLOPs of one image (1 multiply-accumulate = 2 FLOPs), dense and counting only kept weights.

    With masks also `layers`: what each masked layer takes when dense, from which the pruned figure can be computed
    again without the network.
    """
    network = private_copy(module).cpu()  # the counter knows no fused attention on the CPU
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.random.fork_rng(devices=[]), counter:
        network(torch.zeros(1, *shape))
    dense = counter.get_total_flops()
    by_module = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    paths = {n: f"{type(network).__name__}.{n}".removesuffix(".weight") for n in prunable_weights(network)}
    layers = {n: by_module.get(path, 0) for n, path in paths.items() if n in masks}
    saved = sum(taken * (1 - float(masks[name].float().mean())) for name, taken in layers.items())
    return {"dense": dense, "pruned": round(dense - saved), **({"layers": layers} if layers else {})}
