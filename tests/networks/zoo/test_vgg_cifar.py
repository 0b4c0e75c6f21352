"""Tests of pabench.networks.zoo.vgg_cifar."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import pabench.networks.zoo.registered  # noqa: F401 - timm knows them by it


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 9 (3 64 + 64 128 + 128 256 + 256 256 + 256 512 + 3 512 512); BatchNorm 2 x 2752; linear 5130
        ("vgg11_cifar", 9217728 + 5504 + 5130),
        # torchvision's VGG-16 has 14714688 in its convolutions, 4224 of them biases; BatchNorm 2 x 4224; linear 5130
        ("vgg16_cifar", 14714688 - 4224 + 8448 + 5130),
        # torchvision's VGG-19: 20024384, 5504 of them biases
        ("vgg19_cifar", 20024384 - 5504 + 11008 + 5130),
    ],
)
def test_vggs_have_the_sizes_of_torchvisions_with_batchnorm_for_biases(name, expected):
    assert sum(p.numel() for p in timm.create_model(name).parameters()) == expected


def test_vgg_averages_what_four_poolings_leave():
    model = timm.create_model("vgg11_cifar").eval()
    images = torch.randn(1, 3, 32, 32)

    features = model.forward_features(images)

    assert features.shape == (1, 512, 2, 2)
    assert torch.allclose(model(images), model.fc(nn.AvgPool2d(2)(features).flatten(1)), atol=1e-6)
