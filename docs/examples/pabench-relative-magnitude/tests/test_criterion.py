"""Numbers that can be worked out by hand, a law, and pabench's own checks."""

import pytest
import torch
from pabench_relative_magnitude.criterion import RelativeMagnitude
from torch import nn

import pabench
from pabench.diagnostics.conformance import examine


def network() -> nn.Sequential:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    module[0].weight.data = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    module[1].weight.data = torch.tensor([[0.1, 0.7]])
    return module


def test_scores_are_weights_in_units_of_their_layer():
    scores = pabench.score(network(), "relative_magnitude", input_shape=(2,))

    # the root mean squares are sqrt((9 + 16) / 4) = 2.5 and sqrt((0.01 + 0.49) / 2) = 0.5
    assert scores["0.weight"].flatten().tolist() == pytest.approx([1.2, 1.6, 0, 0])
    assert scores["1.weight"].flatten().tolist() == pytest.approx([0.2, 1.4])


def test_the_scale_of_a_layer_changes_no_mask():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    before = pabench.prune(module, RelativeMagnitude(), sparsity=0.8, input_shape=(8,))
    module[0].weight.data *= 64  # a power of two: exact

    after = pabench.prune(module, RelativeMagnitude(), sparsity=0.8, input_shape=(8,))

    assert all(torch.equal(before[n], after[n]) for n in before)


def test_it_passes_the_checks_that_built_in_criteria_pass():
    assert examine("relative_magnitude").failed == []
