"""R of SynFlow, also where no float can hold it."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import Tensor, nn

import pabench
from pabench.networks import carried
from pabench.networks.network import Network


def test_r_is_the_sum_over_paths_of_products_of_absolute_weights():
    """|-2| 3 + 1 * |-4| over two hidden units = 10; without the second unit's way in, 6."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model[0].weight.data = torch.tensor([[-2.0], [1.0]])
    model[2].weight.data = torch.tensor([[3.0, -4.0]])
    masks = {"0.weight": torch.tensor([[True], [False]])}

    assert pabench.measure(model, {}, "synflow_r")["log10"] == pytest.approx(1.0)
    assert pabench.measure(model, masks, "synflow_r")["log10"] == pytest.approx(math.log10(6))


def test_a_network_without_a_path_has_no_logarithm():
    model = nn.Linear(2, 2, bias=False)

    assert pabench.measure(model, {"weight": torch.zeros(2, 2, dtype=torch.bool)}, "synflow_r") == {"log10": None}


class Deep(nn.Module):
    """x -> x + relu(99999 x + 1) = 10^5 x + 1, again and again, by linear layers or by convolutions with BatchNorm."""

    def __init__(self, depth: int, convolutional: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_convolution() if convolutional else _linear() for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + torch.relu(block(x))
        return x.flatten(1)


def _linear() -> nn.Module:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, -99999.0)
    nn.init.constant_(layer.bias, -1.0)
    return layer


def _convolution() -> nn.Module:
    layer, norm = nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0)
    nn.init.constant_(layer.weight, -99999.0)
    nn.init.constant_(norm.bias, 1.0)
    return nn.Sequential(layer, norm)


@pytest.mark.parametrize(("convolutional", "shape"), [(False, (1,)), (True, (1, 1, 1))])
def test_what_no_float_can_hold_does_not_overflow(convolutional, shape):
    """80 times: 10^400 x + (10^400 - 1) / 99999 at x = 1; log10 is 400 + log10(1 + 1/99999). A float64 ends at 308."""
    found = pabench.measure(Deep(80, convolutional), {}, "synflow_r", input_shape=shape)

    assert found["log10"] == pytest.approx(400 + math.log10(1 + 1 / 99999), abs=1e-9)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_byobnet"])
def test_rescaled_and_plain_sums_are_equal_where_both_exist(name, monkeypatch):
    """On networks of timm, with limits so narrow that nearly every layer is rescaled."""
    monkeypatch.setattr(carried, "LIMIT", 3)
    network = Network(timm.create_model(name, num_classes=3))
    tensors = {n: t.abs() if t.is_floating_point() else t for n, t in {**network.rest, **network.weights}.items()}
    x = torch.ones(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        total = float(network.call(tensors, x).sum())

        assert carried.log2_sum(lambda: network.call(tensors, x)) == pytest.approx(math.log2(total), rel=1e-12)


def test_a_normalisation_sees_the_numbers_and_not_what_is_left_of_them_beside_their_power_of_two():
    """(3, 1) * 10^40 is normalised to (1, -1), and by 2 x + 1 and x + 1 to (3, 0); epsilon is nothing beside 10^80."""
    layer, norm = nn.Linear(1, 2, bias=False).double(), nn.LayerNorm(2).double()
    layer.weight.data = torch.tensor([[3e40], [1e40]], dtype=torch.float64)
    norm.weight.data, norm.bias.data = torch.tensor([2.0, 1.0]).double(), torch.ones(2).double()

    found = carried.log2_sum(lambda: norm(layer(torch.ones(1, 1, dtype=torch.float64))))

    assert found == pytest.approx(math.log2(3), abs=1e-12)
