"""Scores that mean little are told by a warning, with a remedy for the network at hand, or refused."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pabench
from pabench.errors import SuiteError

X, Y = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


class Residual(nn.Module):
    """A block that ends in a BatchNorm whose scale starts at 0, as in some ResNets: 36 of 54 scores are 0."""

    def __init__(self, *, scale):
        super().__init__()
        self.inside, self.norm, self.head = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, x):
        return self.head(x + self.norm(self.inside(x)))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def prune(model, sparsity=0.5, **given):
    return pabench.prune(model, "snip", sparsity=sparsity, batch=(X, Y), **given)


def test_mostly_zero_scores_warn_with_the_norms_to_blame():
    with pytest.warns(pabench.DegenerateWarning) as told:
        prune(Residual(scale=0.0))

    (line,) = [str(w.message) for w in told]
    assert line.startswith("snip on Residual: 36 of 54 scores are exactly 0 (66.7 %); 1 of 2 layers have no other; ")
    assert "set it to 1 first (norm.weight)" in line
    assert "zero_init_last" not in line  # an argument that this network does not have
    assert told[0].filename == __file__


def test_the_remedy_heals():
    model = Residual(scale=0.0)
    nn.init.ones_(model.norm.weight)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune(model)
        pabench.score(model, "snip", batch=(X, Y))


def test_scores_warn_as_masks_do():
    with pytest.warns(pabench.DegenerateWarning, match="36 of 54 scores are exactly 0"):
        pabench.score(Residual(scale=0.0), "snip", batch=(X, Y))


def test_strict_refuses():
    with pytest.raises(SuiteError, match=r"36 of 54 scores are exactly 0.*norm.weight"):
        prune(Residual(scale=0.0), strict=True)
    with pytest.raises(SuiteError, match="36 of 54 scores are exactly 0"):
        pabench.score(Residual(scale=0.0), "snip", batch=(X, Y), strict=True)
    assert prune(Residual(scale=1.0), strict=True).receipt["kept"] == 27


def test_weights_that_are_all_zero_are_named():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3))
    nn.init.zeros_(model[1].weight)

    with pytest.warns(pabench.DegenerateWarning, match=r"draw the weights that are all 0 first \(1.weight\)"):
        prune(model)


def test_ties_that_the_order_decides_are_told():
    """Equal inputs and one hidden unit repeated: 18 scores of three values each."""
    model = nn.Linear(6, 3, bias=False)
    nn.init.ones_(model.weight)

    with pytest.warns(pabench.DegenerateWarning, match="share the lowest kept score; the order of the parameters"):
        pabench.prune(model, "magnitude", sparsity=0.5)


def test_infinite_scores_are_told_with_the_precision_that_holds_them():
    """1e30 squared is beyond float32 and not beyond float64."""
    model = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 3, bias=False))
    for layer in model:
        nn.init.constant_(layer.weight, 1.0)
        layer.weight.data += torch.rand_like(layer.weight)
    model[0].weight.data *= 1e38

    with pytest.warns(pabench.DegenerateWarning, match="infinite or not a number; score in dtype=torch.float64"):
        pabench.score(model, "synflow", dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pabench.score(model, "synflow")


class Drops(nn.Module):
    """Functional dropout, which is on unless it is told otherwise."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 30), nn.Linear(30, 3)

    def forward(self, x):
        return self.b(F.dropout(self.a(x).relu(), 0.5))


@pytest.mark.parametrize("criterion", ["snip", "grasp", "synflow"])
def test_a_network_that_draws_on_its_own_draws_from_the_seed(criterion):
    model, found = Drops(), []
    for state, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(state)
        found.append(pabench.score(model, criterion, batch=(X, Y), seed=seed))

    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])
    assert not all(torch.equal(found[0][n], found[2][n]) for n in found[0])
