"""Tests of pabench.networks.zoo.lenet."""

from __future__ import annotations

import pytest
import timm
import torch

import pabench.networks.zoo.registered  # noqa: F401 - timm knows them by it


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 784 x 300 + 300, 300 x 100 + 100, 100 x 10 + 10
        ("lenet_300_100", 266610),
        # 520, 25050, 4 x 4 x 50 x 500 + 500, 5010
        ("lenet_5", 431080),
    ],
)
def test_lenets_have_the_sizes_of_snip(name, expected):
    assert sum(p.numel() for p in timm.create_model(name).parameters()) == expected


def test_the_images_decide_what_the_first_linear_layer_takes():
    """Of 20 x 24 pixels two convolutions and poolings leave 2 x 3: (20 - 4) / 2 = 8, (8 - 4) / 2 = 2, and 3 of 24."""
    small = timm.create_model("lenet_5", in_chans=3, img_size=(20, 24), hidden=(4, 6, 7))

    assert small.fc1.in_features == 6 * 2 * 3
    assert small(torch.randn(2, 3, 20, 24)).shape == (2, 10)
    assert timm.create_model("lenet_300_100", in_chans=3, img_size=(20, 24)).fc1.in_features == 3 * 20 * 24


def test_an_image_that_two_poolings_use_up_is_refused():
    with pytest.raises(ValueError, match="lenet_5 needs images of 16 x 16 pixels or more, not 15 x 28"):
        timm.create_model("lenet_5", img_size=(15, 28))
