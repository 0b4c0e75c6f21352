"""The flow of positive numbers through a network, and what is left of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from pabench.networks.flow import Flow


def flow_of(module, *shape):
    module = module.double().eval()
    weights = {n: p.detach().abs() for n, p in module.named_parameters() if p.dim() > 1}
    own = [*module.named_parameters(), *module.named_buffers()]
    rest = {n: t.detach().abs() for n, t in own if n not in weights}
    return Flow.of(lambda t, x: functional_call(module, t, (x,)), weights, rest, torch.ones(1, *shape).double())


def perceptron():
    """2 -> 3 -> BatchNorm (factor 2, shift 1) -> ReLU -> 1; the second unit has no weight in."""
    norm = nn.BatchNorm1d(3, eps=0.0)
    module = nn.Sequential(nn.Linear(2, 3, bias=False), norm, nn.ReLU(), nn.Linear(3, 1, bias=False))
    module[0].weight.data = torch.tensor([[1.0, -2.0], [0.0, 0.0], [3.0, 4.0]])
    norm.weight.data.fill_(2.0)
    norm.bias.data = torch.tensor([1.0, 0.0, 0.0])
    module[3].weight.data = torch.tensor([[5.0, 7.0, -1.0]])
    return module


def test_scores_are_the_flow_through_each_weight():
    """The units give 2 * (1 + 2) + 1 = 7, 0 and 2 * (3 + 4) = 14."""
    scores = flow_of(perceptron(), 2)

    found = scores.whole(scores.scores())

    assert found["0.weight"].tolist() == [[10.0, 20.0], [0.0, 0.0], [6.0, 8.0]]
    assert found["3.weight"].tolist() == [[35.0, 0.0, 14.0]]


def test_a_dead_unit_is_taken_out_and_the_flow_through_the_others_stays():
    flow = flow_of(perceptron(), 2)
    before = flow.whole(flow.scores().clone())

    assert flow.shrink()

    assert len(flow.weights) == 2 * 2 + 2
    after = flow.whole(flow.scores())
    assert {n: s.tolist() for n, s in after.items()} == {n: s.tolist() for n, s in before.items()}


def test_a_copy_is_pruned_by_itself():
    flow = flow_of(perceptron(), 2)
    before = flow.scores().tolist()
    other = flow.copy()

    other.drop(torch.tensor([4, 5]))
    other.shrink()
    other.scores()

    assert flow.scores().tolist() == before


class Negative(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.layer, self.step = nn.Linear(4, 4), step

    def forward(self, x):
        return self.step(self.layer(x))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.layer(x))


@pytest.mark.parametrize(
    "module",
    [
        Negative(nn.LayerNorm(4)),
        Negative(nn.Softmax(-1)),
        Negative(lambda y: y - 1),
        Negative(lambda y: -1 * y),
        Negative(lambda y: y + -0.5),
        Negative(lambda y: nn.functional.dropout(y, 0.5, True)),
        Negative(lambda y: y.sort().values),
        Tied(),
    ],
    ids=["layer norm", "softmax", "difference", "negative factor", "negative term", "dropout", "unknown", "tied"],
)
def test_there_is_none_where_numbers_may_be_negative_or_a_weight_is_not_one_layers(module):
    assert flow_of(module, 4) is None


def test_there_is_none_behind_a_running_mean_that_takes_more_than_the_bias_gives():
    module = perceptron()
    module[1].running_mean.fill_(0.5)  # 2 * 0.5 = 1: the first unit's bias covers it, the others have none

    assert flow_of(module, 2) is None
