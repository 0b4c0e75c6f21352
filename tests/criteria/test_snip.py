"""SNIP: |w * dL/dw|."""

from __future__ import annotations

import pytest
import torch

import pabench


def test_scores_the_size_of_weight_times_gradient(softmax):
    module, batch = softmax

    scores = pabench.score(module, "snip", batch=batch)["weight"]

    # logits (-1, 0): p0 = 0.2689, gradient row 0 = (p0 - 1) * x = (-0.7311, -2.1932)
    assert scores.flatten().tolist() == pytest.approx([1.4621, 2.1932, 0.0, 0.0], abs=1e-4)


def test_predicts_the_change_of_the_loss_when_a_weight_shrinks(case):
    """d loss / d eps of w -> (1 - eps) w is -w g: its size is the score."""
    reference = case("a")
    module, (x, y) = reference.module.double(), reference.batch
    x = x.double()
    scores = pabench.score(module, "snip", batch=(x, y))
    weight = module.get_parameter("fc2.weight")
    loss = torch.nn.functional.cross_entropy

    for index in [(0, 0), (5, 7), (31, 40)]:
        value = weight.data[index].item()
        step = 1e-5
        weight.data[index] = value * (1 + step)
        above = loss(module(x), y).item()
        weight.data[index] = value * (1 - step)
        below = loss(module(x), y).item()
        weight.data[index] = value
        assert abs(above - below) / (2 * step) == pytest.approx(scores["fc2.weight"][index].item(), rel=1e-5)


def test_does_not_take_the_gradients_that_a_training_step_left(case):
    """Stale .grad contaminates the scores of public code: the overlap of the top 10 % falls to 0.31."""
    reference = case("a")
    clean = pabench.score(reference.module, "snip", batch=reference.batch)

    reference.module(reference.x[100:]).square().sum().backward()
    stale = pabench.score(reference.module, "snip", batch=reference.batch)

    assert all(torch.equal(clean[n], stale[n]) for n in clean)


def test_uses_the_cross_entropy_and_not_the_raw_logits(softmax):
    """NLL of raw logits would score the fed class alone: (2, 3, 0, 0) for one image of class 0."""
    module, batch = softmax

    scores = pabench.score(module, "snip", batch=batch)["weight"]

    assert scores[0].tolist() != pytest.approx([2.0, 3.0])


def test_two_batches_give_the_gradient_of_the_sum_of_their_means(softmax):
    module, (x, y) = softmax

    once = pabench.score(module, "snip", batch=(x, y))["weight"]
    twice = pabench.score(module, "snip", batch=[(x, y), (x, y)])["weight"]

    torch.testing.assert_close(twice, 2 * once)
