"""Fisher-Taylor sensitivity: both terms of the loss's Taylor series, the Fisher information in place of the Hessian."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pabench


def test_adds_half_the_squares_of_the_images_gradients_to_the_mean_gradient(softmax):
    """The same image as class 0 and as class 1: row 0 has gradients (p0 - 1) x and p0 x with p0 = 0.26894.

    Their mean is -0.23106 x, that of their squares 0.30339 x^2; x = (1, 3), w = (2, -1):
    |2 * -0.23106 + 4 * 0.30339 / 2| and |-1 * -0.69317 + 1 * 9 * 0.30339 / 2|.
    """
    module, (x, _) = softmax

    scores = pabench.score(module, "fts", batch=(x.repeat(2, 1), torch.tensor([0, 1])))["weight"]

    assert scores.flatten().tolist() == pytest.approx([0.14466, 2.05843, 0, 0], abs=1e-4)


def test_of_several_batches_both_terms_are_added_up(softmax):
    """As the losses are: of (x, y) twice, twice the gradient and twice the Fisher information."""
    module, (x, y) = softmax

    once = pabench.score(module, "fts", batch=(x, y))["weight"]
    twice = pabench.score(module, "fts", batch=[(x, y), (x, y)])["weight"]

    torch.testing.assert_close(twice, 2 * once)


def test_is_the_loop_over_images(case):
    reference = case("b")
    module, (x, y) = reference.module.double().eval(), (reference.x[:20].double(), reference.y[:20])
    zeros = {n: torch.zeros_like(module.get_parameter(n)) for n in reference.names}
    mean, squares = dict(zeros), dict(zeros)
    for i in range(20):
        module.zero_grad()
        nn.functional.cross_entropy(module(x[i : i + 1]), y[i : i + 1]).backward()
        for n in zeros:
            g = module.get_parameter(n).grad
            mean[n], squares[n] = mean[n] + g / 20, squares[n] + g.square() / 20

    scores = pabench.score(module, "fts", batch=(x, y))

    for n in zeros:
        w = module.get_parameter(n).detach()
        torch.testing.assert_close(scores[n], (w * mean[n] + w.square() * squares[n] / 2).abs(), rtol=1e-9, atol=1e-18)
