"""What a suite names, as plain data with a label and an identity."""

from __future__ import annotations

import doctest

import pytest

from pabench.suite import specs
from pabench.suite.specs import DatasetSpec


def test_the_examples_hold():
    assert doctest.testmod(specs) == (0, 3)


@pytest.mark.parametrize(
    ("name", "title", "coding", "label"),
    [
        ("parquet", "cifar10", "JPEG", "cifar10, JPEG-coded"),
        ("parquet", "CIFAR-10, jpeg", "JPEG", "CIFAR-10, jpeg"),
        ("parquet", "cifar10", "PNG", "cifar10"),
        ("parquet", "cifar10", "JPEG and PNG", "cifar10, partly JPEG-coded"),
        ("folder", "MNIST", "JPEG and WebP", "MNIST, JPEG and WebP-coded"),
        ("parquet", "cifar10", "", "cifar10"),
        ("folder", "my photographs", "JPEG", "my photographs"),
        ("tiny_imagenet", "", "JPEG", "tiny_imagenet"),
    ],
)
def test_pictures_that_lost_something_are_not_called_by_the_name_of_those_that_did_not(name, title, coding, label):
    """Photographs are JPEGs from the beginning, and so is ImageNet."""
    assert DatasetSpec(name, {"title": title}, coding=coding).label == label
