"""Data of functions that are known."""

from __future__ import annotations

import pytest
import torch

from pabench.data import planted
from pabench.data.dataset import identity, loader, take
from pabench.data.planted import PlantedCircle, PlantedHelix, PlantedReLU
from pabench.data.split import scoring_batch, some_per_class


def test_the_examples_in_the_docstrings_hold():
    import doctest

    assert doctest.testmod(planted).failed == 0


def test_nine_of_ten_samples_are_for_training_and_none_is_in_both_splits():
    data = PlantedReLU(samples=1000)
    train, test = data.train(), data.test()
    assert (len(train), len(test)) == (900, 100)
    assert not set(train.pixels.flatten().tolist()) & set(test.pixels.flatten().tolist())
    assert (train.pixels.dtype, train.labels.dtype, train.labels.shape) == (torch.float32, torch.float32, (900, 1))


def test_without_noise_targets_are_the_functions_values():
    relu, helix = PlantedReLU(samples=100, noise=0.0).train(), PlantedHelix(samples=100, noise=0.0).train()
    assert torch.equal(relu.labels[:, 0], relu.pixels.flatten().clamp(min=0))
    # the third coordinate is (5 + 3 x) / 8, and the radius of the other two is as large
    height = (5 + 3 * helix.pixels.flatten()) / 8
    assert torch.allclose(helix.labels[:, 2], height)
    assert torch.allclose(helix.labels[:, :2].norm(dim=1), height, atol=1e-6)


def test_circles_are_told_apart_by_their_squared_radius():
    data = PlantedCircle(samples=2000, noise=0.0).train()
    r2 = data.pixels.flatten(1).square().sum(1)
    expected = sum((r2 > bound).long() for bound in (0.2, 0.5, 0.7))
    assert torch.equal(data.labels, expected)


def test_noise_moves_so_many_samples_into_the_next_ring():
    clean, noisy = (PlantedCircle(noise=noise).train().labels for noise in (0.0, 0.1))
    moved = clean != noisy
    assert moved.float().mean() == pytest.approx(0.1, abs=0.01)
    assert (clean - noisy)[moved].abs().max() == 1


def test_content_is_what_a_fingerprint_is_of():
    assert PlantedReLU().fingerprint() == PlantedReLU().fingerprint()
    different = {
        identity(data) for data in (PlantedReLU(), PlantedReLU(seed=1), PlantedReLU(noise=0.02), PlantedHelix())
    }
    assert len(different) == 4


def test_inputs_that_are_no_pixels_reach_the_network_as_they_are():
    """Bytes are divided by 255, numbers are not."""
    data = PlantedHelix(samples=40)
    train = data.train()
    ((x, y),) = loader(train, batch_size=100, mean=data.mean, std=data.std)
    assert torch.equal(x, train.pixels)
    assert torch.equal(y, train.labels)
    assert torch.equal(take(train, torch.tensor([3]), mean=data.mean, std=data.std)[0], train.pixels[3:4])
    assert torch.equal(train.pixels, data.train().pixels)  # nothing is changed in place


def test_scoring_batches_of_numbers_are_random_and_nested():
    """40 samples, where a criterion asks for 10 a class; a larger batch has those of a smaller one."""
    data = PlantedHelix()
    small, large = (scoring_batch(data.train(), classes=data.groups, per_class=n, seed=0) for n in (10, 20))
    assert (len(small), len(set(small.tolist()))) == (40, 40)
    assert set(small.tolist()) < set(large.tolist())
    assert len(some_per_class(data.train(), classes=data.groups, most=2000, seed=0)) == 2000
