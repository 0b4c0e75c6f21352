"""Masks: what they say of themselves, and packed bits on disk."""

from __future__ import annotations

import doctest

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import pabench
from pabench.errors import DataError
from pabench.scoring import masks as masking
from pabench.scoring.masks import pack, unpack

# --- As a dict with a receipt -----------------------------------------------------------------------------------------


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(masking) == (0, 1)


def test_masks_print_as_one_line_with_criterion_sparsity_count_and_flags():
    """48 of 48 scores are 0: the ranking means nothing, and of 5 weights kept none is in the second layer."""
    module = nn.Sequential(nn.Linear(8, 4, bias=False), nn.Linear(4, 4, bias=False))
    for layer in module:
        nn.init.zeros_(layer.weight)

    masks = pabench.prune(module, "magnitude", sparsity=0.9)

    assert repr(masks) == str(masks)
    assert str(masks) == "Masks(magnitude: sparsity 0.895833, 5 of 48 weights kept; degenerate; tied; layer collapse)"


def test_masks_that_no_criterion_made_print_without_one_and_count_by_thousands():
    masks = pabench.shuffle({"w": torch.arange(10_000) < 2_500}, seed=0)

    assert str(masks) == "Masks(sparsity 0.75, 2,500 of 10,000 weights kept)"


def test_the_sparsity_is_that_of_the_masks_as_they_are():
    masks = pabench.prune(nn.Linear(5, 2), "magnitude", sparsity=0.55)
    assert masks.sparsity == pytest.approx(0.5) == masks.receipt["sparsity"]

    masks["weight"] = torch.zeros(2, 5, dtype=torch.bool)

    assert masks.sparsity == 1
    assert pabench.Masks({}, {}, []).sparsity == 0


# --- On disk ----------------------------------------------------------------------------------------------------------


def test_masks_come_back_as_they_were_with_their_receipt(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.Flatten(), nn.Linear(3, 5))
    masks = pabench.prune(module, "random", sparsity=0.5)

    masks.save(tmp_path / "masks.safetensors")
    loaded = pabench.Masks.load(tmp_path / "masks.safetensors")

    assert list(loaded) == ["0.weight", "2.weight"]
    assert all(torch.equal(loaded[n], masks[n]) and loaded[n].dtype == torch.bool for n in masks)
    assert loaded.receipt == masks.receipt
    assert loaded.flags == masks.flags == []


def test_eight_weights_take_one_byte(tmp_path):
    """27 + 15 weights: 4 + 2 bytes, readable by anybody's safetensors."""
    masks = {"a": torch.ones(3, 9, dtype=torch.bool), "b": torch.zeros(15, dtype=torch.bool)}

    (tmp_path / "m").write_bytes(pack(masks, {}))

    assert {n: t.numel() for n, t in load_file(tmp_path / "m").items()} == {"a": 4, "b": 2}


def test_equal_masks_give_equal_bytes():
    masks = {"a": torch.tensor([True, False, True])}

    assert pack(masks, {"b": 1, "a": 2}) == pack({"a": masks["a"].clone()}, {"a": 2, "b": 1})


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:20], lambda b: b"{}" * 50])
def test_a_damaged_file_is_an_error_and_not_a_mask(damage):
    whole = pack({"a": torch.ones(100, dtype=torch.bool)}, {})

    with pytest.raises(DataError):
        unpack(damage(whole))
