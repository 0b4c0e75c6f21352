"""The command line as a user meets it."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pabench import __version__
from pabench.cli.main import app, main
from pabench.run.trial import criteria
from pabench.scoring.masks import Masks, unpack
from pabench.store.store import Store

SUITE = """
protocol: pai-v1
title: Tiny
datasets: [{name: digits, train_per_class: 10, test_per_class: 5}]
models: [lenet_300_100]
criteria: [random]
sparsities: [0, 0.9]
seeds: 1
recipe: {epochs: 1, batch_size: 32, augment: none}
"""


@dataclass(frozen=True)
class Said:
    returncode: int
    stdout: str
    stderr: str


def pabench(*words: str | Path, cwd: Path | None = None) -> Said:
    """The command as the console script runs it, in this process: importing torch takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["pabench", *map(str, words)])
        if cwd:
            patch.chdir(cwd)
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    return Said(int(code), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(SUITE)
    done = pabench("run", folder / "tiny.yaml", "--device", "cpu", "-j", "1", "-o", folder / "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_prints_plain_lines_where_there_is_no_terminal_and_where_the_report_is(finished):
    folder, done = finished
    lines = done.stdout.splitlines()

    assert lines[0] == "tiny: 2 cells, 0 done, 2 to do"
    assert lines[1].startswith("[1/2] digits / lenet_300_100 / dense / seed 0: ")
    assert "left)" in lines[1]
    assert lines[-2:] == ["cells: 2 ok", f"report: {folder / 'out' / 'report.html'}"]
    assert "\x1b" not in done.stdout
    assert (folder / "out" / "report.html").stat().st_size > 10_000


def test_the_default_folder_is_named_after_the_suite(finished):
    folder, _ = finished

    said = pabench("run", "tiny.yaml", "--dry-run", "--device", "cpu", cwd=folder)

    assert "folder: results/tiny" in said.stdout
    assert not (folder / "results").exists()


def test_a_dry_run_shows_grid_progress_and_estimate_and_writes_nothing(finished):
    folder, _ = finished
    before = sorted(folder.rglob("*"))

    said = pabench(
        "run", "tiny.yaml", "--dry-run", "--device", "cpu", "-o", "out", "--set", "sparsities=[0,0.5,0.9]", cwd=folder
    )

    assert said.returncode == 0
    assert "cells: 3; done: 2 ok; to do: 1" in said.stdout
    assert "scorings: 1" in said.stdout
    assert "of training, scoring not included" in said.stdout
    assert sorted(folder.rglob("*")) == before


def test_only_names_the_choices_when_it_matches_nothing(finished):
    folder, _ = finished

    said = pabench("run", "tiny.yaml", "--only", "criterion=snip", cwd=folder)

    assert said.returncode == 2
    assert said.stderr == "--only criterion=snip: no cell has it; known: dense, random\n"


def test_a_wrong_suite_gets_every_error_with_its_place_and_no_traceback(tmp_path):
    text = SUITE.replace("epochs: 1", "epochz: 1").replace("seeds: 1", "seeds: -1").replace("[random]", "[snp]")
    (tmp_path / "tiny.yaml").write_text(text)

    said = pabench("run", "tiny.yaml", cwd=tmp_path)

    assert said.returncode == 2
    lines = said.stderr.splitlines()
    assert any(line.startswith("tiny.yaml:8:1: seeds: ") for line in lines)
    assert any('did you mean "epochs"?' in line and line.startswith("tiny.yaml:9:") for line in lines)
    assert "Traceback" not in said.stderr


def test_validate_finds_what_only_plugins_know(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SUITE.replace("[random]", "[{name: random, allocation: erq}]"))

    said = pabench("validate", "tiny.yaml", cwd=tmp_path)

    assert said.returncode == 2
    assert said.stderr.startswith("tiny.yaml:6:")
    assert "criteria.0.allocation: input should be 'global', 'uniform', 'er', 'erk', 'balanced', " in said.stderr


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


@pytest.mark.usefixtures("fresh_registry")
def test_criteria_are_listed_shown_and_begun(tmp_path):
    listed = pabench("criteria").stdout
    shown = pabench("criteria", "show", "grasp").stdout
    begun = pabench("criteria", "new", "mine", cwd=tmp_path)

    assert "grasp@official" in listed
    assert "temperature" in shown
    assert "arXiv:2002.07376" in shown
    assert begun.returncode == 0
    (tmp_path / "tiny.yaml").write_text(SUITE.replace("[random]", "[mine]"))
    assert "1 ok" in pabench("run", "tiny.yaml", "--only", "criterion=mine", "--device", "cpu", cwd=tmp_path).stdout
    assert pabench("criteria", "new", "mine", cwd=tmp_path).returncode == 4


def test_a_folder_without_a_study_is_a_line_and_not_a_traceback(tmp_path):
    said = pabench("report", tmp_path)

    assert said.returncode == 5
    assert "no study.json" in said.stderr
    assert "Traceback" not in said.stderr


def test_fetch_without_a_network_says_so(tmp_path, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)

    said = pabench("fetch", "mnist", "--path", tmp_path / "mnist")

    assert said.returncode == 5
    assert "mnist" in said.stderr
    assert "Traceback" not in said.stderr


def test_the_schema_is_the_one_in_the_repository():
    root = Path(__file__).parents[2]

    assert pabench("schema").stdout == (root / "pabench.schema.json").read_text()


def test_score_tells_densities_zeros_and_cost_and_saves_the_masks(tmp_path):
    said = pabench("score", "lenet_300_100", "-c", "snip", "--sparsity", "0.8", "-o", "m.safetensors", cwd=tmp_path)

    lines = said.stdout.splitlines()
    # 3 x 32 x 32 x 300 + 300 x 100 + 100 x 10 = 952,600 weights, of which a fifth stays
    assert lines[0].split() == ["layer", "shape", "kept", "density", "zero", "scores"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["fc1.weight", "300x3072"],
        ["fc2.weight", "100x300"],
        ["fc.weight", "10x100"],
    ]
    assert lines[4] == "snip on lenet_300_100, digits at 3x32x32, float64, seed 0"
    assert lines[5] == "kept 190,520 of 952,600 weights, sparsity 80 %"
    assert lines[8].startswith("scored in ")
    masks = Masks.load(tmp_path / "m.safetensors")
    kept = [int(line.split()[2].replace(",", "")) for line in lines[1:4]]
    assert [int(m.sum()) for m in masks.values()] == kept
    assert sum(kept) == 190520


def test_score_on_a_dataset_gives_the_mask_of_a_study(tmp_path):
    """Same dataset, model, criterion and seed: the same block, so the same mask."""
    text = SUITE.replace("{name: digits, train_per_class: 10, test_per_class: 5}", "digits").replace("random", "snip")
    (tmp_path / "tiny.yaml").write_text(text)
    pabench("run", "tiny.yaml", "--only", "criterion=snip", "--device", "cpu", "-j", "1", "-o", "out", cwd=tmp_path)
    (record,) = Store(tmp_path / "out").records().values()

    words = ["-c", "snip", "--data", "digits", "--device", "cpu", "--json", "-o", "m"]
    told = json.loads(pabench("score", "lenet_300_100", *words, cwd=tmp_path).stdout)

    assert told["shape"] == [1, 8, 8]
    theirs, _ = unpack(Store(tmp_path / "out").get_mask(record["receipt"]["mask"]))
    assert all(bool((m == theirs[n]).all()) for n, m in Masks.load(tmp_path / "m").items())
    assert told["receipt"]["layers"] == record["receipt"]["layers"]
    assert told["seconds"] > 0


def test_score_passes_parameters_to_criterion_and_model():
    words = ["--param", "steps=3", "--param", "allocation=erk", "--model-arg", "width=2", "--size", "8", "--json"]

    told = json.loads(pabench("score", "resnet8", "-c", "synflow", *words).stdout)

    assert (told["receipt"]["rounds"], told["receipt"]["parameters"]["allocation"]) == (3, "erk")
    assert told["receipt"]["layers"][0]["shape"] == [2, 3, 3, 3]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-c", "snip", "--param", "steps"], "--param steps: expected KEY=VALUE, as in --param steps=10"),
        (["-c", "snip", "--sparsity", "1"], "--sparsity 1: not in [0, 1); 0.9 removes 90 % of the weights"),
        ([], "name one criterion, as in -c grasp; --time times several, or all of them"),
        (["-c", "snip", "--dtype", "half"], "--dtype half: expected float64 or float32"),
        (
            ["-c", "small_dense"],
            "small_dense is no scoring at initialization (no pruning: a narrower dense network): run it in a suite",
        ),
    ],
)
def test_score_refuses_in_one_line(words, line):
    said = pabench("score", "resnet8", *words)

    assert (said.returncode, said.stderr) == (2, f"{line}\n")


def test_score_times_criteria_in_both_types():
    words = ["score", "lenet_300_100", "--time", "--size", "4"]

    rows = json.loads(pabench(*words, "-c", "random", "-c", "snip", "--repeats", "1", "--json").stdout)
    table = pabench(*words, "-c", "random", "--repeats", "2").stdout.splitlines()

    assert [(row["criterion"], row["dtype"]) for row in rows] == [
        ("random", "float64"),
        ("random", "float32"),
        ("snip", "float64"),
        ("snip", "float32"),
    ]
    assert all(row["seconds"] > 0 and not row["why"] for row in rows)
    assert table[0].startswith("lenet_300_100, digits at 3x4x4, sparsity 90 %, median of 2, ")
    assert table[2] == "| criterion | float64 | float32 | peak memory, float64 |"
    assert table[4].startswith("| random | ")


def test_all_criteria_are_timed_but_no_reference_line():
    names = [rule.name for rule in criteria([])]

    assert {"random", "snip", "synflow"} <= set(names)
    assert not {"magnitude_after_training", "small_dense"} & set(names)
    assert names == sorted(names)


def test_help_imports_nothing_heavy():
    """`pabench --help` is to answer in 0.4 s: no torch, timm, pandas or pydantic."""
    code = (
        "import sys; from typer.testing import CliRunner; from pabench.cli.main import app, main;"
        "r = CliRunner().invoke(app, ['--help']); assert r.exit_code == 0;"
        "print([m for m in ('torch', 'timm', 'pandas', 'pydantic', 'seaborn') if m in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_module_is_the_command_and_tells_its_version():
    told = subprocess.run([sys.executable, "-m", "pabench", "--version"], capture_output=True, text=True, check=True)

    assert told.stdout == pabench("--version").stdout == f"pabench {__version__}\n"


def test_help_lists_the_commands():
    said = CliRunner().invoke(app, ["--help"]).stdout

    assert all(
        command in said
        for command in ("run", "report", "status", "validate", "schema", "fetch", "export", "criteria", "score")
    )
