"""Sign-In: one weight by hand, and a sign that plain training cannot flip."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch import nn

from pabench.suite.specs import Recipe
from pabench.training.optimizer import build_optimizer
from pabench.training.sparse import Held, signin
from pabench.training.sparse.signin import SignIn, factors

CPU = torch.device("cpu")


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(signin).failed == 0


@pytest.mark.parametrize("beta", [0.25, 1.0, 3.0])
def test_factors_give_the_weight_and_the_invariant(beta):
    w = torch.linspace(-3, 3, 101, dtype=torch.float64)
    m, v = factors(w, beta)
    assert torch.allclose(m * v, w, atol=1e-15)
    assert torch.allclose(m**2 - v**2, torch.full_like(w, beta), atol=1e-13)


def test_the_weights_before_the_first_step_are_those_of_plain_training(small):
    held = small(SignIn(), {"w": [0.3, -0.7, 0.2]}, {"w": [1, 1, 0]})
    assert torch.equal(held.weights["w"], torch.tensor([0.3, -0.7, 0.0]))
    m, v = held.moved["w"]
    assert torch.allclose(m * v, held.weights["w"], rtol=3e-7)
    assert v.tolist()[2] == 0.0


def test_a_step_moves_both_factors_by_the_chain_rule(small, step):
    """w = -6 with beta 5 is 3 * -2. Gradient 1 and rate 0.1: m = 3 + 0.2, v = -2 - 0.3, their product -7.36."""
    recipe = Recipe(lr=0.1, momentum=0.0, weight_decay=0.0)
    held = small(SignIn(beta=5.0), {"w": [-6.0, 0.0]}, {"w": [1, 0]}, recipe=recipe)

    assert step(held, 0, {"w": [1.0, 1.0]}) is True

    m, v = held.moved["w"]
    assert m.tolist() == pytest.approx([3.2, math.sqrt(5)])  # the mask is on v, whose 0 gives m no gradient
    assert v.tolist() == pytest.approx([-2.3, 0.0])
    assert held.weights["w"].tolist() == [pytest.approx(-7.36), 0.0]


def test_the_invariant_is_set_anew_at_the_end_of_an_epoch_and_the_product_stays(small, step):
    recipe = Recipe(lr=0.1, momentum=0.0, weight_decay=0.0)
    held = small(SignIn(beta=5.0), {"w": [-6.0]}, {"w": [1]}, recipe=recipe)
    m, v = held.moved["w"]
    step(held, 0, {"w": [1.0]})
    assert (m**2 - v**2).item() == pytest.approx(3.2**2 - 2.3**2)

    step(held, 1, {"w": [0.0]})

    assert (m**2 - v**2).item() == pytest.approx(5.0)
    assert (m * v).item() == pytest.approx(-7.36)


def test_weight_decay_and_momentum_leave_pruned_weights_at_0(small, step):
    held = small(SignIn(), {"w": [0.5, 0.5, -0.5]}, {"w": [1, 0, 0]}, recipe=Recipe(lr=0.1, weight_decay=0.1))
    for number in range(6):
        step(held, number, {"w": [0.1, 0.2, -0.3]})
        assert held.weights["w"].view(torch.int32).tolist()[1:] == [0, 0]  # no -0 either


def fitted(method, steps: int = 3000):
    """y = scale * weight * x to y = x, from scale 1 and weight -1; only the weight is prunable."""
    scale, weight = nn.Parameter(torch.ones(1)), nn.Parameter(-torch.ones(1))
    recipe = Recipe(lr=0.003, momentum=0.0, weight_decay=0.0)
    held = Held(method, 0) if method else None
    if held:
        held.begin({"w": weight}, {"w": torch.ones(1, dtype=torch.int32)}, steps=steps, per_epoch=steps)
    optimizer = build_optimizer([scale, *(held.moved["w"] if held else (weight,))], recipe, CPU)
    if held:
        held.optimizer = optimizer
    for number in range(steps):
        optimizer.forget()
        ((scale * weight - 1) ** 2).sum().backward()
        if held:
            held.method.before(held, number)
        optimizer.step()
        if held:
            held.method.after(held, number)
    return scale.item(), weight.item()


def test_a_sign_that_plain_training_cannot_flip_flips():
    """Plain descent keeps scale = -weight in every step, by symmetry, and ends where both are 0. With w = m v the
    weight is faster where it is small: scale^2 / 2 - sqrt(1 + 4 w^2) / 4 is kept, so scale^2 is
    1 - (sqrt(5) - 1) / 2 = 0.38 where w is 0, which is not the end."""
    scale, weight = fitted(None)
    assert scale == -weight
    assert 0 < scale < 1e-3

    scale, weight = fitted(SignIn())
    assert weight > 0
    assert scale * weight == pytest.approx(1.0, abs=1e-3)
    assert scale**2 / 2 - math.sqrt(1 + 4 * weight**2) / 4 == pytest.approx(0.5 - math.sqrt(5) / 4, abs=0.01)
