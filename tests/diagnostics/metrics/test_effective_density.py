"""Effective density; which weights count is proved in tests/networks/test_liveness.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pabench


def test_weights_without_a_way_in_or_out_do_not_count():
    """2 - 3 - 2 units, 12 weights, 7 kept: of these unit 0's way in (no way out) and unit 1's way out are wasted."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    masks = {
        "0.weight": torch.tensor([[1, 1], [0, 0], [1, 0]]).bool(),
        "2.weight": torch.tensor([[0, 1, 1], [0, 1, 1]]).bool(),
    }

    found = pabench.measure(model, masks, "effective_density")

    assert found == {"effective_density": pytest.approx(3 / 12), "of_kept": pytest.approx(3 / 7)}


def test_a_dense_network_is_wholly_effective_and_an_empty_mask_has_no_share():
    model = nn.Linear(3, 2)

    assert pabench.measure(model, {}, "effective_density") == {"effective_density": 1.0, "of_kept": 1.0}
    empty = {"weight": torch.zeros(2, 3, dtype=torch.bool)}
    assert pabench.measure(model, empty, "effective_density") == {"effective_density": 0.0, "of_kept": None}
