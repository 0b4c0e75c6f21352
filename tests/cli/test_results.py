"""The commands about results folders: status and export."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from pabench.store.store import Store

from .test_main import pabench


def test_status_for_people_and_programs(finished):
    folder, _ = finished

    assert "tiny: 2 cells: 2 ok, 0 failed, 0 skipped, 0 missing" in pabench("status", folder / "out").stdout
    found = json.loads(pabench("status", folder / "out", "--pairing", "--json").stdout)
    assert found["ok"] == 2
    assert found["pairing"] == {"blocks": 1, "cells": 2, "unpaired": [], "apart": []}


def test_status_finds_a_cell_that_was_not_paired(finished, tmp_path):
    """A record with other weights than its block's: the check can fail."""
    import shutil

    shutil.copytree(finished[0] / "out", tmp_path / "out")
    store = Store(tmp_path / "out")
    key, record = next(iter(store.records().items()))
    (tmp_path / "out" / "records" / f"{key}.json").unlink()
    store.commit("records", key, {**record, "pairing": {**record["pairing"], "weights": "0" * 64}})

    said = pabench("status", tmp_path / "out", "--pairing")

    assert said.returncode == 3
    assert "weights has 2 different hashes" in said.stdout


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_export_writes_a_row_a_cell(finished, tmp_path, suffix):
    folder, _ = finished
    out = tmp_path / f"cells.{suffix}"

    assert pabench("export", folder / "out", "-o", out).stdout == f"2 cells: {out}\n"

    frame = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[suffix](out)
    assert sorted(frame["criterion"]) == ["dense", "random"]
    assert frame["top1"].between(0, 100).all()


def test_figures_are_written_as_pdf_and_svg(finished, tmp_path):
    done = pabench("figures", finished[0] / "out", "-o", tmp_path / "figures")

    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert done.stdout == f"{len(names)} files: {tmp_path / 'figures'}\n"
    assert {"accuracy-digits-lenet-300-100.pdf", "accuracy-digits-lenet-300-100.svg"} <= set(names)
    assert done.stderr == ""
