"""Tickets of known functions, and what planting leaves of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from pabench.data.planted import helix, rings
from pabench.networks.ticket import SMALL, Layer, evaluated, plant, ticket

X = torch.linspace(-1, 1, 2001, dtype=torch.float64)[:, None]
DEPTHS = range(2, 8)


def weights(layers):
    return [int((layer.weight.abs() > SMALL * layer.weight.abs().max()).sum()) for layer in layers]


@pytest.mark.parametrize("layers", DEPTHS)
def test_a_ticket_of_relu_is_one_weight_a_layer_and_exact(layers):
    found = ticket(1, 1, layers)
    assert weights(found) == [1] * layers
    assert torch.equal(evaluated(found, X), X.clamp(min=0))


@pytest.mark.parametrize("layers", DEPTHS)
def test_a_ticket_of_the_helix_meets_it_at_its_knots(layers):
    """29 straight pieces: no piece is further from the curve than the square of its width, times its bend, by 8."""
    knots = torch.linspace(-1, 1, 30, dtype=torch.float64)
    found = ticket(1, 3, layers)
    assert torch.allclose(evaluated(found, knots[:, None]), helix(knots), atol=1e-12)
    bend = 9 * torch.pi**2 * 1.004  # |f''| <= 9 pi^2 sqrt(4 + t^2) / 8 pi, and t is 8 pi at most
    assert (evaluated(found, X) - helix(X[:, 0])).abs().max() < (2 / 29) ** 2 * bend / 8


@pytest.mark.parametrize("layers", DEPTHS)
def test_a_ticket_of_circles_has_the_lines_of_the_rings(layers):
    """Squares by straight lines between knots 2/9 or 1/9 apart: off by a quarter of the square at most, each of two."""
    x = torch.rand(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    apart = (2 if layers == 2 else 1) / 9
    off = (evaluated(ticket(2, 4, layers), x) - rings(x.square().sum(1))).abs().max(0).values
    assert (off <= torch.tensor([5, 10, 20, 40]) * 2 * apart**2 / 4 + 1e-9).all()


def test_tickets_have_as_many_weights_as_those_of_the_authors_code():
    """RelationalML/PlantNSeek at da69ccf, `tickets.py`, weights that are more than rounding errors."""
    assert [sum(weights(ticket(1, 3, layers))) for layers in (2, 3, 4, 5)] == [91, 92, 95, 98]
    assert [sum(weights(ticket(2, 4, layers))) for layers in (2, 3, 4)] == [100, 124, 108]


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 3), (2, 4)])
def test_a_planted_ticket_computes_its_function_up_to_a_factor_for_each_output(inputs, outputs):
    drawn = torch.Generator().manual_seed(outputs)
    sizes = [inputs, 40, 40, 40, outputs]
    layers = [
        Layer(*(torch.randn(n, generator=drawn, dtype=torch.float64) for n in ((b, a), (b,))))
        for a, b in pairwise(sizes)
    ]
    found = ticket(inputs, outputs, 4)
    made = plant(found, layers)
    alone = [Layer(layer.weight * mask, layer.bias) for layer, mask in zip(made.layers, made.masks, strict=True)]

    x = torch.rand(100, inputs, generator=drawn, dtype=torch.float64) * 2 - 1
    assert torch.allclose(evaluated(alone, x) / made.scale, evaluated(found, x), atol=1e-8)
    assert [int(mask.sum()) for mask in made.masks] == weights(found)
    assert (made.scale > 0).all()
    # nothing else of the network has moved
    for before, after, mask in zip(layers, made.layers, made.masks, strict=True):
        assert torch.equal(before.weight[~mask], after.weight[~mask])


def test_a_unit_goes_where_the_drawn_weights_are_most_like_it():
    """[2] is twice the unit's 1 with the same sign; -9 has the other sign, 1.9 with a bias of 3 is further away."""
    found = [Layer(torch.tensor([[1.0]]).double(), torch.zeros(1).double()), ticket(1, 1, 2)[1]]
    there = Layer(torch.tensor([[-9.0], [1.9], [2.0]]).double(), torch.tensor([0.0, 3.0, 0.1]).double())
    last = Layer(torch.tensor([[1.0, 1.0, 4.0]]).double(), torch.zeros(1).double())

    made = plant(found, [there, last])

    assert made.masks[0].flatten().tolist() == [False, False, True]
    assert made.layers[0].bias.tolist() == [0.0, 3.0, 0.0]
    # at 2 the first layer is too large by 2; the drawn 4 is 8 times the 1/2 that is left to do
    assert (made.layers[1].weight.tolist(), made.scale.tolist()) == ([[1.0, 1.0, 4.0]], [8.0])


def test_a_network_too_narrow_for_a_ticket_is_refused():
    narrow = [Layer(torch.ones(b, a).double(), torch.ones(b).double()) for a, b in ((1, 9), (9, 9), (9, 9), (9, 3))]
    with pytest.raises(ValueError, match="width: the ticket has 30 units in a layer, more than 9"):
        plant(ticket(1, 3, 4), narrow)


def test_what_has_no_ticket_is_refused():
    with pytest.raises(
        ValueError, match="no ticket is known of 3 inputs and 10 outputs; use the datasets planted_relu"
    ):
        ticket(3, 10, 4)
    with pytest.raises(ValueError, match="depth: 2 counts the input, too; expected 3 or more"):
        ticket(1, 1, 1)
