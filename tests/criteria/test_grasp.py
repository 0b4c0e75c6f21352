"""GraSP: w * Hg, highest kept."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import pabench
from pabench.suite.digest import derive_seed

from ..conftest import scores_under


def test_scores_a_network_by_hand():
    """One input x = 2, two classes, w = (a, b): p - y is (q, -q), g = 2 q (1, -1), H = 4 p (1 - p) (1, -1)(1, -1)^T.

    So Hg = 4 p (1 - p) * 4 q * (1, -1). With a = 0.5, b = 0, T = 1, y = 0: p = sigmoid(1) = 0.73106, q = -0.26894,
    p (1 - p) = 0.19661, Hg = (-0.84606, 0.84606).
    """
    module = nn.Linear(1, 2, bias=False)
    module.weight.data = torch.tensor([[0.5], [0.0]])

    scores = pabench.score(module, "grasp", batch=(torch.tensor([[2.0]]), torch.tensor([0])), temperature=1.0)

    assert scores["weight"].flatten().tolist() == pytest.approx([0.5 * -0.84606, 0.0], abs=1e-4)


def test_predicts_the_change_of_the_squared_gradient_norm(case):
    """Removing a fraction e of w changes |g|^2 by -2 e w Hg (eq. 6 and 8): the sign decides what is kept."""
    reference = case("a")
    module, (x, y) = reference.module.double(), reference.batch
    x = x.double()
    scores = pabench.score(module, "grasp", batch=(x, y), temperature=1.0)
    weights = [module.get_parameter(n) for n in scores]

    def squared_norm() -> float:
        loss = nn.functional.cross_entropy(module(x), y)
        return sum(g.square().sum().item() for g in torch.autograd.grad(loss, weights))

    weight = module.get_parameter("fc3.weight")
    for index in [(0, 0), (3, 9), (9, 31)]:
        value = weight.data[index].item()
        step = 1e-4
        weight.data[index] = value * (1 - step)
        below = squared_norm()
        weight.data[index] = value * (1 + step)
        above = squared_norm()
        weight.data[index] = value
        assert (below - above) / (2 * step) == pytest.approx(-2 * scores["fc3.weight"][index].item(), rel=1e-4)


def test_the_temperature_is_part_of_the_score(case):
    """A ranking at T = 200 is not that at T = 1: algorithm 1 divides the logits."""
    reference = case("a")
    cool = pabench.prune(reference.module, "grasp", sparsity=0.9, batch=reference.batch, temperature=1.0)
    hot = pabench.prune(reference.module, "grasp", sparsity=0.9, batch=reference.batch)

    assert hot.receipt["parameters"]["temperature"] == 200.0
    assert any(not torch.equal(cool[n], hot[n]) for n in hot)


def test_signed_scores_never_revive_a_pruned_weight(case):
    """A pruned weight scores 0, more than any negative score: each round chooses among the survivors."""
    reference = case("a")
    few = pabench.prune(reference.module, "grasp", sparsity=0.2, batch=reference.batch, steps=2, schedule="linear")
    first = pabench.prune(reference.module, "grasp", sparsity=0.1, batch=reference.batch)

    assert sum(int(m.sum()) for m in few.values()) == 4928 - 985
    # the first of the two linear rounds keeps 90 %, the second can only take away from those; more than a fifth of
    # the scores are negative, so the pruned ones would outrank them
    assert all(not (few[n] & ~first[n]).any() for n in few)


def test_the_official_code_scores_linear_layers_at_other_weights(case):
    """`reinit=True` there: Xavier's normal, of variance 2 / (24 + 10); the convolutions stay."""
    reference = case("b")
    redrawn = copy.deepcopy(reference.module)
    generator = torch.Generator().manual_seed(derive_seed(7, "linear layers", 0))
    drawn = torch.randn(10, 24, generator=generator, dtype=torch.float64) * math.sqrt(2 / 34)
    redrawn.double().fc.weight.data = drawn

    theirs = pabench.score(reference.module, "grasp@official-redrawn", batch=reference.batch, seed=7)
    official = pabench.score(redrawn, "grasp@official", batch=reference.batch)
    ours = pabench.score(reference.module, "grasp@official", batch=reference.batch)

    for n in reference.names:
        torch.testing.assert_close(theirs[n], official[n], rtol=1e-5, atol=1e-12)
        assert not torch.allclose(theirs[n], ours[n], rtol=1e-2)


def test_linear_layers_are_redrawn_once_and_stay_pruned(case):
    """In rounds the same draw is scored again, without what is gone."""
    reference = case("a")
    mask = {n: torch.ones(reference.module.get_parameter(n).shape) for n in reference.names}
    mask["fc2.weight"][3] = 0

    scores = scores_under(reference.module, "grasp@official-redrawn", reference.batch, mask)
    again = scores_under(reference.module, "grasp@official-redrawn", reference.batch, mask)

    assert (scores["fc2.weight"][3] == 0).all()
    assert all(torch.equal(scores[n], again[n]) for n in scores)
