"""Rounds of pruning by a flow keep what the plain rounds keep."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from pabench_criteria.synflow import SynFlow
from torch import nn

import pabench.scoring.criterion
from pabench import registry
from pabench.networks import models
from pabench.networks.network import Network, scoring_mode
from pabench.scoring.pruning import context
from pabench.suite.specs import ModelSpec


def both(module, rule, density, shape=(3, 32, 32)):
    """First scores and last selection, by `ends` and by the plain rounds; and whether there was a flow."""
    network = Network(module, dtype=torch.float64)
    with scoring_mode(network.device):
        ctx = context(network, rule, (), seed=0, input_shape=shape)
        first, last = rule.ends(ctx, density)
        rounds = list(rule.rounds(ctx, density))
        return (first, last), (rounds[0].scores, rounds[-1].selection), rule.flow(ctx) is not None


def assert_alike(one, other):
    for n, s in other[0].items():
        torch.testing.assert_close(one[0][n], s, rtol=1e-10, atol=0)
        assert torch.equal(one[1].masks[n], other[1].masks[n]), n
    assert (one[1].tied, one[1].kept_of_tied) == (other[1].tied, other[1].kept_of_tied)


def built(name, shape=(3, 32, 32)):
    return models.build(models.resolve(ModelSpec(name), 10, shape), 10, shape, seed=0)


@pytest.mark.parametrize(
    ("name", "shape", "steps"),
    [
        ("lenet_300_100", (1, 28, 28), 100),
        ("lenet_5", (1, 28, 28), 100),
        ("resnet8", (3, 32, 32), 100),
        ("test_byobnet", (3, 32, 32), 10),
        ("test_efficientnet", (3, 32, 32), 10),
        pytest.param("resnet20", (3, 32, 32), 100, marks=pytest.mark.slow),
        pytest.param("vgg16_cifar", (3, 32, 32), 20, marks=pytest.mark.slow),
        pytest.param("resnet50", (3, 32, 32), 10, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", (3, 64, 64), 10, marks=pytest.mark.slow),
        pytest.param("mobilenetv2_100", (3, 64, 64), 10, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("criterion", ["synflow", "synflow_l2"])
def test_networks_keep_the_same_weights(name, shape, steps, criterion):
    rule = registry.criterion(criterion, {"steps": steps})

    quick, plain, flows = both(built(name, shape), rule, 0.05, shape)

    assert flows
    assert_alike(quick, plain)


@pytest.fixture
def quick_ends(monkeypatch):
    """How often rounds ended by the flow."""
    ended = []
    original = pabench.scoring.criterion.flow_rounds
    monkeypatch.setattr(
        pabench.scoring.criterion, "flow_rounds", lambda *args: ended.append(found := original(*args)) or found
    )
    return ended


def test_of_equal_scores_the_first_are_kept(quick_ends):
    module = nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 4, bias=False))
    for layer in (module[0], module[2]):
        nn.init.ones_(layer.weight)

    quick, plain, _ = both(module, SynFlow(steps=3), 0.3, (6,))

    assert quick_ends != [None]
    assert quick[1].tied > quick[1].kept_of_tied
    assert_alike(quick, plain)


def test_where_scores_of_0_have_to_be_kept_the_plain_rounds_decide(quick_ends):
    module = nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 4, bias=False))
    module[0].weight.data[1:] = 0

    quick, plain, _ = both(module, SynFlow(steps=3), 0.5, (6,))

    assert quick_ends == [None]
    assert_alike(quick, plain)


def test_weights_of_channels_that_die_later_are_pruned_next(quick_ends):
    """No channel may be lost with kept weights: they count until they are pruned."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 3))

    for density in (0.2, 0.05, 0.02):
        quick, plain, _ = both(module, SynFlow(steps=40), density, (8,))
        assert_alike(quick, plain)

    assert None not in quick_ends


@dataclass(frozen=True, kw_only=True)
class Squared(SynFlow):
    """A plugin that changes the score of a criterion that has a flow."""

    name = "squared"

    def score(self, ctx):
        return {n: s * ctx.weights[n].abs() for n, s in super().score(ctx).items()}


@pytest.mark.parametrize(
    "rule",
    [
        Squared(steps=3),
        SynFlow(steps=3, allocation="erk"),
        SynFlow(steps=3).inverted(),
        SynFlow(steps=3, clamps="off"),
        SynFlow(steps=1),
    ],
    ids=["another score", "a density per layer", "inverted", "another network", "one round"],
)
def test_the_flow_is_left_where_it_does_not_say_what_is_kept(rule, quick_ends):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))

    quick, plain, _ = both(module, rule, 0.4, (6,))

    assert quick_ends == []
    assert_alike(quick, plain)
