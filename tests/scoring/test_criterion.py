"""The interface of criteria: rounds for any score, and a plugin that breaks its contract is named."""

from __future__ import annotations

import re

import pytest
import torch

import pabench
from pabench.errors import PluginError, SuiteError
from pabench.scoring.criterion import ScoreCriterion


@pytest.mark.parametrize("criterion", ["snip", "grasp"])
@pytest.mark.parametrize("schedule", ["exponential", "linear"])
def test_any_schedule_goes_with_any_score(case, criterion, schedule):
    """In rounds a criterion sees the pruned network, so its mask is another than in one shot."""
    reference = case("a")

    once = pabench.prune(reference.module, criterion, sparsity=0.9, batch=reference.batch)
    rounds = pabench.prune(reference.module, criterion, sparsity=0.9, batch=reference.batch, steps=4, schedule=schedule)

    assert rounds.receipt["rounds"] == 4
    assert rounds.receipt["kept"] == once.receipt["kept"] == 493
    assert any(not torch.equal(once[n], rounds[n]) for n in once)


class Broken(ScoreCriterion):
    """Gives what each test says."""

    name = "broken"
    gives = staticmethod(lambda ctx: {})

    def score(self, ctx):
        return type(self).gives(ctx)


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        (lambda c: None, r"score\(\) gave NoneType"),
        (lambda c: {}, "no scores for fc1.weight, fc2.weight, fc3.weight"),
        (lambda c: {**c.weights, "fc9.weight": c.weights["fc1.weight"]}, "fc9.weight, which are no prunable weights"),
        (lambda c: {**c.weights, "fc1.weight": torch.ones(3)}, r"fc1.weight: scores are \(3,\)"),
        (lambda c: {n: (w > 0) for n, w in c.weights.items()}, "scores are torch.bool"),
        (lambda c: {n: w * float("nan") for n, w in c.weights.items()}, "fc1.weight: 3072 of 3072 scores are not a"),
        (lambda c: {n: w.to("meta") for n, w in c.weights.items()}, "scores are on the meta device and hold"),
        (lambda c: {n: w.to_sparse() for n, w in c.weights.items()}, "scores are of layout torch.sparse_coo"),
    ],
)
def test_a_plugin_that_breaks_its_contract_is_named_with_the_layer(case, monkeypatch, gives, message):
    monkeypatch.setattr(Broken, "gives", staticmethod(gives))

    with pytest.raises(PluginError, match=message):
        pabench.prune(case("a").module, Broken(), sparsity=0.5)


def test_a_data_free_criterion_has_no_batch_to_split(case):
    with pytest.raises(SuiteError, match="batch_split: it is data-free; expected 'whole', not 'class-halves'"):
        pabench.prune(case("b").module, "synflow", sparsity=0.9, batch_split="class-halves")


@pytest.mark.parametrize(
    ("criterion", "given", "why"),
    [
        ("synflow", {}, "bn_warmup: it is data-free; expected 0, not 1"),
        ("snip", {"bn": "train"}, "bn_warmup: bn: train looks at no stored statistics; expected 0, not 1"),
        ("snip", {"bn": "eval"}, "snip: bn_warmup takes the images of a study"),
    ],
)
def test_a_warm_up_without_stored_statistics_or_images_is_refused(case, criterion, given, why):
    reference = case("b")

    with pytest.raises(SuiteError, match=re.escape(why)):
        pabench.prune(reference.module, criterion, sparsity=0.9, batch=reference.batch, bn_warmup=1, **given)
