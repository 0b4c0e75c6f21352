"""What a criterion may look at: losses, all-ones inputs, randomness and other initializations, from the seed alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pabench.errors import SuiteError
from pabench.networks.network import Network
from pabench.scoring.context import ScoreContext, Sources, permuted


def context(**changes):
    """A linear layer of 2 x 2 weights with logits W x, on two batches of one image each."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    network = Network(layer)
    x = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
    given = {
        "weights": network.weights,
        "mask": {"weight": torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)},
        "rest": network.rest,
        "call": network.call,
        "batches": ((x, torch.tensor([0])), (x, torch.tensor([1]))),
        "input_shape": (2,),
    }
    return ScoreContext(**(given | changes))


def test_the_loss_adds_up_the_means_of_the_batches():
    """Logits ln 3 and 0 are probabilities 3/4 and 1/4: the losses are -ln(3/4) and -ln(1/4)."""
    ctx = context()

    assert float(ctx.loss(ctx.weights)) == pytest.approx(math.log(4 / 3) + math.log(4))
    # at temperature 2 the odds are the square root of 3
    root = math.sqrt(3)
    expected = -math.log(root / (1 + root)) - math.log(1 / (1 + root))
    assert float(ctx.loss(ctx.weights, temperature=2.0)) == pytest.approx(expected)


def test_kept_weights_are_those_of_the_mask():
    ctx = context(weights={"weight": torch.full((2, 2), 7.0, dtype=torch.float64)})

    assert ctx.kept["weight"].tolist() == [[7.0, 0.0], [0.0, 7.0]]


def test_an_input_of_ones_has_the_shape_and_type_of_the_network():
    ones = context().ones()

    assert ones.tolist() == [[1.0, 1.0]]
    assert ones.dtype == torch.float64
    with pytest.raises(SuiteError, match=r"give input_shape=\(C, H, W\)"):
        context(input_shape=()).ones()


def test_generators_depend_on_seed_purpose_and_round_alone():
    def drawn(**changes):
        purpose = changes.pop("purpose", "probe")
        return torch.rand(3, generator=context(**changes).generator(purpose))

    assert torch.equal(drawn(), drawn())
    assert len({tuple(drawn(**c).tolist()) for c in ({}, {"seed": 1}, {"round": 1}, {"purpose": "other"})}) == 4


def test_another_initialization_is_the_weights_elsewhere_unless_a_study_draws_it():
    weights = {"weight": torch.arange(4.0, dtype=torch.float64).view(2, 2)}

    found = context(weights=weights).redrawn("probe")["weight"]

    assert sorted(found.flatten().tolist()) == [0.0, 1.0, 2.0, 3.0]
    given = context(sources=Sources(redraw=lambda seed: {"weight": torch.tensor(float(seed > 0))}))
    assert given.redrawn("probe")["weight"] == 1.0


def test_trained_weights_are_asked_for_where_nobody_gives_them():
    with pytest.raises(SuiteError, match="trained weights are not known"):
        context().trained()


def test_a_permutation_moves_entries_and_changes_none():
    tensor = torch.arange(6.0).view(2, 3)

    moved = permuted(tensor, torch.Generator().manual_seed(0))

    assert moved.shape == (2, 3)
    assert sorted(moved.flatten().tolist()) == tensor.flatten().tolist()
    assert torch.equal(moved, permuted(tensor, torch.Generator().manual_seed(0)))
