"""What is raced: every work proves that both sides do the same, and a proof fails where they do not."""

from __future__ import annotations

import pytest
import torch

from pabench.bench import baseline, works
from pabench.bench.race import race
from pabench.bench.works import WORKS
from pabench.networks.compact.compact import compacted

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow", "sweep", "magnitude", "training", "evaluation"])
def test_both_sides_do_the_same(name, material):
    """Equal masks and losses in float64: a later change of either side that breaks this ends the comparison."""
    told = [(contest.work, contest.proof()) for contest in WORKS[name](material)]

    assert [(work, proof.told) for work, proof in told if not proof.holds] == []


def test_another_score_is_not_the_same_work(material, monkeypatch):
    monkeypatch.setitem(baseline.SCORES, "snip", baseline.weight_size)

    rows = [row for contest in WORKS["snip"](material) for row in race(contest, CPU, repeats=1)]

    assert [(row.proof.holds, row.ratios) for row in rows] == [(False, [])] * 4


def test_another_training_is_not_the_same_work(material, monkeypatch):
    """A plain loop that forgets its momentum."""
    plain = torch.optim.SGD

    def forgetful(parameters, *, lr, momentum, weight_decay):
        return plain(parameters, lr=lr, momentum=0.0, weight_decay=weight_decay)

    monkeypatch.setattr(torch.optim, "SGD", forgetful)
    contest = next(WORKS["training"](material))

    assert not contest.proof().holds


@pytest.mark.slow
def test_a_suite_has_the_masks_and_accuracies_of_the_plain_loop(material):
    proofs = [contest.proof() for contest in WORKS["suite"](material)]

    assert [proof.holds for proof in proofs] == [True] * 4
    assert proofs[0].told.startswith("masks differ in 0 of 9 cells")


def test_a_compacted_network_that_computes_something_else_is_not_the_same_work(material, monkeypatch):
    def other(network, masks, shape):
        small = compacted(network, masks, shape)
        with torch.no_grad():
            next(small.module.parameters()).mul_(2)
        return small

    monkeypatch.setattr(works, "compacted", other)

    assert not next(WORKS["training"](material)).proof().holds
