"""Fisher pruning: w^2 times the mean over images of squared gradients."""

from __future__ import annotations

import pytest
import torch
from pabench_criteria import fisher
from torch import nn

import pabench


def test_squares_the_gradient_of_each_image_before_the_mean(softmax):
    """The same image as class 0 and as class 1: row 0 has gradients (p0 - 1) x and p0 x with p0 = 0.26894.

    (0.73106^2 + 0.26894^2) / 2 = 0.30339, times x^2 = (1, 9) and w^2 = (4, 1). The square of the mean gradient would
    give 0.05341 in its place.
    """
    module, (x, _) = softmax

    scores = pabench.score(module, "fisher", batch=(x.repeat(2, 1), torch.tensor([0, 1])))["weight"]

    assert scores.flatten().tolist() == pytest.approx([4 * 0.30339, 9 * 0.30339, 0, 0], abs=1e-4)


def test_adds_up_the_means_of_several_batches(softmax):
    module, (x, y) = softmax

    once = pabench.score(module, "fisher", batch=(x, y))["weight"]
    twice = pabench.score(module, "fisher", batch=[(x, y), (x, y)])["weight"]

    torch.testing.assert_close(twice, 2 * once)


def test_is_the_loop_over_images(case):
    reference = case("b")
    module, (x, y) = reference.module.double().eval(), reference.batch
    expected = {n: torch.zeros_like(module.get_parameter(n)) for n in reference.names}
    for i in range(100):
        module.zero_grad()
        nn.functional.cross_entropy(module(x[i : i + 1].double()), y[i : i + 1]).backward()
        for n in expected:
            w = module.get_parameter(n)
            expected[n] += w.grad.square() * w.detach().square() / 100

    scores = pabench.score(module, "fisher", batch=(x.double(), y))

    for n in expected:
        torch.testing.assert_close(scores[n], expected[n], rtol=1e-9, atol=1e-18)


def test_a_network_too_large_for_all_images_at_once_is_scored_the_same(case, monkeypatch):
    reference = case("b")
    batch = (reference.x[:5], reference.y[:5])
    at_once = pabench.score(reference.module, "fisher", batch=batch)

    # two images at a time, and in the end one: 5,064 weights
    monkeypatch.setattr(fisher, "ELEMENTS", 10128)
    in_parts = pabench.score(reference.module, "fisher", batch=batch)

    for n in reference.names:
        torch.testing.assert_close(in_parts[n], at_once[n], rtol=1e-9, atol=1e-18)


class Branching(nn.Module):
    """Its way depends on values: vmap has no answer to that."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.inner(x)
        return out if float(out.detach().abs().max()) < 1e9 else out * 0


def test_a_network_that_cannot_be_vectorised_is_scored_image_by_image(case):
    reference = case("b")
    batch = (reference.x[:3], reference.y[:3])

    plain = pabench.score(reference.module, "fisher", batch=batch)
    branching = pabench.score(Branching(reference.module), "fisher", batch=batch)

    for n in reference.names:
        torch.testing.assert_close(branching[f"inner.{n}"], plain[n], rtol=1e-9, atol=1e-18)


def test_statistics_of_a_batch_are_refused(case):
    """With them no image has a loss of its own."""
    reference = case("b")

    with pytest.raises(pabench.errors.SuiteError, match="fisher: bn: input should be 'eval', not 'train'"):
        pabench.score(reference.module, "fisher", batch=reference.batch, bn="train")
