"""Where the datasets of a site come from is said as far as it is known, and no further."""

from __future__ import annotations

from pabench.leaderboard.datasets import datasets, source
from pabench.suite.specs import DatasetSpec

from .test_boards import grid, published


def test_a_dataset_that_comes_with_pabench_has_its_licence_and_citation():
    told = source(DatasetSpec("fashion_mnist")).told

    assert told == "Fashion-MNIST; licence: MIT; Xiao et al. 2017, arXiv:1708.07747"


def test_of_a_title_it_is_said_that_it_is_one():
    found = source(DatasetSpec("parquet", {"title": "cifar10"}, coding="JPEG"))

    assert (found.label, found.coding, found.by_title) == ("cifar10, JPEG-coded", "JPEG", True)
    assert (
        found.told
        == "CIFAR-10 by its title; licence: none stated; Krizhevsky 2009, Learning multiple layers of features"
    )


def test_of_somebodys_own_pictures_nothing_is_known():
    found = source(DatasetSpec("folder", {"title": "my photographs"}))

    assert not found.by_title
    assert found.told == "licence: not known to pabench"


def test_each_dataset_of_several_studies_stands_there_once():
    studies = [published(grid("snip", datasets=names), names[0]) for names in (("cifar10", "mnist"), ("mnist",))]

    assert [one.label for one in datasets(studies)] == ["cifar10", "mnist"]
