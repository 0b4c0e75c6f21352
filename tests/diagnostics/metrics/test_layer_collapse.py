"""Layers with nothing left, and layers that nothing goes through."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import pabench


def test_one_dead_layer_cuts_off_all_layers_of_a_chain():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    masks = {"1.weight": torch.zeros(2, 2, dtype=torch.bool)}

    assert pabench.measure(model, masks, "layer_collapse") == {"dead": 1, "disconnected": 3, "layers": 3}


def test_a_layer_may_be_cut_off_though_it_keeps_weights():
    """Unit 0 has no way in and unit 1 no way out: both layers keep half of their weights, and no path goes through."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    masks = {"0.weight": torch.tensor([[0, 0], [1, 1]]).bool(), "1.weight": torch.tensor([[1, 0], [1, 0]]).bool()}

    assert pabench.measure(model, masks, "layer_collapse") == {"dead": 0, "disconnected": 2, "layers": 2}


def test_a_residual_goes_around_a_dead_layer():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.branch, self.last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last(x + self.branch(x))

    masks = {"branch.weight": torch.zeros(2, 2, dtype=torch.bool)}

    assert pabench.measure(Residual(), masks, "layer_collapse") == {"dead": 1, "disconnected": 1, "layers": 3}
