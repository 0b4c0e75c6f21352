"""Gradual magnitude pruning: the density of each step, one training, and a mask that it ends with."""

from __future__ import annotations

import pytest
import torch

import pabench
from pabench.cli.running import carry_out
from pabench.errors import SuiteError
from pabench.scoring.gradual import Gradual
from pabench.scoring.masks import unpack
from pabench.store.store import Store
from pabench.training import loop

from ..pageless import undrawn
from ..training.conftest import named, session

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 8, test_per_class: 2}]
models: [lenet_300_100]
criteria: [{name: gradual_magnitude, begin: 0.25, end: 0.75, prunings: 4}]
sparsities: [0, 0.8, 0.9]
ablations: [reinit]
seeds: 1
recipe: {epochs: 3, batch_size: 20, lr: 0.1, momentum: 0.9, augment: {crop: 1}}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Its folder, its records, and the number of weights that were not 0 after each step of each training."""
    folder, kept = tmp_path_factory.mktemp("gradual"), []
    step = loop._step

    def counted(forward, optimizer, pruned, multipliers, *args):
        found = step(forward, optimizer, pruned, multipliers, *args)
        kept.append(sum(int(w.count_nonzero()) for w in pruned))
        return found

    with undrawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_step", counted)
        carry_out(session(folder, SUITE))
    return folder, named(folder / "out"), [kept[i : i + 12] for i in range(0, len(kept), 12)]


LABEL = "gradual_magnitude (begin=0.25, end=0.75, prunings=4)"


def test_every_step_has_the_count_of_the_cubic_schedule(study):
    """12 steps, of which number 0 to 11 is at 0 to 1 of training; four prunings between 0.25 and 0.75."""
    gradual = Gradual(1 - 0.8, 0.25, 0.75, 4, "uniform")
    total = 64 * 300 + 300 * 100 + 100 * 10
    expected = [total - int(round((1 - gradual.at(t / 11)) * total, 6)) for t in range(12)]

    assert [count for count in study[2] if count[-1] == expected[-1]] == [expected, expected]  # for mask and record
    assert expected[3] == total  # 3 / 11 is past the begin, and the first of four intervals is not over
    assert expected[-1] == total - int(0.8 * total) == expected[9] < expected[8]


def test_the_mask_is_what_training_ended_with_and_its_receipt_says_how(study):
    folder, records, _ = study

    for sparsity in (0.8, 0.9):
        record = records[LABEL, sparsity, ""]
        made = record["receipt"]
        masks, _ = unpack(Store(folder / "out").get_mask(made["mask"]))
        # the same share of each layer, up to a weight of rounding
        assert [float(m.float().mean()) for m in masks.values()] == pytest.approx([1 - sparsity] * 3, abs=6e-4)
        assert record["status"] == "ok"
        assert made["total_epochs"] == 3
        assert Gradual(**made["gradual"]) == Gradual(1 - sparsity, 0.25, 0.75, 4, "uniform")
        assert len(record["result"]["curve"]["loss"]) == 3
        assert record["compaction"] == {"declined": "not compacted: the masks come about in training"}


def test_until_the_first_pruning_it_is_the_dense_training(study):
    """Step 0 to 3 of 4 in the first epoch: the loss of that epoch is the dense one to the bit, the next is not."""
    records = study[1]
    dense, sparse = (records[key]["result"]["curve"]["loss"] for key in (("dense", 0.0, ""), (LABEL, 0.9, "")))

    assert sparse[0] == dense[0]
    assert sparse[2] != dense[2]


def test_weights_drawn_anew_have_no_mask_to_begin_with(study):
    record = study[1][LABEL, 0.9, "reinit"]

    assert (record["status"], record["kind"]) == ("skipped", "inapplicable")
    assert record["message"].endswith("prunes as it trains: reinit has no mask to begin with")


def test_a_training_that_comes_out_otherwise_fails_its_cell_and_is_pruned_anew_when_asked(study, monkeypatch):
    folder, records, _ = study
    key = records[LABEL, 0.9, ""]["key"]
    (folder / "out" / "records" / f"{key}.json").unlink()
    seen = loop.lr_factor
    monkeypatch.setattr(loop, "lr_factor", lambda recipe, epoch: 0.5 * seen(recipe, epoch))

    carry_out(session(folder, SUITE))

    record = named(folder / "out")[LABEL, 0.9, ""]
    assert (record["status"], record["kind"]) == ("failed", "data")
    assert "training has pruned other weights than it had for the mask" in record["message"]

    assert carry_out(session(folder, SUITE, retry=True)) == 0
    assert named(folder / "out")[LABEL, 0.9, ""]["receipt"]["mask"] != records[LABEL, 0.9, ""]["receipt"]["mask"]


def test_it_is_known_to_a_study_and_ends_after_it_begins(softmax):
    module, batch = softmax
    with pytest.raises(SuiteError, match="trained weights are not known"):
        pabench.prune(module, "gradual_magnitude", sparsity=0.5, batch=batch)
    with pytest.raises(SuiteError, match=r"gradual_magnitude: end: 0\.1 is not above begin, 0\.2, and at most 1"):
        pabench.prune(module, "gradual_magnitude", sparsity=0.5, batch=batch, begin=0.2, end=0.1)
    trained = {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    assert pabench.prune(module, "gradual_magnitude", sparsity=0.5, trained=trained)["weight"].tolist() == [
        [False, False],
        [True, True],
    ]
