"""What float32 moves: shares of kept weights, on networks small enough to know them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from pabench import registry
from pabench.diagnostics.precision import SPARSITIES, Setting, moved
from pabench.scoring.context import ScoreContext
from pabench.scoring.criterion import ScoreCriterion

SMALL = Setting("resnet8", images=1, rounds=2)
FLOAT32 = sorted(name for name, cls in registry.group("criteria").classes.items() if cls.precision == "float32")


@dataclass(frozen=True, kw_only=True)
class Fine(ScoreCriterion):
    """Scores 1 + i * 2^-45 of the i-th weight: the last are the highest in float64, and all are 1 in float32."""

    name = "fine"

    def score(self, ctx: ScoreContext) -> dict[str, torch.Tensor]:
        counted = 0
        scores = {}
        for n, w in ctx.weights.items():
            i = torch.arange(counted, counted + w.numel(), dtype=torch.float64).view_as(w)
            counted += w.numel()
            scores[n] = (1 + i * 2**-45).to(w.dtype)
        return scores


@dataclass(frozen=True, kw_only=True)
class Large(ScoreCriterion):
    """Scores that float32 does not hold, less themselves: not a number."""

    name = "large"

    def score(self, ctx: ScoreContext) -> dict[str, torch.Tensor]:
        large = {n: (w * 0 + 1e30).square() for n, w in ctx.weights.items()}
        return {n: s - s for n, s in large.items()}


def test_a_ranking_that_float32_does_not_see_moves_all_weights_that_are_few():
    """Of N weights float64 keeps the last ones and float32, to which all are equal, the first: nothing in common."""
    assert moved(Fine(), SMALL) == [1.0] * len(SPARSITIES)


def test_the_size_of_float32_weights_is_exact_in_both_types():
    assert moved(registry.criterion("magnitude"), SMALL) == [0.0] * len(SPARSITIES)


@pytest.mark.parametrize("name", FLOAT32)
def test_a_criterion_that_says_float32_keeps_what_float64_keeps(name):
    """To 0.2 % of the kept weights, the bound that `docs/precision.md` states."""
    assert max(moved(registry.criterion(name), SMALL)) <= 0.002


def test_what_ranks_nothing_is_compared_by_its_masks():
    """PHEW's walks take their steps with probabilities that float32 rounds, and seldom otherwise."""
    found = moved(registry.criterion("phew"), SMALL)

    assert len(found) == len(SPARSITIES)
    assert all(0 <= share < 0.5 for share in found)


def test_a_type_that_gives_no_masks_is_named():
    assert moved(Large(), SMALL) == "no masks in float32"
