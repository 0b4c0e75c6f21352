"""Derivatives by plain autograd: the numbers of torch.func, also within its transforms."""

from __future__ import annotations

import doctest

import pytest
import torch
from torch.func import grad, vmap

from pabench.networks import derivatives
from pabench.networks.derivatives import gradient, hessian_gradient, hessian_product

W = {"a": torch.tensor([1.0, 2.0], dtype=torch.float64), "b": torch.tensor([3.0], dtype=torch.float64)}


def cubes(w):
    """a1^3 + a2^3 + a1 b: its gradient is (3 a1^2 + b, 3 a2^2), a1."""
    return (w["a"] ** 3).sum() + w["a"][0] * w["b"][0]


def test_doctests_hold():
    assert doctest.testmod(derivatives).failed == 0


def test_the_gradient_is_that_of_the_formula_and_leaves_no_trace():
    found = gradient(cubes, W)

    assert {n: g.tolist() for n, g in found.items()} == {"a": [6.0, 12.0], "b": [1.0]}
    assert not any(t.requires_grad for t in (*W.values(), *found.values()))


def test_the_hessian_meets_the_gradient():
    """H has the rows (6 a1, 0, 1), (0, 6 a2, 0), (1, 0, 0); times g = (6, 12, 1) it is 37, 144, 6."""
    found = hessian_gradient(cubes, W)

    assert {n: h.tolist() for n, h in found.items()} == {"a": [37.0, 144.0], "b": [6.0]}


def test_the_hessian_meets_any_vector():
    """The same H times (1, 2, 3) is 6 + 3, 24, 1."""
    along = {"a": torch.tensor([1.0, 2.0], dtype=torch.float64), "b": torch.tensor([3.0], dtype=torch.float64)}

    found = hessian_product(cubes, W, along)

    assert {n: h.tolist() for n, h in found.items()} == {"a": [9.0, 24.0], "b": [1.0]}
    within = vmap(lambda factor: hessian_product(lambda w: factor * cubes(w), W, along)["a"])(torch.tensor([2.0]))
    assert within.tolist() == [[18.0, 48.0]]


def test_a_function_that_depends_on_nothing_has_no_slope():
    for derivative in (gradient, hessian_gradient):
        assert derivative(lambda w: torch.ones(()), W)["a"].tolist() == [0.0, 0.0]


def test_it_can_be_derived_again_within_torch_func():
    """The sum of the gradient is 3 a1^2 + b + 3 a2^2 + a1, and of its slopes by a and b 6 a1 + 1, 6 a2 and 1."""
    again = grad(lambda w: torch.stack([g.sum() for g in gradient(cubes, w).values()]).sum())(W)
    each = vmap(lambda factor: gradient(lambda w: factor * cubes(w), W)["b"])(torch.tensor([1.0, 2.0]).double())

    assert again["a"].tolist() == [7.0, 12.0]
    assert again["b"].tolist() == [1.0]
    assert each.flatten().tolist() == pytest.approx([1.0, 2.0])
