"""FORCE: |w * dL/dw at m * w|; pruned weights may return."""

from __future__ import annotations

import pytest
import torch

import pabench

from ..conftest import scores_under


def test_a_pruned_weight_is_scored_as_if_it_came_back(softmax):
    """Without the -1 the logits are (2, 0): p0 = 0.8808, gradient row 0 = (p0 - 1) x = (-0.1192, -0.3576)."""
    module, batch = softmax

    scores = scores_under(module, "force", batch, {"weight": torch.tensor([[1, 0], [1, 1]])})["weight"]

    assert scores.flatten().tolist() == pytest.approx([2 * 0.1192, 1 * 0.3576, 0, 0], abs=1e-4)


def test_is_snip_on_the_dense_network(case):
    reference = case("b")

    force = pabench.score(reference.module, "force", batch=reference.batch)
    snip = pabench.score(reference.module, "snip", batch=reference.batch)

    assert all(torch.equal(force[n], snip[n]) for n in snip)


def test_predicts_the_change_of_the_loss_when_a_pruned_weight_begins_to_return(case):
    """d loss / d eps of m * w + eps w is w g: its size is the score of the pruned weight."""
    reference = case("a")
    module, (x, y) = reference.module.double(), reference.batch
    x = x.double()
    mask = {n: torch.ones_like(module.get_parameter(n)) for n in reference.names}
    mask["fc2.weight"][3] = 0
    scores = scores_under(module, "force", (x, y), mask)
    weight = module.get_parameter("fc2.weight")
    whole = weight.data.clone()
    weight.data *= mask["fc2.weight"]
    loss = torch.nn.functional.cross_entropy

    for index in [(3, 0), (3, 40), (5, 7)]:
        kept = weight.data[index].item()
        step = 1e-5 * whole[index].item()
        weight.data[index] = kept + step
        above = loss(module(x), y).item()
        weight.data[index] = kept - step
        below = loss(module(x), y).item()
        weight.data[index] = kept
        assert abs(above - below) / 2e-5 == pytest.approx(scores["fc2.weight"][index].item(), rel=1e-4, abs=1e-10)


def test_a_dead_network_keeps_the_count_and_not_all_weights():
    """Public code turns a network whose scores are all 0 into a mask of ones."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.ReLU(), torch.nn.Linear(4, 2, bias=False))
    module[0].weight.data = -torch.ones(4, 4)

    masks = pabench.prune(module, "force", sparsity=0.75, batch=(torch.ones(2, 4), torch.tensor([0, 1])), steps=3)

    assert masks.receipt["zero_scores"] == 24
    assert masks.receipt["kept"] == 6
    assert {f["flag"] for f in masks.flags} >= {"degenerate", "tied"}
