"""Tests of pabench.networks.zoo.classifier: the interface timm expects, and how weights are drawn."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import pabench.networks.zoo


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


@pytest.mark.parametrize("name", pabench.networks.zoo.NAMES)
def test_timm_lists_the_network_and_can_change_its_classifier(name):
    model = network(name)
    model.reset_classifier(3)

    images = torch.randn(2, *model.pretrained_cfg["input_size"])
    assert name in timm.list_models()
    assert model.get_classifier().out_features == 3
    assert model(images).shape == (2, 3)
    assert model.forward_head(model.forward_features(images), pre_logits=True).shape == (2, model.num_features)


def test_no_network_takes_a_name_of_timm():
    """timm warns when a registered name is overwritten."""
    code = "import timm, warnings; warnings.simplefilter('error'); import pabench.networks.zoo"
    root = Path(pabench.networks.zoo.__file__).parents[2]

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)

    assert (done.returncode, done.stderr) == (0, "")
