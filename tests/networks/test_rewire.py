"""Networks run with some operations replaced."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad

from pabench.networks import rewire
from pabench.networks.rewire import UNCLAMPED, UNNORMALISED, Rewired


def test_the_docstring_example():
    assert doctest.testmod(rewire).failed == 0


def test_a_replaced_activation_changes_values_and_gradients_under_torch_func():
    """w = -2 on x = 3: ReLU gives 0 and no gradient, identity gives -6 and the gradient 3."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    w = {"0.weight": torch.tensor([[-2.0]])}

    def out(tensors):
        return functional_call(net, tensors, (torch.tensor([[3.0]]),)).sum()

    def linear(tensors):
        with Rewired({"relu": lambda x, inplace=False: x}):
            return out(tensors)

    assert (float(out(w)), float(grad(out)(w)["0.weight"])) == (0.0, 0.0)
    assert (float(linear(w)), float(grad(linear)(w)["0.weight"])) == (-6.0, 3.0)


def test_in_place_methods_and_modules_are_caught_and_operators_are_not_taken_for_them():
    x = torch.tensor([-1.0, 7.0])
    with Rewired({"relu": lambda x, *_: x + 100, "hardtanh": lambda x, *_, **__: x, "mul": lambda a, b: a + b}):
        assert x.clone().relu_().tolist() == [99.0, 107.0]
        assert nn.ReLU6()(x).tolist() == [-1.0, 7.0]
        assert torch.mul(x, x).tolist() == [-2.0, 14.0]
        assert (x * x).tolist() == [-2.0, 14.0]
    assert (x * x).tolist() == [1.0, 49.0]


def test_gates_go_on_where_they_would_saturate_and_keep_value_and_slope_at_0():
    """Sigmoid is 1/2 with slope 1/4 at 0; at 2e6 it is 1 and flat, and unclamped (1 + ln(1 + 1e6)) / 2."""
    x = torch.tensor([0.0, 2e6, -3.0], dtype=torch.float64, requires_grad=True)
    with Rewired(UNCLAMPED):
        y = x.sigmoid()
    (slope,) = torch.autograd.grad(y.sum(), x)

    assert y.tolist() == [0.5, 0.5 + math.log1p(1e6) / 2, torch.sigmoid(torch.tensor(-3.0).double()).item()]
    assert slope.tolist()[:2] == [0.25, 0.25 / (1 + 1e6)]


@pytest.mark.parametrize(
    ("call", "at_zero", "slope"),
    [
        (torch.tanh, 0.0, 1.0),
        (nn.Hardsigmoid(), 0.5, 1 / 6),
        (nn.functional.hardsigmoid, 0.5, 1 / 6),
        (torch.sigmoid, 0.5, 0.25),
    ],
)
def test_every_gate_has_its_own_value_and_slope_at_0(call, at_zero, slope):
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    with Rewired(UNCLAMPED):
        y = call(x)

    assert y.item() == at_zero
    assert torch.autograd.grad(y, x)[0].item() == pytest.approx(slope, abs=1e-15)


def test_clamps_lose_their_upper_limit_only():
    x = torch.tensor([-2.0, 5.0, 9.0])
    with Rewired(UNCLAMPED):
        assert nn.ReLU6()(x).tolist() == [0.0, 5.0, 9.0]
        assert nn.functional.relu6(x).tolist() == [0.0, 5.0, 9.0]
        assert x.clamp(-1, 6).tolist() == [-1.0, 5.0, 9.0]
        assert x.clamp(max=6).tolist() == [-2.0, 5.0, 9.0]


def test_normalisations_are_reduced_to_scale_and_shift():
    x = torch.tensor([[1.0, 3.0]])
    norm = nn.LayerNorm(2)
    norm.weight.data, norm.bias.data = torch.tensor([2.0, 10.0]), torch.tensor([0.5, 0.0])
    group = nn.GroupNorm(1, 2)
    group.weight.data = torch.tensor([2.0, 10.0])

    with Rewired(UNNORMALISED):
        assert norm(x).tolist() == [[2.5, 30.0]]
        assert group(x).tolist() == [[2.0, 30.0]]
        assert x.softmax(-1)[0].tolist() == pytest.approx([(1 + math.log(2)) / 2, (1 + math.log(4)) / 2], abs=1e-6)
        assert torch.zeros(1, 4).softmax(-1).tolist() == [[0.25] * 4]
        assert nn.functional.normalize(x).tolist() == [[1.0, 3.0]]


def test_attention_without_its_softmax_is_positive_and_falls_with_a_mask():
    """q = k = 0: each of two keys has weight 1/2, a masked one 0."""
    q = torch.zeros(1, 1, 2, 3)
    v = torch.tensor([[[[1.0], [3.0]]]])
    mask = torch.tensor([[True, True], [True, False]])
    with Rewired(UNNORMALISED):
        out = nn.functional.scaled_dot_product_attention(q, q, v, attn_mask=mask)

    assert out.flatten().tolist() == [2.0, 0.5]
