"""Singular values of the input-output Jacobian."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pabench

BATCH = (torch.ones(2, 2), torch.tensor([0, 1]))


def test_of_a_linear_layer_they_are_those_of_its_weight():
    model = nn.Linear(2, 2)
    model.weight.data = torch.tensor([[3.0, 0.0], [0.0, 1.0]])

    found = pabench.measure(model, {}, "jacobian", batch=BATCH)

    assert (found["min"], found["max"], found["mean"], found["deviation"]) == pytest.approx((1, 3, 2, 1))


def test_an_orthogonal_network_is_isometric_and_pruning_takes_that_away():
    """Two rotations by 45 degrees; without one entry of the first, [[0, 0.7071], [-0.7071, 0.7071]] times a rotation.

    Its singular values have the product 1/2, their squares add up to 3/2: 0.7071 (golden ratio)^(+-1) = 1.144, 0.437.
    """
    turn = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]) / 2**0.5
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[0].weight.data, model[1].weight.data = turn.clone(), turn.clone()
    masks = {"0.weight": torch.tensor([[False, True], [True, True]])}

    dense = pabench.measure(model, {}, "jacobian", batch=BATCH)
    pruned = pabench.measure(model, masks, "jacobian", batch=BATCH)

    assert (dense["min"], dense["max"]) == pytest.approx((1, 1), abs=1e-6)
    assert (pruned["max"], pruned["min"]) == pytest.approx((0.5**0.5 * 1.618034, 0.5**0.5 / 1.618034), abs=1e-6)


def test_each_image_has_its_own_where_the_network_is_not_linear():
    """relu(x) at 2 and at -2: slopes 1 and 0."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    model[0].weight.data.fill_(1.0)
    batch = (torch.tensor([[2.0], [-2.0]]), torch.tensor([0, 0]))

    found = pabench.measure(model, {}, "jacobian", batch=batch)

    assert (found["min"], found["max"], found["mean"]) == (0.0, 1.0, 0.5)
    assert pabench.measure(model, {}, "jacobian", batch=batch, samples=1)["min"] == 1.0
