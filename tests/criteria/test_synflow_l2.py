"""SynFlow-L2: synaptic flow of squared weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pabench


@pytest.fixture
def two_layers():
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    module[0].weight.data = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    module[2].weight.data = torch.tensor([[-5.0, 7.0]])
    return module


def test_scores_the_sum_of_squared_paths_through_each_weight(two_layers):
    scores = pabench.score(two_layers, "synflow_l2", input_shape=(2,))

    assert scores["0.weight"].tolist() == [[25.0, 100.0], [441.0, 0.0]]
    assert scores["2.weight"].tolist() == [[125.0, 441.0]]


def test_public_code_multiplies_by_the_weight_and_not_by_its_square(two_layers):
    scores = pabench.score(two_layers, "synflow_l2@px", input_shape=(2,))

    assert scores["0.weight"].tolist() == [[25.0, 50.0], [147.0, 0.0]]
    assert scores["2.weight"].tolist() == [[25.0, 63.0]]


def test_conserves_the_flow_from_layer_to_layer(case):
    module = case("a").module
    for layer in (module.fc1, module.fc2, module.fc3):
        layer.bias.data.zero_()

    totals = [s.sum().item() for s in pabench.score(module, "synflow_l2", input_shape=(64,)).values()]

    assert totals == pytest.approx([totals[0]] * 3, rel=1e-12)


def test_prunes_in_a_hundred_rounds_to_another_mask_than_synflow(case):
    module = case("b").module

    squared = pabench.prune(module, "synflow_l2", sparsity=0.9, input_shape=(3, 16, 16))
    plain = pabench.prune(module, "synflow", sparsity=0.9, input_shape=(3, 16, 16))

    assert squared.receipt["rounds"] == 100
    assert squared.receipt["kept"] == plain.receipt["kept"] == 507
    assert any(not torch.equal(squared[n], plain[n]) for n in plain)
