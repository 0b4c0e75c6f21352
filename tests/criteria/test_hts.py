"""Hutchinson-Taylor sensitivity: both terms of the loss's Taylor series, the Hessian's diagonal from random signs."""

from __future__ import annotations

import numpy as np
import pabench_criteria.hutchinson
import pytest
import torch

import pabench

from .test_hutchinson import OneWeight


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        # logit 1: g = (sigmoid(1) - 1) x = -0.26894 * 2, h = 0.19661 * 4; |0.5 g + 0.25 h / 2|
        (1.0, abs(-0.26894 + 0.19661 / 2)),
        # logit 0.5: g = (sigmoid(0.5) - 1) x / 2 = -0.37754, h = 0.23500 * 4 / 2^2
        (2.0, abs(-0.5 * 0.37754 + 0.25 * 0.23500 / 2)),
    ],
)
def test_scores_a_network_by_hand(temperature, expected):
    """One weight: every probe gives its second derivative exactly. Both terms see the same temperature."""
    batch = (torch.tensor([[2.0]]), torch.tensor([0]))

    scores = pabench.score(OneWeight(0.5), "hts", batch=batch, temperature=temperature, probes=1)

    assert scores["layer.weight"].item() == pytest.approx(expected, abs=1e-4)


def test_is_the_loss_to_second_order():
    """Growing a weight by the part s moves the loss by s w g + s^2 w^2 h / 2: at s = 1 that is the score."""
    module, batch = OneWeight(0.5).double(), (torch.tensor([[2.0]]).double(), torch.tensor([0]))

    def loss(w):
        return float(torch.log1p(torch.exp(torch.tensor(-2.0 * w, dtype=torch.float64))))

    up, here, down = loss(0.505), loss(0.5), loss(0.495)
    slope, bend = (up - down) / 0.01 * 0.5, (up - 2 * here + down) / 0.005**2 * 0.25

    scores = pabench.score(module, "hts", batch=batch, probes=1)

    assert scores["layer.weight"].item() == pytest.approx(abs(slope + bend / 2), rel=1e-4)


@pytest.mark.parametrize("letter", ["a", "b"])
def test_the_official_variant_equals_the_authors_code_on_the_same_signs(case, monkeypatch, letter):
    """Ten probes of the whole batch; the file holds the signs that the official run drew."""
    reference = case(letter)
    file = reference.official("hts_pai")
    drawn = iter([torch.tensor(file[f"signs/{n}"][probe]) for probe in range(10) for n in reference.names])
    monkeypatch.setattr(pabench_criteria.hutchinson, "_signs", lambda like, generator: next(drawn).to(like))
    official = reference.flat(file, "score64")

    scores = pabench.score(reference.module, "hts@official", batch=reference.batch)

    mine = torch.cat([s.flatten() for s in scores.values()]).numpy()
    assert np.abs(mine - official).max() < 1e-6 * np.abs(official).max()
    for sparsity in ("0.5", "0.9", "0.98", "0.999"):
        kept = reference.flat(file, f"mask64_{sparsity}").astype(bool)
        assert set(np.argsort(-mine)[: kept.sum()].tolist()) == set(np.flatnonzero(kept))
