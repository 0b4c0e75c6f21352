"""Tests of pabench.data.digits, and of subsets by its example."""

from __future__ import annotations

import pytest
import torch

from pabench.data.digits import Digits, Digits32
from pabench.data.split import scoring_batch
from pabench.errors import DataError


def test_digits_are_those_of_scikit_learn_in_a_stratified_split():
    images, labels = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    original = sorted((int(y), *row) for row, y in zip(images.astype(int).tolist(), labels, strict=True))
    train, test = Digits().train(), Digits().test()
    assert (len(train), len(test)) == (1437, 360)

    pixels, kept = torch.cat([train.pixels, test.pixels]), torch.cat([train.labels, test.labels])
    stored = sorted((y, *row) for row, y in zip((pixels // 15).flatten(1).tolist(), kept.tolist(), strict=True))

    assert stored == original
    # a fifth of each class, rounded
    assert all(abs(len(test) * int((labels == c).sum()) / 1797 - int((test.labels == c).sum())) < 1 for c in range(10))


def test_digits_constants_are_the_moments_of_the_training_pixels():
    pixels = Digits().train().pixels / 255
    assert float(pixels.mean()) == pytest.approx(Digits.mean[0], abs=5e-5)
    assert float(pixels.std(correction=0)) == pytest.approx(Digits.std[0], abs=5e-5)


def test_a_subset_holds_the_first_images_of_each_class_in_file_order():
    whole, part = Digits().train(), Digits(train_per_class=2).train()
    expected = sorted(i for c in range(10) for i in (whole.labels == c).nonzero().flatten()[:2].tolist())
    assert torch.equal(part.pixels, whole.pixels[expected])
    assert torch.equal(part.labels, whole.labels[expected])


def test_a_test_subset_leaves_the_training_split_whole():
    dataset = Digits(test_per_class=3)
    assert (len(dataset.train()), len(dataset.test())) == (1437, 30)


def test_a_subset_larger_than_a_class_names_class_and_count():
    with pytest.raises(DataError, match="digits: test_per_class: class 2 has 35 images, 36 per class are needed"):
        Digits(test_per_class=36).test()


def test_a_subset_serves_a_scoring_batch_of_its_whole_class():
    train = Digits(train_per_class=5).train()
    chosen = scoring_batch(train, classes=10, per_class=5, seed=1)
    assert sorted(chosen.tolist()) == list(range(50))


def test_large_digits_are_the_same_pixels_four_times_as_wide_and_high_in_three_channels():
    small, large = Digits().train(), Digits32().train()

    assert tuple(large.pixels.shape) == (1437, *Digits32.shape)
    assert torch.equal(large.labels, small.labels)
    assert torch.equal(large.pixels[:, :, ::4, ::4], small.pixels.expand(-1, 3, -1, -1))
    assert torch.equal(large.pixels[:, 2, 3::4, 3::4], small.pixels[:, 0])


def test_held_out_images_are_the_last_training_images_of_each_class_and_none_is_trained_on():
    whole, split = Digits().train(), Digits(held_out_per_class=20)
    train, held = split.train(), split.test()

    assert len(train) + len(held) == len(whole)
    assert held.labels.bincount().tolist() == [20] * 10
    for digit in range(10):
        own, kept, out = (part.pixels[part.labels == digit] for part in (whole, train, held))
        assert torch.equal(own, torch.cat([kept, out]))
    assert torch.equal(
        Digits(held_out_per_class=20, train_per_class=3).train().pixels, Digits(train_per_class=3).train().pixels
    )
    with pytest.raises(
        DataError, match=r"digits: held_out_per_class: class \d has \d+ images, 1000 per class are needed"
    ):
        Digits(held_out_per_class=1000).test()
