"""Random pruning: the seed and nothing else, and each layer its share."""

from __future__ import annotations

import pytest
import torch

import pabench


def test_random_is_the_seed_and_nothing_else(case):
    module = case("a").module
    torch.manual_seed(1)
    first = pabench.prune(module, "random", sparsity=0.9, seed=0)
    torch.manual_seed(2)
    module.fc1.weight.data.mul_(7)
    again = pabench.prune(module, "random", sparsity=0.9, seed=0)
    other = pabench.prune(module, "random", sparsity=0.9, seed=1)

    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["fc1.weight"], other["fc1.weight"])


def test_random_masks_of_one_seed_are_nested(case):
    module = case("a").module

    dense, sparse = (pabench.prune(module, "random", sparsity=s) for s in (0.5, 0.9))

    assert all(not (sparse[n] & ~dense[n]).any() for n in dense)


@pytest.mark.parametrize(
    ("allocation", "kept"),
    [
        # layers of 3072, 1536 and 320 weights, 493 to keep
        ("uniform", [307, 154, 32]),
        # shares of (64 + 48), (48 + 32), (32 + 10): 234 in all
        ("er", [236, 169, 88]),
        ("erk", [236, 169, 88]),
        ("balanced", [165, 164, 164]),
    ],
)
def test_an_allocation_gives_each_layer_its_share(case, allocation, kept):
    masks = pabench.prune(case("a").module, "random", sparsity=0.9, allocation=allocation)

    assert [int(m.sum()) for m in masks.values()] == kept
