"""Networks run with some operations replaced."""

from __future__ import annotations

import doctest

import torch
from torch import nn
from torch.func import functional_call, grad

from pabench import rewire
from pabench.rewire import Rewired


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
