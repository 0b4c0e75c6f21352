"""How large a network is: parameters and FLOPs that a human can add up."""

from __future__ import annotations

import torch
from torch import nn

from pabench.networks import size


def network() -> nn.Module:
    """On 1 x 4 x 4 images: 4 filters of 9 weights on 2 x 2 places, then 16 x 3 weights and 3 biases."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def masks() -> dict[str, torch.Tensor]:
    """One filter of four is left, and 12 of 48 weights."""
    conv = torch.zeros(4, 1, 3, 3, dtype=torch.bool)
    conv[0] = True
    return {"0.weight": conv, "3.weight": torch.arange(48).reshape(3, 16) < 12}


def test_parameters_are_counted_with_biases_and_less_what_is_pruned():
    assert size.parameters(network(), {}) == {"dense": 36 + 48 + 3, "pruned": 36 + 48 + 3}
    assert size.parameters(network(), masks()) == {"dense": 87, "pruned": 9 + 12 + 3}


def test_each_use_of_a_weight_is_two_operations():
    """36 weights at 4 places each, 48 at one; of both layers a quarter is left."""
    layers = {"0.weight": 2 * 36 * 4, "3.weight": 2 * 48}

    assert size.flops(network(), {}, (1, 4, 4)) == {"dense": 384, "pruned": 384}
    assert size.flops(network(), masks(), (1, 4, 4)) == {"dense": 384, "pruned": 96, "layers": layers}
