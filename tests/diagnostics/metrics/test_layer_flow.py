"""The flow through each layer, in parts of SynFlow's R."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import pabench


def plain() -> nn.Module:
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model[0].weight.data = torch.tensor([[-2.0], [1.0]])
    model[2].weight.data = torch.tensor([[3.0, -4.0]])
    return model


def test_each_layer_of_a_plain_network_has_all_of_r():
    """R = 2 * 3 + 1 * 4 = 10: the first layer's 2 * 3 and 1 * 4, the second's 3 * 2 and 4 * 1."""
    assert pabench.measure(plain(), {}, "layer_flow") == {"least": pytest.approx(1.0), "most": pytest.approx(1.0)}


def test_a_bias_that_is_not_0_takes_flow_from_the_layers_before_it():
    """A bias of 5 on the second layer: R = 15, of which 10 came through weights."""
    model = plain()
    model[2].bias = nn.Parameter(torch.tensor([-5.0]))

    assert pabench.measure(model, {}, "layer_flow")["most"] == pytest.approx(10 / 15)


class Shortcut(nn.Module):
    """x -> last(x + first(x)), each layer one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.first.weight.data.fill_(3.0)
        self.last.weight.data.fill_(2.0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(x + self.first(x))
        return out


def test_a_layer_beside_a_shortcut_has_its_share():
    """R = (1 + 3) 2 = 8, of which 6 passes the first layer."""
    assert pabench.measure(Shortcut(), {}, "layer_flow", input_shape=(1,)) == {
        "least": pytest.approx(0.75),
        "most": pytest.approx(1.0),
    }


def test_a_network_without_a_path_has_none():
    masks = {"0.weight": torch.zeros(2, 1, dtype=torch.bool)}

    assert pabench.measure(plain(), masks, "layer_flow") == {"least": None, "most": None}
