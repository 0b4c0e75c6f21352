"""The network that has a ticket planted in it."""

from __future__ import annotations

import math

import pytest
import torch

from pabench.data.planted import PlantedCircle, PlantedHelix, PlantedReLU
from pabench.errors import SuiteError
from pabench.networks import models
from pabench.networks.network import Network
from pabench.networks.zoo.planted import hidden_in
from pabench.suite.specs import ModelSpec

SPEC = ModelSpec("planted", {"width": 50, "depth": 5})


def masked(model):
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, mask in hidden_in(model).masks.items():
            weights[name].mul_(mask)
    return model.eval()


@pytest.mark.parametrize(("data", "error"), [(PlantedReLU(), 0.0002), (PlantedHelix(), 0.0004)])
def test_the_ticket_alone_computes_the_function_before_any_training(data, error):
    """Noise has the square 0.0001; the helix is straight between 30 knots besides."""
    model = masked(models.build(SPEC, data.classes, data.shape, seed=1))
    test = data.test()
    with torch.no_grad():
        outputs = model(test.pixels) / model.ticket.scale
    assert (outputs - test.labels).square().mean() < error


def test_the_ticket_of_circles_is_right_but_for_noise_and_ten_knots():
    data = PlantedCircle()
    test, model = data.test(), masked(models.build(SPEC, data.classes, data.shape, seed=1))
    with torch.no_grad():
        assert ((model(test.pixels) / model.ticket.scale).argmax(1) == test.labels).float().mean() > 0.97


def test_equal_seeds_hide_it_at_the_same_place_and_others_elsewhere():
    one, again, other = (models.build(SPEC, 1, (1, 1, 1), seed) for seed in (0, 0, 1))
    assert models.weights_digest(one) == models.weights_digest(again)
    assert all(torch.equal(mask, again.ticket.masks[n]) for n, mask in one.ticket.masks.items())
    assert any(not torch.equal(mask, other.ticket.masks[n]) for n, mask in one.ticket.masks.items())


def test_all_else_is_drawn_by_hes_rule_with_scaled_biases():
    model = models.build(ModelSpec("planted", {"width": 400, "depth": 4}), 1, (1, 1, 1), seed=0)
    first, second = model.hidden[0], model.hidden[2]
    assert float(second.weight.detach().std()) == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert float(first.bias.detach().std()) == pytest.approx(math.sqrt(2), rel=0.1)
    assert float(second.bias.detach().std()) == pytest.approx(math.sqrt(2) * math.sqrt(2 / 400), rel=0.1)


def test_what_a_criterion_is_given_does_not_hold_the_ticket():
    model = models.build(SPEC, 3, (1, 1, 1), seed=0)
    network = Network(model)
    assert set(network.weights) == set(model.ticket.masks)
    assert set(network.rest) == {name.replace("weight", "bias") for name in network.weights}
    assert not network.buffers


def test_other_data_are_refused_with_the_datasets_that_have_a_ticket():
    with pytest.raises(SuiteError, match="no ticket is known of 1 inputs and 10 outputs; use the datasets"):
        models.build(SPEC, 10, (1, 8, 8), seed=0)


def test_where_nothing_is_planted_nothing_is_found():
    assert hidden_in(torch.nn.Linear(2, 2)) is None
