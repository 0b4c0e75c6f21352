"""Iterative SNIP: SNIP of the network as pruned so far."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

import pabench
from pabench import registry
from pabench.networks.network import Network, scoring_mode
from pabench.scoring.pruning import context

from ..conftest import scores_under


def rounds(reference, criterion, density):
    """The masks after each round, flat."""
    rule = registry.criterion(criterion)
    network = Network(reference.module, bn=rule.bn)
    with scoring_mode(network.device):
        ctx = context(network, rule, [reference.batch], seed=0, input_shape=())
        return [torch.cat([m.flatten() for m in r.selection.masks.values()]) for r in rule.rounds(ctx, density)]


def test_scores_the_network_as_it_is_pruned(softmax):
    """Without the -1 the logits are (2, 0): p0 = 0.8808, the gradient of the 2 is p0 - 1 = -0.1192."""
    module, batch = softmax

    scores = scores_under(module, "iter_snip", batch, {"weight": torch.tensor([[1, 0], [1, 1]])})["weight"]

    assert scores.flatten().tolist() == pytest.approx([2 * 0.1192, 0, 0, 0], abs=1e-4)


def test_sixty_rounds_take_away_and_give_nothing_back(case):
    """Public code revives 76 to 259 weights a round; FORCE means to."""
    snip = rounds(case("a"), "iter_snip", 0.02)
    force = rounds(case("a"), "force", 0.02)

    def revived(masks):
        return sum(int((later & ~earlier).sum()) for earlier, later in pairwise(masks))

    assert len(snip) == len(force) == 60
    # 4928 - floor(0.98 * 4928)
    assert int(snip[-1].sum()) == int(force[-1].sum()) == 99
    assert revived(snip) == 0
    assert revived(force) > 100


def test_one_round_is_snip(case):
    reference = case("b")

    one = pabench.prune(reference.module, "iter_snip", sparsity=0.9, batch=reference.batch, steps=1)
    snip = pabench.prune(reference.module, "snip", sparsity=0.9, batch=reference.batch)

    assert all(torch.equal(one[n], snip[n]) for n in snip)
