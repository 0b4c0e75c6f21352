"""Tests of pabench.diagnostics.diagnosis: what cannot be pruned. Its findings are tested by those of the doctor."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pabench.diagnostics.diagnosis import standardised, unprunable
from pabench.networks.network import Network


def test_what_cannot_be_pruned_is_counted_and_named():
    module = nn.ModuleDict(
        {
            "plain": nn.Linear(2, 3),
            "computed": nn.utils.parametrizations.weight_norm(nn.Linear(2, 3, bias=False)),
            "norm": nn.LayerNorm(3),
            "words": nn.Embedding(5, 2),
        }
    )
    module.register_parameter("cls_token", nn.Parameter(torch.zeros(1, 1, 2)))
    module.register_parameter("gamma", nn.Parameter(torch.zeros(3)))

    assert unprunable(module) == {
        "embeddings": ["cls_token", "words.weight"],
        "others": ["gamma"],
        "biases": ["plain.bias"],
        "computed weights": [
            "computed.parametrizations.weight.original0",
            "computed.parametrizations.weight.original1",
        ],
        "norms": ["norm.weight", "norm.bias"],
    }


def test_weights_that_are_standardised_before_use_are_named():
    class Standardised(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight - self.weight.mean())

    module = nn.Sequential(nn.Linear(2, 2), Standardised(2, 2))

    assert standardised(Network(module), torch.ones(1, 2)) == ["1.weight"]
