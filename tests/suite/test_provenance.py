"""Tests of pabench.suite.provenance."""

from __future__ import annotations

import pytest

from pabench import registry
from pabench.suite.provenance import KNOWN, claimed, spoken


def test_every_built_in_dataset_of_somebody_says_where_it_comes_from():
    """`parquet` and `folder` say how a dataset is stored, and not which it is."""
    assert set(KNOWN) == set(registry.group("datasets").built_in) - {"parquet", "folder"}
    assert all(one.source.startswith("http") and one.licence and one.cited for one in KNOWN.values())


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("cifar10", "cifar10"),
        ("CIFAR 10", "cifar10"),
        ("ＣＩＦＡＲ\u200b-100 (PNG)", "cifar100"),
        ("CIFAR-1000", ""),
        ("Tiny-ImageNet at 32 pixels", "tiny_imagenet"),
        ("what is left of cifar10", ""),
        ("", ""),
    ],
)
def test_a_title_claims_what_it_begins_with(title, name):
    assert claimed(title) == name


def test_titles_of_signs_alone_are_told_apart():
    assert spoken("+") != spoken("-")
