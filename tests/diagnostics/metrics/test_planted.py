"""Masks against the ticket that is planted in the network."""

from __future__ import annotations

import pytest
import torch

import pabench
from pabench.data.planted import PlantedCircle, PlantedHelix
from pabench.errors import SuiteError
from pabench.networks import models
from pabench.suite.specs import ModelSpec

CIRCLE = PlantedCircle()
BATCH = (CIRCLE.test().pixels, CIRCLE.test().labels)


@pytest.fixture(scope="module")
def model():
    return models.build(ModelSpec("planted", {"width": 50}), 4, (2, 1, 1), seed=0)


def test_the_ticket_itself_is_found_whole_and_computes_its_function(model):
    found = pabench.measure(model, model.ticket.masks, "planted", batch=BATCH)

    assert (found["precision"], found["recall"], found["size"]) == (1, 1, 108)
    assert found["sparsity"] == pytest.approx(1 - 108 / 5300)
    assert (found["lost_layers"], found["short_layers"], found["layers"]) == (0, 0, 4)
    assert found["quality"] == found["ticket_quality"] > 97
    assert found["loss"] == found["ticket_loss"]


def test_precision_and_recall_are_counted_over_the_network_and_by_layer(model):
    """Half of the ticket's first layer and all of the others, and as many weights more as the ticket has."""
    masks = {name: mask.clone() for name, mask in model.ticket.masks.items()}
    first = masks["hidden.0.weight"]
    first[first.nonzero()[:2].unbind(1)] = False  # 2 of 4
    others = (~model.ticket.masks["hidden.4.weight"]).nonzero()[:108]
    masks["hidden.4.weight"][others.unbind(1)] = True

    found = pabench.measure(model, masks, "planted", batch=BATCH)

    assert found["recall"] == pytest.approx(106 / 108)
    assert found["precision"] == pytest.approx(106 / (106 + 108))
    assert (found["precision.hidden.0.weight"], found["recall.hidden.0.weight"]) == (1, 0.5)
    assert found["precision.hidden.4.weight"] == pytest.approx(20 / 128)
    assert (found["lost_layers"], found["short_layers"]) == (0, 1)


def test_a_layer_that_keeps_nothing_is_lost_and_short(model):
    masks = {**model.ticket.masks, "fc.weight": torch.zeros(4, 50, dtype=torch.bool)}

    found = pabench.measure(model, masks, "planted", batch=BATCH)

    assert (found["lost_layers"], found["short_layers"], found["precision.fc.weight"]) == (1, 1, None)
    assert found["quality"] < 60


def test_numbers_are_scaled_to_fit_before_they_are_compared():
    """R² of the ticket is that of the function, though planting made its outputs thousands of times smaller."""
    from pabench.diagnostics.measure import complete, measured, prepared
    from pabench.diagnostics.metric import MetricContext
    from pabench.diagnostics.metrics.planted import Planted
    from pabench.networks.network import Network

    data, model = PlantedHelix(), models.build(ModelSpec("planted", {"width": 50}), 3, (1, 1, 1), seed=0)
    network, test = Network(model), data.test()
    ctx = MetricContext(load_test=lambda: prepared([(test.pixels, test.labels)], network), ticket=model.ticket)

    ticket = measured(Planted(), complete(model.ticket.masks, network), network, ctx)
    nothing = {name: torch.zeros_like(mask) for name, mask in model.ticket.masks.items()}
    empty = measured(Planted(), complete(nothing, network), network, ctx)

    assert ticket["quality"] > 0.998
    assert empty["precision"] is None
    assert empty["recall"] == 0
    assert empty["quality"] < 0.7  # constants are all that biases give


def test_a_network_without_a_ticket_is_refused():
    with pytest.raises(SuiteError, match="no ticket is planted in Linear; the model `planted` has one"):
        pabench.measure(torch.nn.Linear(2, 2), {}, "planted")
