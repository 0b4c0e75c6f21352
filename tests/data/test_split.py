"""Tests of pabench.data.split: class-balanced choices."""

from __future__ import annotations

import hashlib

import pytest
import torch

from pabench.data.split import Images, Streamed, first_per_class, scoring_batch, some_per_class
from pabench.errors import DataError

from .conftest import numbered


def test_a_digest_says_which_images_in_which_order_with_which_labels():
    split = numbered(12, classes=3)
    text = f"[[12,1,4,4],{[i % 3 for i in range(12)]}]".replace(" ", "")

    assert split.digest() == hashlib.sha256(text.encode() + bytes(i for i in range(12) for _ in range(16))).hexdigest()
    turned = split.subset(torch.tensor([1, 0, *range(2, 12)]))
    relabelled = Images(split.pixels, split.labels.flip(0))
    assert len({split.digest(), turned.digest(), relabelled.digest(), split.subset(torch.arange(11)).digest()}) == 4
    assert turned.subset(torch.tensor([1, 0, *range(2, 12)])).digest() == split.digest()
    apart = Images(torch.stack([split.pixels, split.pixels], dim=1)[:, 0], split.labels)  # not contiguous
    assert apart.digest() == split.digest()


def test_a_digest_of_files_does_not_depend_on_where_they_lie():
    def at(root: str, *names: str, size: int = 8) -> str:
        return Streamed(tuple(f"{root}/{name}" for name in names), torch.tensor([0, 1]), size).digest()

    assert at("/here/val", "cat/1.png", "dog/2.png") == at("/there/data/val", "cat/1.png", "dog/2.png")
    others = (
        at("/here/val", "dog/2.png", "cat/1.png"),
        at("/here/val", "cat/1.png", "dog/3.png"),
    )
    assert len({at("/here/val", "cat/1.png", "dog/2.png"), *others, at("/h", "cat/1.png", "dog/2.png", size=9)}) == 4


def test_a_scoring_batch_holds_as_many_images_of_each_class_sorted_by_class():
    split = numbered(60, classes=3)
    chosen = scoring_batch(split, classes=3, per_class=4, seed=0)
    assert split.labels[chosen].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(set(chosen.tolist())) == 12


def test_a_scoring_batch_may_use_every_image_of_a_class():
    """Public loops over a data loader end in StopIteration here."""
    chosen = scoring_batch(numbered(6, classes=2), classes=2, per_class=3, seed=0)
    assert sorted(chosen.tolist()) == [0, 1, 2, 3, 4, 5]


def test_a_class_with_too_few_images_is_named_with_its_count():
    split = Images(torch.zeros(5, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 0, 0, 1, 1]))
    with pytest.raises(DataError, match="class 1 has 2 images, 3 per class are needed"):
        scoring_batch(split, classes=2, per_class=3, seed=0)


def test_a_class_without_any_image_is_named():
    with pytest.raises(DataError, match="class 2 has 0 images"):
        scoring_batch(numbered(6, classes=2), classes=3, per_class=1, seed=0)


def test_a_scoring_batch_depends_on_its_seed_and_on_nothing_else():
    split = numbered(200, classes=2)
    first = scoring_batch(split, classes=2, per_class=10, seed=1).tolist()
    torch.rand(3)
    assert scoring_batch(split, classes=2, per_class=10, seed=1).tolist() == first
    assert scoring_batch(split, classes=2, per_class=10, seed=2).tolist() != first


def test_a_larger_scoring_batch_contains_the_smaller_one():
    split = numbered(200, classes=2)
    small, large = (set(scoring_batch(split, classes=2, per_class=n, seed=1).tolist()) for n in (5, 20))
    assert small < large


def test_the_first_images_of_each_class_are_kept():
    labels = torch.tensor([1, 0, 1, 1, 0, 0])
    assert first_per_class(labels, classes=2, per_class=2, what="subset").tolist() == [1, 4, 0, 2]


def test_a_label_beyond_the_classes_is_named():
    with pytest.raises(DataError, match="subset: label 5 found, expected 0 to 1"):
        first_per_class(torch.tensor([0, 1, 5]), classes=2, per_class=1, what="subset")


def test_some_of_each_class_are_as_many_as_there_is_room_for_and_all_of_a_scarce_one():
    """Classes of 30, 2 and 0 images, and room for twelve: four of each that has them."""
    split = Images(torch.zeros(32, 1, 1, 1, dtype=torch.uint8), torch.tensor([0] * 15 + [1, 1] + [0] * 15))

    chosen = some_per_class(split, classes=3, most=12, seed=0)

    assert split.labels[chosen].tolist() == [0] * 4 + [1] * 2
    assert len(set(chosen.tolist())) == 6
    assert chosen.tolist() != some_per_class(split, classes=3, most=12, seed=1).tolist()


def test_more_classes_than_room_are_cut_to_the_room():
    assert len(some_per_class(numbered(60, classes=30), classes=30, most=20, seed=0)) == 20


def test_a_subset_has_the_images_and_labels_of_its_indices():
    held = numbered(6).subset(torch.tensor([4, 1]))
    streamed = Streamed(("a", "b", "c"), torch.tensor([0, 1, 2]), 8, "L").subset(torch.tensor([2, 0]))

    assert (held.pixels[:, 0, 0, 0].tolist(), held.labels.tolist()) == ([4, 1], [0, 1])
    assert (streamed.files, streamed.labels.tolist(), streamed.shape) == (("c", "a"), [2, 0], (1, 8, 8))
