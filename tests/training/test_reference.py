"""Reference lines: pruning after training with rewinding, and a narrower dense network in place of a pruned one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import nn

from pabench.cli.running import carry_out
from pabench.networks import models as models
from pabench.report.pairings import pairings
from pabench.report.status import counts
from pabench.run.session import Options, Session
from pabench.scoring.masks import unpack
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.suite.specs import ModelSpec
from pabench.training import block, prune
from pabench.training.reference import budget

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 4, test_per_class: 2}]
models: [resnet8]
criteria: [magnitude_after_training, {name: magnitude_after_training, rewind_epochs: 2}, small_dense]
sparsities: [0, 0.5, 0.9]
seeds: 1
recipe: {epochs: 3, batch_size: 20, lr: 0.05, momentum: 0.9, augment: {crop: 1}}
"""
QUICK = SUITE.replace("resnet8", "lenet_300_100")
LATE = "magnitude_after_training"
REWOUND = "magnitude_after_training (rewind_epochs=2)"
LATE_ONLY = (f"criterion={LATE}",)


def session(folder: Path, text: str = SUITE, **options) -> Session:
    (folder / "study.yaml").write_text(text)
    given = {"engine": "inline", "device": "cpu"} | options
    return Session.open(Options(suite=str(folder / "study.yaml"), output=folder / "out", **given))


def named(folder: Path) -> dict:
    records = Store(folder / "out").records().values()
    return {(r["labels"]["criterion"], r["cell"]["sparsity"]): r for r in records}


class Watched:
    """Every training of a study: weights before and after, how it was called; seconds of training to prune by."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.runs: list[dict] = []
        self.seconds: list[float] = []
        train, weights = block.train_network, prune.trained

        def timed(*args):
            began = time.perf_counter()
            found = weights(*args)
            self.seconds.append(time.perf_counter() - began)
            return found

        def watched(module, masks, *args, **options):
            seen = {"before": copied(module), "masks": masks, **options}
            curve = train(module, masks, *args, **options)
            self.runs.append(seen | {"curve": curve, "after": copied(module)})
            return curve

        patch.setattr(block, "train_network", watched)
        patch.setattr(prune, "trained", timed)


def copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return {n: t.detach().clone() for n, t in module.state_dict().items()}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    with pytest.MonkeyPatch.context() as patch:
        watched = Watched(patch)
        code = carry_out(session(folder))
    assert code == 0
    return folder, named(folder), watched.runs, watched.seconds


def test_the_dense_network_is_trained_once_for_all_sparsities_of_a_line(study):
    """One dense cell, six others, and one training for each of the two lines that look at trained weights."""
    _, records, runs, _ = study

    assert len(records) == 7
    assert [(bool(one["masks"]), one["dense_epochs"]) for one in runs] == [
        (False, 0),  # the dense cell
        (False, 0),  # for LATE
        (True, 0),
        (True, 0),
        (False, 0),  # for REWOUND
        (True, 2),
        (True, 2),
        (False, 0),  # the two narrower networks
        (False, 0),
    ]


def test_trained_weights_equal_those_of_the_dense_cell_to_the_bit(study):
    _, records, runs, _ = study
    dense, *others = [one for one in runs if not one["masks"]][:3]

    assert dense["curve"] == records["dense", 0.0]["result"]["curve"]
    for other in others:
        assert all(torch.equal(dense["after"][n], w) for n, w in other["after"].items())
    assert not torch.equal(dense["before"]["fc.weight"], dense["after"]["fc.weight"])


def test_masks_keep_the_largest_trained_weights_of_the_whole_network(study):
    folder, records, runs, _ = study
    trained = runs[0]["after"]

    for sparsity in (0.5, 0.9):
        masks, _ = unpack(Store(folder / "out").get_mask(records[LATE, sparsity]["receipt"]["mask"]))
        kept = torch.cat([trained[n][m].abs() for n, m in masks.items()])
        pruned = torch.cat([trained[n][~m].abs() for n, m in masks.items()])
        total = len(kept) + len(pruned)
        assert len(kept) == total - int(sparsity * total)
        assert kept.min() >= pruned.max()


def test_retraining_starts_at_the_initial_weights_and_rewound_at_those_of_the_dense_run(study):
    """All start from the block's weights; those with two dense epochs have the dense curve for two epochs exactly."""
    _, records, runs, _ = study
    dense = records["dense", 0.0]["result"]["curve"]
    late, rewound = (records[name, 0.9]["result"]["curve"] for name in (LATE, REWOUND))

    for one in runs[:7]:
        assert all(torch.equal(one["before"][n], w) for n, w in runs[0]["before"].items())
    assert rewound["loss"][:2] == dense["loss"][:2]
    assert rewound["loss"][2] != dense["loss"][2]
    assert late["loss"][0] != dense["loss"][0]
    assert records[LATE, 0.9]["receipt"]["mask"] != records[LATE, 0.5]["receipt"]["mask"]
    for one in (one for one in runs if one["masks"]):
        assert all((one["after"][n][~m] == 0).all() for n, m in one["masks"].items())


def test_rewinding_changes_the_start_and_not_the_mask(study):
    folder, records, *_ = study
    store = Store(folder / "out")
    one, two = (unpack(store.get_mask(records[name, 0.9]["receipt"]["mask"]))[0] for name in (LATE, REWOUND))

    assert all(torch.equal(one[n], two[n]) for n in one)


def test_its_scoring_costs_at_least_the_dense_training(study):
    _, records, _, seconds = study

    assert len(seconds) == 2
    for name, dense in zip((LATE, REWOUND), seconds, strict=True):
        assert all(records[name, sparsity]["cost"]["scoring_seconds"] >= dense for sparsity in (0.5, 0.9))


def test_a_line_that_trains_has_other_masks_under_another_recipe_and_others_have_not(study, tmp_path):
    def keys(text):
        cells = session(tmp_path, text).cells
        return {(c.criterion.label, c.sparsity): c.pruning_key for c in cells if c.criterion}

    before, after = keys(SUITE), keys(SUITE.replace("lr: 0.05", "lr: 0.06"))

    assert {label for label, _ in before if before[label, 0.9] != after[label, 0.9]} == {LATE, REWOUND}


def test_a_finished_study_computes_nothing_and_a_lost_record_comes_out_equal(study, monkeypatch):
    folder, records, *_ = study
    watched = Watched(monkeypatch)

    assert carry_out(session(folder)) == 0
    assert watched.runs == []
    for name in (REWOUND, "small_dense"):
        (folder / "out" / "records" / f"{records[name, 0.9]['key']}.json").unlink()
    assert carry_out(session(folder)) == 0

    assert [one["dense_epochs"] for one in watched.runs] == [2, 0]
    for name in (REWOUND, "small_dense"):
        assert named(folder)[name, 0.9]["result"] == records[name, 0.9]["result"]


def test_a_dense_training_that_failed_is_tried_again_when_asked(tmp_path, monkeypatch):
    text = QUICK.replace("[0, 0.5, 0.9]", "[0.9]")
    weights = prune.trained

    def full(*args):
        raise MemoryError("out of memory")

    monkeypatch.setattr(prune, "trained", full)
    assert carry_out(session(tmp_path, text, only=LATE_ONLY)) == 3
    assert named(tmp_path)[LATE, 0.9]["kind"] == "oom"
    monkeypatch.setattr(prune, "trained", weights)

    assert carry_out(session(tmp_path, text, only=LATE_ONLY)) == 3
    assert carry_out(session(tmp_path, text, only=LATE_ONLY, retry=True)) == 0
    assert named(tmp_path)[LATE, 0.9]["status"] == "ok"


# --- the learning rate alone is rewound -------------------------------------------------------------------------------

RATE = "learning_rate_rewinding"
LATE_RATE = "learning_rate_rewinding (rewind_epochs=1)"
RATES = (
    QUICK.replace(
        "[magnitude_after_training, {name: magnitude_after_training, rewind_epochs: 2}, small_dense]",
        f"[{LATE}, {RATE}, {{name: {RATE}, rewind_epochs: 1}}]",
    )
    .replace("[0, 0.5, 0.9]", "[0, 0.9]")
    .replace("recipe: {", "recipe: {compact: false, ")
)


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    with pytest.MonkeyPatch.context() as patch:
        watched = Watched(patch)
        assert carry_out(session(folder, RATES)) == 0
    return folder, named(folder), watched.runs


def test_rewinding_the_learning_rate_goes_on_from_the_trained_weights(rates):
    """The masked training begins with what the dense cell ended with, by the same mask as the other line's."""
    _, _, runs = rates
    dense = next(one for one in runs if not one["masks"])
    masked = [one for one in runs if one["masks"]]

    assert [one["first_epoch"] for one in masked] == [0, 0, 1]
    for one in masked[1:]:
        assert all(torch.equal(one["before"][n], w) for n, w in dense["after"].items())
        assert all((one["after"][n][~m] == 0).all() for n, m in one["masks"].items())
    assert all(torch.equal(m, masked[0]["masks"][n]) for n, m in masked[1]["masks"].items())


def test_rewinding_the_learning_rate_to_an_epoch_has_the_rates_from_there_on(rates):
    _, records, _ = rates
    dense, whole, later = (records[key]["result"]["curve"] for key in (("dense", 0.0), (RATE, 0.9), (LATE_RATE, 0.9)))

    assert whole["lr"] == dense["lr"]
    assert later["lr"] == dense["lr"][1:]
    assert whole["loss"][0] < dense["loss"][0]  # what was learned is not lost


def test_a_receipt_says_how_many_epochs_its_line_takes_altogether(rates):
    """Of a recipe of three: three to prune by, and three or, from epoch 1 on, two with masks, whatever is rewound."""
    _, records, _ = rates
    receipts = {name: records[name, 0.9]["receipt"] for name in (LATE, RATE, LATE_RATE)}

    assert {name: made["total_epochs"] for name, made in receipts.items()} == {LATE: 6, RATE: 6, LATE_RATE: 5}
    assert [made.get("resumes_at") for made in receipts.values()] == [None, 0, 1]
    assert receipts[RATE]["trained_weights"] == receipts[LATE_RATE]["trained_weights"]


def test_the_dense_training_is_repeated_for_each_cell_that_goes_on_from_it(rates):
    """The dense cell, three lines to prune by, two cells that go on; all come to the same weights."""
    _, _, runs = rates
    dense = [one for one in runs if not one["masks"]]

    assert len(dense) == 6
    assert all(torch.equal(dense[0]["after"][n], w) for one in dense for n, w in one["after"].items())


def test_a_mask_of_other_trained_weights_is_refused(rates, tmp_path, monkeypatch):
    """As on a machine whose dense training comes out otherwise."""
    monkeypatch.setattr(prune, "budget", lambda *args: {**budget(*args), "trained_weights": "0" * 64})

    assert carry_out(session(tmp_path, RATES, only=(f"criterion={RATE}",))) == 3

    record = named(tmp_path)[RATE, 0.9]
    assert (record["status"], record["kind"]) == ("failed", "data")
    assert "the trained network is another than the one that was pruned" in record["message"]
    key = Cell.from_json(record["cell"]).pruning_key
    assert Store(tmp_path / "out").get("receipts", key) is None  # --retry failed prunes it anew


def test_trained_weights_cannot_be_drawn_anew(tmp_path):
    text = RATES.replace("seeds: 1", "seeds: 1\nablations: [reinit]")
    only = (f"criterion={RATE}", "ablation=reinit")

    assert carry_out(session(tmp_path, text, only=only)) == 0

    record = named(tmp_path)[RATE, 0.9]
    assert (record["status"], record["kind"]) == ("skipped", "inapplicable")
    assert "goes on from trained weights" in record["message"]


def test_a_recipe_too_short_to_rewind_is_declined_before_anything_is_trained(tmp_path, monkeypatch):
    watched = Watched(monkeypatch)
    text = QUICK.replace("epochs: 3", "epochs: 2").replace("[0, 0.5, 0.9]", "[0.9]")

    carry_out(session(tmp_path, text, only=(f"criterion={REWOUND}",)))

    record = named(tmp_path)[REWOUND, 0.9]
    assert (record["status"], record["kind"]) == ("skipped", "declined")
    assert "2 epochs unpruned leave none of 2 to retrain" in record["message"]
    assert watched.runs == []


def test_small_dense_is_the_widest_network_with_at_most_the_parameters_left(study):
    """ResNet-8 on grey images: 77,754 parameters, 77,072 of them prunable; 682 others stay."""
    _, records, runs, _ = study

    for sparsity, left, width, one in ((0.5, 39218, 11, runs[-2]), (0.9, 8390, 5, runs[-1])):
        record = records["small_dense", sparsity]
        receipt, result = record["receipt"], record["result"]
        assert receipt["left"] == left == 77754 - int(sparsity * 77072)
        assert receipt["model"] == {"name": "resnet8", "args": {"width": width}, "stem": ""}
        sizes = {w: count("resnet8", width=w) for w in (width, width + 1)}
        assert sizes[width] <= left < sizes[width + 1]
        assert receipt["parameters_instead"] == sizes[width]
        assert result["parameters"] == {"dense": 77754, "pruned": sizes[width]}
        assert sum(t.numel() for n, t in one["after"].items() if n in dict(parameters(width))) == sizes[width]
        assert result["flops"]["pruned"] < result["flops"]["dense"] == records["dense", 0.0]["result"]["flops"]["dense"]
        assert "mask" not in receipt


def parameters(width: int):
    return models.build(ModelSpec("resnet8", {"width": width}), 10, (1, 8, 8), 0).named_parameters()


def count(name: str, shape=(1, 8, 8), **args) -> int:
    shapes = models.parameter_shapes(ModelSpec(name, args), 10, shape)
    return sum(torch.Size(s).numel() for s in shapes.values())


def test_small_dense_shares_order_and_augmentation_with_its_block_but_no_weights(study):
    folder, records, *_ = study
    dense, small = records["dense", 0.0]["pairing"], records["small_dense", 0.9]["pairing"]

    assert small == {part: value for part, value in dense.items() if part != "weights"}
    assert pairings(folder / "out") == {"blocks": 1, "cells": 7, "unpaired": [], "apart": []}
    page = (folder / "out" / "report.html").read_text()
    assert "initial weights: equal in 1 of 1 blocks" in page


def test_a_network_that_cannot_be_narrowed_is_skipped_with_the_reason(tmp_path):
    """EfficientNets of timm have their multiplier in the name and not among their arguments."""
    text = SUITE.replace("resnet8", "test_efficientnet")

    assert carry_out(session(tmp_path, text, only=("criterion=small_dense",))) == 0

    record = named(tmp_path)["small_dense", 0.9]
    assert (record["status"], record["kind"]) == ("skipped", "declined")
    reason = "no argument that sets the width of test_efficientnet (EfficientNet) is known"
    assert record["message"] == f"small_dense declines this network: {reason}"
    assert counts(tmp_path / "out")["skipped"] == 2


def test_a_study_of_nothing_but_reference_lines_has_a_report(tmp_path):
    assert carry_out(session(tmp_path, QUICK, only=("criterion=small_dense", "sparsity=0.9"))) == 0

    page = (tmp_path / "out" / "report.html").read_text()
    assert "This section could not be made" not in page
    assert "no pruning: a narrower dense network" in page
