"""Defects of public implementations, each with the test of ours that fails if it comes back.

Two stand elsewhere because what they are about does: a shuffle that changes no mask and an inversion that makes NaN of
0 belong to the ablations, a detached momentum to ProsPr.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.func import grad

import pabench
from pabench.cli.running import carry_out
from pabench.run.session import Options, Session
from pabench.scoring.allocation import layer_counts
from pabench.scoring.criterion import ScoreCriterion
from pabench.scoring.selection import kept_count, round_densities
from pabench.store.store import Store
from pabench.training import block, train as stage

TESTS = Path(__file__).parents[1]

DEFECTS = {
    "inverted scores v / v^2: 0 becomes NaN": [
        "diagnostics/test_conformance.py::test_what_is_wrong_with_a_criterion_is_found_by_the_checks_meant_for_it",
    ],
    "a threshold prunes or keeps all that are tied with it": [
        "scoring/test_selection.py::test_ties_are_broken_by_index_and_counted",
        "scoring/test_pruning.py::test_every_criterion_keeps_exactly_the_count_asked_for",
    ],
    "thresholds off by one": ["scoring/test_selection.py::test_the_kept_count_is_that_of_exact_arithmetic"],
    "a dead network turns into a mask of ones": [
        "scoring/test_selection.py::test_a_dead_network_is_not_kept_whole",
        "criteria/test_defects.py::test_a_network_that_dies_on_the_way_keeps_its_count",
    ],
    "stale .grad contaminates scores": [
        "criteria/test_snip.py::test_does_not_take_the_gradients_that_a_training_step_left",
    ],
    "scoring in train mode changes running statistics": [
        "scoring/test_library.py::test_scoring_and_pruning_leave_no_trace",
        "diagnostics/test_conformance.py::test_every_criterion_and_variant_passes_every_check",
    ],
    "rounds revive pruned weights": [
        "criteria/test_defects.py::test_a_pruned_weight_does_not_return_however_high_it_scores",
        "scoring/test_selection.py::test_pruned_weights_stay_pruned_whatever_their_score",
        "criteria/test_grasp.py::test_signed_scores_never_revive_a_pruned_weight",
    ],
    "NLL of raw logits": [
        "criteria/test_snip.py::test_scores_the_size_of_weight_times_gradient",
        "criteria/test_snip.py::test_uses_the_cross_entropy_and_not_the_raw_logits",
    ],
    "GraSP with its sign reversed": [
        "criteria/test_grasp.py::test_scores_a_network_by_hand",
        "diagnostics/test_conformance.py::test_every_criterion_and_variant_passes_every_check",
    ],
    "ERK capped without redistribution": [
        "scoring/test_allocation.py::test_erk_redistributes_what_full_layers_cannot_take",
        "criteria/test_defects.py::test_erk_meets_the_count_on_a_resnet_18",
    ],
    "limits that start below the target": [
        "scoring/test_selection.py::test_the_last_round_has_the_density_asked_for",
        "criteria/test_defects.py::test_no_round_goes_below_the_density_asked_for",
    ],
    "a sampler that needs one image more per class": [
        "data/test_split.py::test_a_scoring_batch_may_use_every_image_of_a_class",
    ],
    "momentum and weight decay revive pruned weights": [
        "scoring/test_apply.py::test_pruned_weights_are_zero_after_every_step_of_any_optimizer",
        "training/test_loop.py::test_pruned_weights_are_exactly_zero_after_every_step",
    ],
    "the best test epoch is reported": [
        "criteria/test_defects.py::test_test_data_are_read_once_after_the_last_epoch_and_that_is_the_result",
    ],
    "ERK floors per layer": ["criteria/test_defects.py::test_erk_keeps_no_floor_in_small_networks"],
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_has_a_test_that_exists(defect):
    for place in DEFECTS[defect]:
        name, _, function = place.partition("::")
        defined = {n.name for n in ast.parse((TESTS / name).read_text()).body if isinstance(n, ast.FunctionDef)}
        assert function in defined, place


@dataclass(frozen=True, kw_only=True)
class GradientSize(ScoreCriterion):
    """|dL/dw|: a pruned weight scores as high as it did, so that only the rounds can keep it out."""

    name = "gradient-size"
    examples_per_class: int = 10
    seen: ClassVar[list[Any]] = []

    def score(self, ctx):
        return {n: g.abs() for n, g in grad(ctx.loss)(ctx.kept).items()}

    def choose(self, scores, mask, density, ctx=None):
        chosen = super().choose(scores, mask, density)
        self.seen.append(({n: m.bool() for n, m in mask.items()}, scores, chosen.masks))
        return chosen


@pytest.fixture
def seen(monkeypatch):
    """Mask before, scores, and mask after of every round."""
    monkeypatch.setattr(GradientSize, "seen", [])
    return GradientSize.seen


def test_a_pruned_weight_does_not_return_however_high_it_scores(case, seen):
    """Iterative SNIP in public code revives 76 to 259 weights a round."""
    reference = case("a")

    pabench.prune(reference.module, GradientSize(steps=5), sparsity=0.9, batch=reference.batch)

    assert len(seen) == 5
    for before, _, after in seen:
        assert sum(int((after[n] & ~before[n]).sum()) for n in after) == 0
    before, scores, after = seen[-1]
    lowest_kept = min(float(scores[n][m].min()) for n, m in after.items() if m.any())
    # the temptation is real: pruned weights that score more than kept ones
    assert sum(int((scores[n][~before[n]] > lowest_kept).sum()) for n in after) > 50


def test_a_network_that_dies_on_the_way_keeps_its_count(seen):
    """FORCE at 99.9 %: once every path is cut all scores are 0, `>= 0` is true everywhere and the mask is all ones."""
    torch.manual_seed(0)
    layers = (nn.Linear(12, 12, bias=False) for _ in range(9))
    module = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())), nn.Linear(12, 4, bias=False))
    batch = (torch.randn(40, 12), torch.arange(40) % 4)

    masks = pabench.prune(module, GradientSize(steps=10), sparsity=0.99, batch=batch)

    _, scores, _ = seen[-1]
    assert all((s == 0).all() for s in scores.values())
    # 9 * 144 + 48 weights: N - floor(0.99 * 1344) = 1344 - 1330
    assert sum(int(m.sum()) for m in masks.values()) == 14


RESNET18 = {
    "conv1": (64, 3, 7, 7),
    **{f"layer1.{i}.conv{j}": (64, 64, 3, 3) for i in (0, 1) for j in (1, 2)},
    **{
        f"layer{k}.{i}.conv{j}": (w, w // 2 if (i, j) == (0, 1) else w, 3, 3)
        for k, w in ((2, 128), (3, 256), (4, 512))
        for i in (0, 1)
        for j in (1, 2)
    },
    **{f"layer{k}.0.downsample": (w, w // 2, 1, 1) for k, w in ((2, 128), (3, 256), (4, 512))},
    "fc": (10, 512),
}


def sizes(shapes):
    return {n: int(torch.tensor(shape).prod()) for n, shape in shapes.items()}


def test_erk_meets_the_count_on_a_resnet_18():
    """Capping alone gave 38.9 % where 50 % were asked for."""
    capacity = sizes(RESNET18)
    total = sum(capacity.values())
    relative = {n: sum(shape) for n, shape in RESNET18.items()}  # the ERK density times the size
    scale = 0.5 * total / sum(relative.values())
    capped = sum(min(scale * r, capacity[n]) for n, r in relative.items())

    counts = layer_counts("erk", RESNET18, capacity, kept_count(0.5, total))

    assert total == 11_172_032
    assert capped / total == pytest.approx(0.389, abs=0.001)  # the defect, on the same shapes
    assert sum(counts.values()) == total / 2
    assert all(counts[n] <= capacity[n] for n in counts)


def test_erk_keeps_no_floor_in_small_networks():
    """RigL's and JaxPruner's floors per layer keep 0.00142 where 0.001 were asked for."""
    shapes = {"fc1": (48, 64), "fc2": (32, 48), "fc3": (10, 32)}

    counts = layer_counts("erk", shapes, sizes(shapes), kept_count(0.001, 4928))

    # 5 of 4,928 by (112, 80, 42) / 234: 2.39, 1.71, 0.90; the two largest remainders round up
    assert counts == {"fc1": 2, "fc2": 2, "fc3": 1}


@pytest.mark.parametrize("schedule", ["exponential", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_no_round_goes_below_the_density_asked_for(schedule, steps):
    """A limit that begins under its target cannot come back: asked 0.3, got 0.5."""
    densities = round_densities(0.3, steps, schedule)

    assert len(densities) == steps
    assert all(1 > earlier > later >= 0.3 for earlier, later in pairwise(densities))
    assert densities[-1] == 0.3


def test_test_data_are_read_once_after_the_last_epoch_and_that_is_the_result(tmp_path, monkeypatch):
    """The accuracy of another epoch cannot be the result: no test image is seen before the last one is over."""
    log = []
    train, evaluate = block.train_network, stage.evaluate

    def trained(*args, **kwargs):
        curve = train(*args, **kwargs)
        log.append(("trained", len(curve["loss"])))
        return curve

    def evaluated(*args, **kwargs):
        outcome = evaluate(*args, **kwargs)
        log.append(("evaluated", outcome.top1))
        return outcome

    def read(block):
        log.append(("test data", 0))
        return test.func(block)

    test = stage.Block.__dict__["test"]
    monkeypatch.setattr(block, "train_network", trained)
    monkeypatch.setattr(stage, "evaluate", evaluated)
    monkeypatch.setattr(stage.Block, "test", property(read))
    (tmp_path / "suite.yaml").write_text(SUITE)

    options = Options(suite=str(tmp_path / "suite.yaml"), output=tmp_path / "out", engine="inline")
    code = carry_out(Session.open(options))

    (record,) = Store(tmp_path / "out").records().values()
    assert code == 0
    # the dense network is also judged on training images, which are no result
    assert [what for what, _ in log] == ["trained", "test data", "evaluated", "evaluated"]
    assert log[0] == ("trained", 3)
    assert record["result"]["top1"] == log[2][1]
    assert record["training_images"]["top1"] == log[3][1]


SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [lenet_300_100]
criteria: [random]
sparsities: [0]
seeds: 1
recipe: {epochs: 3, batch_size: 32, lr: 0.05}
"""
