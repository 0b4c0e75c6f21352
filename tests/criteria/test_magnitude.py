"""Magnitude pruning: the largest weights stay."""

from __future__ import annotations

import torch
from torch import nn

import pabench


def test_magnitude_keeps_the_largest_weights():
    module = nn.Linear(3, 1, bias=False)
    module.weight.data = torch.tensor([[0.1, -3.0, 2.0]])

    masks = pabench.prune(module, "magnitude", sparsity=0.34)

    assert masks["weight"].tolist() == [[False, True, True]]
