"""Which channels are left of a network that is pruned and not trained."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from pabench.networks.compact.survivors import Survivors


def survivors(module, x):
    tensors = {n: p.detach() for n, p in module.named_parameters()}
    return Survivors(lambda t: functional_call(module, t, (x,)), tensors)


def connected(*rows):
    return torch.tensor(rows).bool()


def test_ever_fewer_channels_are_left_and_one_where_all_are_dead():
    module = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
    found = survivors(module, torch.ones(1, 2))
    second = connected([1, 1, 1], [1, 1, 1])

    before = found.along({"0.weight": connected([0, 0], [1, 0], [0, 1]), "1.weight": second})
    after = found.along({"0.weight": connected([0, 0], [0, 0], [0, 0]), "1.weight": second})

    assert before["0.weight", 0].tolist() == before["1.weight", 1].tolist() == [1, 2]
    assert after["0.weight", 0].tolist() == [1]


def test_a_bias_of_0_stays_0_whatever_follows():
    """In training a bias before a sigmoid would move, and its unit has to stay."""
    module = nn.Sequential(nn.Linear(1, 2), nn.SiLU(), nn.Linear(2, 1))
    nn.init.zeros_(module[0].bias)

    left = survivors(module, torch.ones(1, 1)).along({"0.weight": connected([0], [1]), "2.weight": connected([1, 1])})

    assert left["0.bias", 0].tolist() == [1]
