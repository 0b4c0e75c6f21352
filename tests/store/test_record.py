"""Records and receipts: their names for a cell, and what every one of them holds."""

from __future__ import annotations

import doctest
from dataclasses import replace

from pabench.store import record as module
from pabench.store.record import blank_receipt, blank_record, labels

from ..synthetic import CRITERIA, cells


def test_the_examples_hold():
    assert doctest.testmod(module) == (0, 1)


def test_a_cell_is_named_by_its_parts_and_an_ablation_besides():
    dense, pruned = cells([CRITERIA["synflow"]], models=["resnet20"], sparsities=[0.9], seeds=1)

    assert labels(dense) == {"dataset": "cifar10", "model": "resnet20", "criterion": "dense"}
    assert labels(replace(pruned, ablation="invert")) == {
        "dataset": "cifar10",
        "model": "resnet20",
        "criterion": "synflow (steps=100)",
        "ablation": "invert",
    }


def test_a_blank_record_has_the_key_of_its_cell_and_of_its_parent_and_a_receipt_that_of_the_pruning():
    _, plain = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1)
    inverted = replace(plain, ablation="invert")

    found = blank_record(inverted, {})
    assert (found["key"], found["parent"]) == (inverted.key, plain.key)
    assert blank_record(plain, {})["parent"] == ""
    assert blank_receipt(plain)["key"] == plain.pruning_key
    assert (found["status"], found["result"], found["receipt"]) == ("ok", None, None)
