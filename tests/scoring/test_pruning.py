"""Masks under a criterion: the exact count, the same whatever the order, and inverted where that means something."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import pabench
import pabench.scoring.pruning
from pabench import registry
from pabench.errors import PluginError
from pabench.networks.network import Network
from pabench.scoring.criterion import Criterion, ScoreCriterion
from pabench.scoring.pruning import InapplicableError, prune_all

from .test_criterion import Broken
from .test_library import CRITERIA, QUICK


def test_inverted_zeros_come_first_and_stay_finite(softmax):
    """Public code inverts by v / v^2, which is NaN at 0; here the two zeros are the lowest scores, and are kept."""
    module, batch = softmax
    rule = registry.criterion("snip", {"examples_per_class": 1})
    network = Network(module, bn="eval")

    (pruned,) = prune_all(network, rule, [0.5], batches=(batch,), seed=0, input_shape=(2,), invert=True)

    # scores (1.4621, 2.1932), (0, 0)
    assert pruned.masks["weight"].tolist() == [[False, False], [True, True]]
    assert pruned.receipt["zero_scores"] == 2


@dataclass(frozen=True, kw_only=True)
class Place(ScoreCriterion):
    """Scores each kept weight by its place, 0 to 7, and a pruned one by -1."""

    name = "place"
    steps: int = 3

    def score(self, ctx):
        return {n: torch.arange(8.0).view(m.shape) * m - (1 - m) for n, m in ctx.mask.items()}


class Own(Place):
    """Chooses by itself."""

    def choose(self, scores, mask, density, ctx=None):
        return super().choose(scores, mask, density)


class Given(Criterion):
    """Gives masks and no scores."""

    name = "given"

    def prune(self, ctx, density):
        return {n: torch.arange(w.numel()).view(w.shape) < 1 for n, w in ctx.weights.items()}


def pruned_by(rule: Criterion, density: float = 0.25) -> list[int]:
    network = Network(torch.nn.Linear(4, 2, bias=False))
    (pruned,) = prune_all(network, rule, [density], batches=(), seed=0, input_shape=(4,), invert=True)
    return pruned.masks["weight"].flatten().nonzero().flatten().tolist()


def test_scores_are_inverted_in_every_round_and_pruned_weights_do_not_return():
    """8 weights in three rounds to 2: 6, 4, 2 linearly. A round that kept the highest would lose the places 0 and 1."""
    rule = Place(schedule="linear")

    assert [int(r.selection.masks["weight"].sum()) for r in rounds_of(rule.inverted())] == [6, 4, 2]
    assert pruned_by(rule) == [0, 1]
    assert rule.lowest is False


def rounds_of(rule):
    network = Network(torch.nn.Linear(4, 2, bias=False))
    return rule.rounds(pabench.scoring.pruning.context(network, rule, (), seed=0, input_shape=(4,)), 0.25)


@pytest.mark.parametrize(("rule", "why"), [(Given(), "gives masks and no scores"), (Own(), "a way of its own")])
def test_a_criterion_without_a_ranking_cannot_be_inverted(rule, why):
    with pytest.raises(InapplicableError, match=why):
        pruned_by(rule)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.9, 0.9999])
@pytest.mark.parametrize("allocation", ["global", "erk"])
def test_every_criterion_keeps_exactly_the_count_asked_for(case, criterion, sparsity, allocation):
    reference = case("b")
    options = {"allocation": allocation, **QUICK.get(criterion, {})}

    masks = pabench.prune(reference.module, criterion, sparsity=sparsity, batch=reference.batch, **options)

    # 5,064 weights: floor(sparsity * 5064) are removed
    assert sum(int(m.sum()) for m in masks.values()) == {0.0: 5064, 0.1: 4558, 0.9: 507, 0.9999: 1}[sparsity]
    assert all(m.dtype == torch.bool for m in masks.values())


def test_the_same_mask_whatever_the_order_of_the_batch(case):
    reference = case("b")
    x, y = reference.batch
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))

    for criterion in ("snip", "grasp", "grad_norm", "fisher"):
        straight = pabench.prune(reference.module, criterion, sparsity=0.9, batch=(x, y))
        shuffled = pabench.prune(reference.module, criterion, sparsity=0.9, batch=(x[order], y[order]))
        assert all(torch.equal(straight[n], shuffled[n]) for n in straight)


def test_a_criterion_that_gives_masks_is_held_to_the_count(case):
    class TooMany(Criterion):
        name = "too-many"

        def prune(self, ctx, density):
            return {n: torch.ones_like(w, dtype=torch.bool) for n, w in ctx.weights.items()}

    with pytest.raises(PluginError, match="4928 weights kept where 493 were asked for"):
        pabench.prune(case("a").module, TooMany(), sparsity=0.9)


def test_a_criterion_can_decline_a_network_with_its_reason(case):
    class Picky(Broken):
        name = "picky"

        def declines(self, ctx):
            return "it has no attention"

    with pytest.raises(PluginError, match="picky declines this network: it has no attention"):
        pabench.prune(case("a").module, Picky(), sparsity=0.9)
