"""What one run of a network did, done again without its code."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from pabench.networks.tape import recorded


class Net(nn.Module):
    """A layer and what a test does with its outputs."""

    def __init__(self, then):
        super().__init__()
        self.layer, self.then = nn.Linear(3, 4), then

    def forward(self, x):
        return self.then(self.layer(x))


def tape_of(then):
    module = Net(then)
    tensors, x = {n: p.detach() for n, p in module.named_parameters()}, torch.randn(2, 3)
    return module, recorded(lambda t, given: functional_call(module, t, (given,)), tensors, x)


def added_in_place(y):
    y += y.relu()
    return y


def kept_before_a_change(y):
    before = y * 1
    y.relu_()
    return before + y


@pytest.mark.parametrize(
    "then",
    [
        lambda y: torch.cat([y, y.relu()], dim=1).flatten(1),
        added_in_place,
        kept_before_a_change,
        lambda y: nn.functional.relu(y, inplace=True).mul_(2),
    ],
)
def test_gives_what_the_network_gives_with_other_tensors(then):
    module, tape = tape_of(then)
    other = {"layer.weight": torch.randn(4, 3), "layer.bias": torch.randn(4)}
    x = torch.randn(5, 3)

    assert torch.equal(tape.run(other, x), functional_call(module, other, (x,)))


def change_of_a_view(y):
    y[:, 0].zero_()
    return y


@pytest.mark.parametrize(
    "then",
    [
        change_of_a_view,
        lambda y: y + torch.ones(4),
        lambda y: y if y.sum() > 0 else -y,
        lambda y: y.chunk(2, 1)[0],
        lambda y: torch.ones(2, 4),
    ],
    ids=["a view is changed", "a constant of its own", "a decision", "several results", "no result of the input"],
)
def test_there_is_none_of_what_a_tape_cannot_hold(then):
    assert tape_of(then)[1] is None
