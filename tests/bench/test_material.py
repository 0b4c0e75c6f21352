"""What both sides of a race are given."""

from __future__ import annotations

import pytest
import torch

from pabench.bench.material import QUICK, Material, Sizes
from pabench.errors import SuiteError
from pabench.suite.specs import ModelSpec

CPU = torch.device("cpu")


def test_images_are_of_cifars_shape_and_all_classes_alike(material):
    assert material.train.shape == (3, 32, 32)
    assert torch.bincount(material.train.labels).tolist() == [10] * 10
    # a pixel of the digits is a square of 4 x 4, grey in three channels
    assert torch.equal(material.train.pixels[:, 0, ::4, ::4], material.train.pixels[:, 2, 3::4, 3::4])


def test_pixels_are_normalised_by_the_datas_own_mean(material):
    x, y = material.batch
    pixels = material.subset(material.train, 2).pixels

    assert torch.bincount(y).tolist() == [2] * 10
    assert x[0, 0, 0, 0].item() == pytest.approx((pixels[0, 0, 0, 0].item() / 255 - material.mean[0]) / material.std[0])


def test_equal_calls_give_equal_weights(material):
    first, second = (material.network(material.sizes.small).state_dict() for _ in range(2))

    assert all(torch.equal(first[n], second[n]) for n in first)


def test_networks_can_be_chosen_by_name():
    sizes = Sizes(only=("vgg16_cifar",))

    assert {size: spec.name for size, spec in sizes.networks().items()} == {"large": "vgg16_cifar"}
    assert list(QUICK.networks()) == ["small", "large"]


def test_a_recipe_trains_as_public_code_does(material):
    recipe = material.recipe("float32", epochs=2)

    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.augment.crop) == (2, 8, 0.9, 4)
    assert material.recipe("float32", batch_size=4).batch_size == 4


def test_an_unknown_dataset_is_one_sentence():
    with pytest.raises(SuiteError, match="cifra10"):
        Material.of(Sizes(small=ModelSpec("resnet8")), CPU, data="cifra10")
