"""The cubic schedule of gradual magnitude pruning, and masks that follow from a density and the weights."""

from __future__ import annotations

import doctest

import pytest
import torch

from pabench.scoring import gradual as module
from pabench.scoring.gradual import Gradual

HALFWAY = Gradual(density=0.1, begin=0.2, end=0.6, prunings=4, allocation="uniform")


@pytest.mark.parametrize(
    ("done", "sparsity"),
    [
        (0.0, 0.0),
        (0.29, 0.0),
        # after one of four intervals 0.9 (1 - 0.75^3), after two 0.9 (1 - 0.5^3), after three 0.9 (1 - 0.25^3)
        (0.31, 0.5203125),
        (0.41, 0.7875),
        (0.59, 0.8859375),
        (0.6, 0.9),
        (1.0, 0.9),
    ],
)
def test_the_sparsity_rises_by_the_cube_between_begin_and_end(done, sparsity):
    assert 1 - HALFWAY.at(done) == pytest.approx(sparsity, abs=1e-12)


def test_the_last_density_is_the_one_that_was_asked_for_to_the_bit():
    for density in (0.1, 1 - 0.9, 1 - 0.98, 1 - 0.999):
        assert Gradual(density, 0.1, 1.0, 100, "uniform").at(1.0) == density


def test_the_same_share_of_each_layer_goes_and_the_total_is_exact():
    """Of 40 and 8 weights a quarter stays: 10 and 2, the largest by size; -15 and 15 tie, and the first is kept."""
    weights = {"a": torch.arange(-20.0, 20).view(4, 10), "b": torch.arange(8.0).view(2, 4)}

    masks = HALFWAY.masks(weights, 0.25)

    assert masks["a"].flatten().nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 5, 36, 37, 38, 39]
    assert masks["b"].flatten().tolist() == [False] * 6 + [True] * 2


def test_pruned_weights_are_the_first_to_go_on_so_masks_need_no_memory():
    """What was pruned is 0: a second pruning takes it and the next ones, wherever training was taken up."""
    torch.manual_seed(0)
    weights = {"a": torch.randn(30, 10), "b": torch.randn(20, 5)}
    first = HALFWAY.masks(weights, 0.5)
    moved = {n: (w + 0.3 * torch.randn_like(w)) * first[n] for n, w in weights.items()}

    again, second = HALFWAY.masks(moved, 0.5), HALFWAY.masks(moved, 0.2)

    assert all(torch.equal(again[n], first[n]) for n in first)
    assert all(not (second[n] & ~first[n]).any() for n in first)


def test_the_example_holds():
    assert doctest.testmod(module).failed == 0
