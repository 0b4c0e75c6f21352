"""The table of a results folder: one row a cell, whatever became of it."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import pabench
from pabench.errors import MissingError
from pabench.report.table import export
from pabench.store.store import Store

from .. import synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dense network, and snip at 80 % (flagged), at 95 % (diverged), and at 99 %, which nobody has run."""
    folder = tmp_path_factory.mktemp("study")
    dense, good, bad, missing = cells = synthetic.cells([synthetic.CRITERIA["snip"]], models=["resnet20"], seeds=1)
    flags = [{"flag": "tied", "detail": "12 weights"}, {"flag": "doubtful", "detail": "half of them 0"}]
    store = Store(folder)
    store.open_study(synthetic.manifest(cells))
    for record in (synthetic.record(dense), synthetic.record(good, flags=flags), synthetic.failed(bad)):
        store.commit("records", record["key"], record)
    assert store.get("records", missing.key) is None
    return folder


def test_each_expected_cell_is_a_row_in_the_order_of_the_suite(folder):
    frame = pabench.load(folder)

    assert list(frame["criterion"]) == ["dense", "snip", "snip", "snip"]
    assert list(frame["sparsity"]) == [0.0, 0.8, 0.95, 0.99]
    assert list(frame["status"]) == ["ok", "ok", "failed", "missing"]
    assert list(frame["kind"]) == ["", "", "diverged", ""]
    assert set(frame["dataset"]) == {"cifar10"}
    assert set(frame["model"]) == {"resnet20"}


def test_numbers_are_those_of_the_records_and_nan_where_a_cell_has_none(folder):
    """ResNet-20 has 432 + 13,824 + 50,688 + 202,752 + 640 = 268,336 prunable weights of 272,474 parameters."""
    frame = pabench.load(folder)
    dense, good, bad, missing = frame.itertuples()

    assert (dense.parameters_pruned, good.parameters_pruned) == (272_474, 272_474 - 214_668)
    assert good.weights_total == bad.weights_total == 268_336
    assert good.batch == 10
    assert good.top5 == dense.top5 == 99
    assert math.isnan(dense.weights_total)
    assert math.isnan(bad.top1)
    assert all(math.isnan(x) for x in (missing.top1, missing.weights_total, missing.training_seconds))


def test_flags_are_one_text_and_a_failed_cell_says_how_to_run_it_again(folder):
    frame = pabench.load(folder)

    assert list(frame["flags"]) == ["", "doubtful; tied", "", ""]
    assert frame["rerun"][2] == (
        "pabench run suites/synthetic.yaml -o results --only dataset=cifar10 --only model=resnet20 "
        "--only criterion=snip --only sparsity=0.95 --only seed=0 --retry failed"
    )


def test_an_export_is_the_same_table(folder, tmp_path):
    assert export(folder, tmp_path / "cells.parquet") == 4

    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "cells.parquet"), pabench.load(str(folder)))


def test_the_folder_of_an_export_is_made(folder, tmp_path):
    assert export(folder, tmp_path / "new" / "folder" / "cells.csv") == 4
    assert (tmp_path / "new" / "folder" / "cells.csv").is_file()


def test_a_folder_without_a_study_is_a_missing_requirement(tmp_path):
    with pytest.raises(MissingError, match=r"study\.json"):
        pabench.load(tmp_path)
