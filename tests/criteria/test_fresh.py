"""Rounds that look at a batch of their own."""

from __future__ import annotations

import pytest
import torch

import pabench
from pabench import registry
from pabench.errors import PabenchError

from ..conftest import scores_under

NAMES = ["force", "iter_snip", "grad_norm"]


@pytest.mark.parametrize("name", NAMES)
def test_each_round_scores_by_its_own_batch(case, name):
    """Two linear rounds to 50 %: the first by images 0 to 49, the second by 50 to 99 and them alone."""
    reference = case("a")
    first, second = ((reference.x[i : i + 50], reference.y[i : i + 50]) for i in (0, 50))
    options = {"steps": 2, "schedule": "linear", "fresh_batches": True}

    before = pabench.prune(reference.module, name, sparsity=0.25, batch=first, steps=1)
    scores = scores_under(reference.module, name, second, before)
    masks = pabench.prune(reference.module, name, sparsity=0.5, batch=[first, second], **options)

    flat = torch.cat([s.flatten() for s in scores.values()])
    if name != "force":  # what is pruned stays pruned
        flat = torch.where(torch.cat([m.flatten() for m in before.values()]), flat, -1.0)
    kept = torch.cat([m.flatten() for m in masks.values()]).nonzero().flatten().tolist()
    assert sorted(flat.topk(2464).indices.tolist()) == kept


@pytest.mark.parametrize("name", NAMES)
def test_one_batch_serves_all_rounds_unless_asked_otherwise(name):
    assert registry.criterion(name, {"steps": 7}).batch_count() == 1
    assert registry.criterion(name, {"steps": 7, "fresh_batches": True}).batch_count() == 7


@pytest.mark.parametrize("label", ["force@official", "iter_snip@official", "grad_norm@grasp-it"])
def test_the_authors_draw_for_each_of_ten_rounds_what_128_images_are_of_ten_classes(label):
    rule = registry.criterion(label)

    assert rule.batch_count() == rule.steps == 10
    assert rule.examples_per_class == 13


def test_fewer_batches_are_used_in_turn(case):
    """Three rounds on two batches: the third is the first again, so a third that equals the first changes nothing."""
    reference = case("a")
    first, second = ((reference.x[i : i + 50], reference.y[i : i + 50]) for i in (0, 50))
    options = {"sparsity": 0.9, "steps": 3, "fresh_batches": True}

    two = pabench.prune(reference.module, "force", batch=[first, second], **options)
    three = pabench.prune(reference.module, "force", batch=[first, second, first], **options)

    assert all(torch.equal(two[n], three[n]) for n in two)


def test_halves_by_class_are_refused(case):
    with pytest.raises(PabenchError, match="scored whole; give batch_split: whole, or fresh_batches: false"):
        pabench.score(case("a").module, "force", batch=case("a").batch, fresh_batches=True, batch_split="class-halves")
