"""Hutchinson pruning: w^2 times the diagonal of the Hessian."""

from __future__ import annotations

import numpy as np
import pabench_criteria.hutchinson
import pytest
import torch
from torch import nn

import pabench


class OneWeight(nn.Module):
    """Logits (w x, 0), or (w^2 x, 0): a Hessian of one number, which every probe gives exactly."""

    def __init__(self, value: float, power: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        self.layer.weight.data.fill_(value)
        self.power = power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logit = self.layer(x) if self.power == 1 else self.layer(self.layer(x))
        return torch.cat([logit, torch.zeros_like(logit)], 1)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        # p = sigmoid(1) = 0.73106, h = p (1 - p) x^2 = 0.19661 * 4, times w^2 = 0.25
        (1.0, 0.19661),
        # p = sigmoid(0.5) = 0.62246, h = 0.23500 * 4 / 2^2
        (2.0, 0.23500 / 4),
    ],
)
def test_scores_a_network_by_hand(temperature, expected):
    batch = (torch.tensor([[2.0]]), torch.tensor([0]))

    scores = pabench.score(OneWeight(0.5), "hutchinson", batch=batch, temperature=temperature, probes=1)

    assert scores["layer.weight"].item() == pytest.approx(expected, abs=1e-4)


def test_a_weight_on_which_the_loss_curves_downwards_goes_first():
    """L = log(1 + exp(-w^2)) at w = 0.1: L'' = -2 s + 4 w^2 s (1 - s), s = sigmoid(-0.01) = 0.4975: -0.985."""
    batch = (torch.tensor([[1.0]]), torch.tensor([0]))

    scores = pabench.score(OneWeight(0.1, power=2), "hutchinson", batch=batch)

    assert scores["layer.weight"].item() == pytest.approx(0.01 * -0.985, abs=1e-5)


def test_the_estimate_is_unbiased():
    """Logits (a x, b x): z * Hz is p (1 - p) x^2 (1 - z_a z_b), twice the diagonal or 0; its mean is the diagonal.

    Of 4,000 probes the standard error is 1.6 %.
    """
    module = nn.Linear(1, 2, bias=False)
    module.weight.data = torch.tensor([[0.5], [1.0]])

    scores = pabench.score(module, "hutchinson", batch=(torch.tensor([[2.0]]), torch.tensor([0])), probes=4000, seed=1)

    # p = sigmoid(-1): p (1 - p) x^2 = 0.19661 * 4
    assert scores["weight"].flatten().tolist() == pytest.approx([0.19661, 4 * 0.19661], rel=0.05)


def test_batches_share_their_probes():
    """H of a sum of losses: the same image twice, as two batches, has twice the score of once, for every draw."""
    module = nn.Linear(1, 2, bias=False)
    module.weight.data = torch.tensor([[0.5], [1.0]])
    image = (torch.tensor([[2.0]]), torch.tensor([0]))

    once = pabench.score(module, "hutchinson", batch=image, probes=1, seed=4)["weight"]
    twice = pabench.score(module, "hutchinson", batch=[image, image], probes=1, seed=4)["weight"]

    torch.testing.assert_close(twice, 2 * once, rtol=1e-12, atol=0)


def test_is_the_seed_and_nothing_else(case):
    reference = case("a")
    batch = (reference.x[:10], reference.y[:10])
    first = pabench.score(reference.module, "hutchinson", batch=batch, seed=3)
    torch.manual_seed(5)
    again = pabench.score(reference.module, "hutchinson", batch=batch, seed=3)
    other = pabench.score(reference.module, "hutchinson", batch=batch, seed=4)

    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["fc1.weight"], other["fc1.weight"])


@pytest.mark.parametrize("letter", ["a", "b"])
def test_the_official_variant_equals_the_authors_code_on_the_same_signs(case, monkeypatch, letter):
    """Ten probes of the whole batch; the file holds the signs that the official run drew."""
    reference = case(letter)
    file = reference.official("hutchinson_pai")
    drawn = iter([torch.tensor(file[f"signs/{n}"][probe]) for probe in range(10) for n in reference.names])
    monkeypatch.setattr(pabench_criteria.hutchinson, "_signs", lambda like, generator: next(drawn).to(like))
    official = reference.flat(file, "score64")

    scores = pabench.score(reference.module, "hutchinson@official", batch=reference.batch)

    mine = torch.cat([s.flatten() for s in scores.values()]).numpy() / 2  # the saliency is half of ours
    assert np.abs(mine - official).max() < 1e-6 * np.abs(official).max()
    for sparsity in ("0.9", "0.98", "0.999"):  # at 0.5 rounding decides, between weights that no curvature reaches
        kept = reference.flat(file, f"mask64_{sparsity}").astype(bool)
        assert set(np.argsort(-mine)[: kept.sum()].tolist()) == set(np.flatnonzero(kept))
