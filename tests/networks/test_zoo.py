"""The papers' own networks: sizes a human can add up, initialisation, and the interface timm expects."""

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


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# ResNet-20, option A: stem 432 + 32; stages 3 (4608 + 64), 13824 + 128 + 2 (18432 + 128) and
# 55296 + 256 + 2 (73728 + 256); linear 650. Six more layers add a block to each stage: 4672 + 18560 + 73984.
# Projections: 512 + 64 + 2048 + 128.
@pytest.mark.parametrize(("name", "expected"), [("resnet20", 269722), ("resnet32", 464154), ("resnet56", 853018)])
def test_resnets_have_the_sizes_of_the_paper(name, expected):
    """0.27M, 0.46M, 0.85M in table 6 of He et al. 2015."""
    assert size(network(name, shortcut="identity")) == expected
    assert size(network(name)) == expected + 2752


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 864 + 64; 5 x 18560; 55296 + 256 + 4 x 73984; 221184 + 512 + 4 x 295424; linear 1290; projections 10624
        ("wide_resnet32", 1860522),
        # 9 (3 64 + 64 128 + 128 256 + 256 256 + 256 512 + 3 512 512); BatchNorm 2 x 2752; linear 5130
        ("vgg11_cifar", 9217728 + 5504 + 5130),
        # torchvision's VGG-16 has 14714688 in its convolutions, 4224 of them biases; BatchNorm 2 x 4224; linear 5130
        ("vgg16_cifar", 14714688 - 4224 + 8448 + 5130),
        # torchvision's VGG-19: 20024384, 5504 of them biases
        ("vgg19_cifar", 20024384 - 5504 + 11008 + 5130),
        # 784 x 300 + 300, 300 x 100 + 100, 100 x 10 + 10
        ("lenet_300_100", 266610),
        # 520, 25050, 4 x 4 x 50 x 500 + 500, 5010
        ("lenet_5", 431080),
    ],
)
def test_networks_have_the_sizes_of_their_papers(name, expected):
    assert size(network(name)) == expected


def test_halving_the_width_gives_the_network_for_small_digits():
    """On 8x8 one-channel images the three stages end at 2x2 pixels."""
    model = network("resnet20", width=8, in_chans=1, num_classes=7)
    images = torch.randn(2, 1, 8, 8)

    assert model.forward_features(images).shape == (2, 32, 2, 2)
    assert model(images).shape == (2, 7)


def test_an_identity_shortcut_takes_every_second_pixel_and_adds_zero_channels():
    block = network("resnet20", shortcut="identity").layer2[0]
    image = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(1, 16, 1, 1)

    shortcut = block.shortcut(image)

    assert shortcut.shape == (1, 32, 2, 2)
    assert shortcut[0, 0].tolist() == [[0.0, 2.0], [8.0, 10.0]]
    assert shortcut[0, 16:].abs().sum() == 0


def test_vgg_averages_what_four_poolings_leave():
    model = network("vgg11_cifar").eval()
    images = torch.randn(1, 3, 32, 32)

    features = model.forward_features(images)

    assert features.shape == (1, 512, 2, 2)
    assert torch.allclose(model(images), model.fc(nn.AvgPool2d(2)(features).flatten(1)), atol=1e-6)


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


@pytest.mark.parametrize(("argument", "value"), [("shortcut", "none"), ("init", "xavier")])
def test_a_word_that_is_not_offered_is_refused(argument, value):
    with pytest.raises(ValueError, match=f"{argument}: '{value}' is unknown; expected"):
        network("resnet20", **{argument: value})
