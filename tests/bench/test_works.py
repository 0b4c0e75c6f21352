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
    """Where there is one: of so small a network not every mask leaves channels without use."""
    made = []

    def other(network, masks, shape):
        small = compacted(network, masks, shape)
        made.append(small)
        with torch.no_grad():
            last = [*small.module.parameters()][-1]  # biases of ten classes
            last += torch.arange(len(last))
        return small

    monkeypatch.setattr(works, "compacted", other)

    failed = [contest.work for contest in WORKS["training"](material) if not contest.proof().holds]

    assert len(failed) == len(made) > 0
