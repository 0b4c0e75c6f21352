"""Masks on disk: packed bits, shapes, receipt."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import pabench
from pabench.errors import DataError
from pabench.maskfile import pack, unpack


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
