"""A study whose attention and recurrent weights are pruned: masks, sizes, training, metrics, verification."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

import pabench
from pabench.cli.running import carry_out
from pabench.leaderboard.verification.criteria import receipts
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify
from pabench.scoring.masks import unpack
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.training.block import Block

from ..pageless import undrawn
from .conftest import named, session


class Rows(nn.Module):
    """Rows of the 8 x 8 digits as steps of an LSTM of four units, which attend to each other."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.memory = nn.LSTM(8, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.memory(x.mean(1))
        return self.head(self.attention(steps, steps, steps)[0].mean(1))

    def get_classifier(self) -> nn.Module:
        return self.head


def rows_of_digits(pretrained: bool = False, num_classes: int = 10, in_chans: int = 1, **unset) -> nn.Module:
    return Rows(num_classes)


timm.models.register_model(rows_of_digits)

SIZES = {
    **{"memory.weight_ih_l0": 16 * 8, "memory.weight_hh_l0": 16 * 4, "attention.in_proj_weight": 12 * 4},
    **{"attention.out_proj.weight": 4 * 4, "head.weight": 10 * 4},
}
TOTAL = 296
SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [rows_of_digits]
criteria: [snip, grasp, magnitude_after_training]
sparsities: [0, 0.5]
ablations: [shuffle, reinit]
seeds: 1
recipe: {epochs: 2, batch_size: 32, lr: 0.1, weight_decay: 0.01, augment: none}
scoring: {include: [recurrent, attention]}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("included")
    opened = session(folder, SUITE)
    with undrawn():
        carry_out(opened)
    return opened, folder / "out", named(folder / "out")


def test_masks_are_of_all_weights(study):
    _, folder, records = study

    for criterion in ("snip", "grasp", "magnitude_after_training"):
        for ablation in ("", "shuffle", "reinit"):
            record = records[criterion, 0.5, ablation]
            assert record["status"] == "ok", record["message"]
            receipt = record["receipt"]
            assert {layer["name"]: layer["total"] for layer in receipt["layers"]} == SIZES
            assert (receipt["total"], receipt["kept"], receipt["dense"]) == (TOTAL, TOTAL // 2, {})
            masks, header = unpack(Store(folder).get_mask(receipt["mask"]))
            assert {n: m.numel() for n, m in masks.items()} == SIZES
            assert "dense" not in header  # a file of masks says nothing of the rest of the network


def test_the_record_counts_what_is_left_of_attention_and_recurrence(study):
    """Eight steps: each weight of them is used eight times, the head's once."""
    _, _, records = study
    record = records["snip", 0.5, ""]
    kept = {layer["name"]: layer["kept"] for layer in record["receipt"]["layers"]}
    times = {n: 1 if n == "head.weight" else 8 for n in SIZES}

    flops = record["result"]["flops"]
    assert flops["layers"] == {n: 2 * size * times[n] for n, size in SIZES.items()}
    assert flops["dense"] - flops["pruned"] == sum(2 * (SIZES[n] - kept[n]) * times[n] for n in SIZES)
    parameters = record["result"]["parameters"]
    assert parameters["dense"] - parameters["pruned"] == TOTAL // 2


def test_pruned_weights_of_attention_and_recurrence_stay_0_in_training(study):
    opened, folder, records = study
    cell = next(c for c in opened.cells if c.criterion and c.criterion.name == "snip" and not c.ablation)
    masks, _ = unpack(Store(folder).get_mask(records["snip", 0.5, ""]["receipt"]["mask"]))
    block = Block(cell, torch.device("cpu"))
    module = block.network()

    block.fit(module, masks)

    trained = dict(module.named_parameters())
    assert all(not trained[n][~m].any() for n, m in masks.items())
    assert all(trained[n][m].all() for n, m in masks.items())


def test_effective_density_is_measured(study):
    """A magnitude of trained weights cuts no path off here: all that is kept is on one."""
    frame = pabench.load(study[1])

    found = frame[(frame["criterion"] == "magnitude_after_training") & (frame["ablation"] == "")]
    assert 0.4 < float(found["effective_density"].iloc[0]) <= 0.5


def test_the_results_verify(study):
    """By the records alone, and by making the masks again."""
    found = verify(study[1], level=3, where=Where(engine="inline"))

    assert [(level.number, level.flaws) for level in found.levels] == [(1, ()), (2, ()), (3, ())]


def test_a_receipt_that_names_something_else_as_dense_is_found(study):
    """Older receipts say nothing of it, and pass."""
    _, _, records = study
    record = records["snip", 0.5, ""]
    cell, made = Cell.from_json(record["cell"]), {**record, "cost": {}}

    def flaws(receipt: dict) -> list[str]:
        return [f.field for f in receipts(cell, {**record, "receipt": receipt, "cost": {}}, made, alike=True)]

    forged = {"attention": {"names": ["attention.in_proj_weight"], "weights": 48}}
    assert flaws({**record["receipt"], "dense": forged}) == ["receipt.dense"]
    assert flaws({k: v for k, v in record["receipt"].items() if k != "dense"}) == []
