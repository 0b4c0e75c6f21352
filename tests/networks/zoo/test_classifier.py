"""Tests of pabench.networks.zoo.classifier: how weights are drawn."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import nn

import pabench.networks.zoo.registered  # noqa: F401 - timm knows them by it


def network(name: str, **args: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, **args)


@pytest.mark.parametrize(
    ("name", "conv_std", "linear_std"),
    [
        # layer3.2.conv2 of ResNet-20 has 64 x 9 inputs and outputs; fc has 64 inputs
        ("resnet20", math.sqrt(2 / 576), math.sqrt(2 / 64)),
        ("wide_resnet32", math.sqrt(2 / 1152), 0.01),
    ],
)
def test_weights_are_drawn_as_in_the_code_of_the_papers(name, conv_std, linear_std):
    model = network(name, num_classes=100)

    conv = [m for m in model.layer3.modules() if isinstance(m, nn.Conv2d)][-1]
    assert conv.weight.std().item() == pytest.approx(conv_std, rel=0.03)  # 36864 draws or more: 4 sigma are 1.5 %
    assert model.fc.weight.std().item() == pytest.approx(linear_std, rel=0.05)
    assert model.fc.bias.abs().max() == 0


def test_fan_in_and_fan_out_differ_where_channels_double():
    """layer2.0.conv1 maps 16 channels to 32: fan in 144, fan out 288."""
    by_fan_in = network("resnet20", init="lottery").layer2[0].conv1.weight.std().item()
    by_fan_out = network("resnet20", init="grasp").layer2[0].conv1.weight.std().item()

    assert by_fan_in / by_fan_out == pytest.approx(math.sqrt(2), rel=1e-4)
