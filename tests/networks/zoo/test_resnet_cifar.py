"""Tests of pabench.networks.zoo.resnet_cifar."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import pabench.networks.zoo.registered  # noqa: F401 - timm knows them by it


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


def test_the_wide_resnet_has_the_size_of_grasps():
    """864 + 64; 5 x 18560; 55296 + 256 + 4 x 73984; 221184 + 512 + 4 x 295424; linear 1290; projections 10624."""
    assert size(network("wide_resnet32")) == 1860522


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


@pytest.mark.parametrize(("argument", "value"), [("shortcut", "none"), ("init", "xavier")])
def test_a_word_that_is_not_offered_is_refused(argument, value):
    with pytest.raises(ValueError, match=f"{argument}: '{value}' is unknown; expected"):
        network("resnet20", **{argument: value})
