"""The plugin under docs/examples, installed outside the tree: its tests pass, and a report shows its criterion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pabench.store.store import Store

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "pabench-relative-magnitude"
SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 5}]
models: [lenet_300_100]
criteria: [random, relative_magnitude]
sparsities: [0.9]
seeds: 1
recipe: {epochs: 1, batch_size: 32, augment: none}
"""


@pytest.fixture(scope="module")
def away(tmp_path_factory):
    """A folder outside the tree with the example installed from a copy, and how to run Python there."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "source")
    install = [
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--target",
        "site",
        "./source",
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "PABENCH_CACHE": str(folder / "cache")}

    def python(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python(*install)
    return folder, python


@pytest.mark.slow
def test_its_own_tests_pass(away):
    _, python = away

    assert "3 passed" in python("pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "source", "source/tests")


@pytest.mark.slow
def test_a_report_shows_its_criterion_beside_ours(away):
    folder, python = away
    (folder / "tiny.yaml").write_text(SUITE)

    said = python("pabench", "run", "tiny.yaml", "--device", "cpu", "-j", "1", "-o", "out")

    assert "cells: 2 ok" in said
    assert "relative_magnitude" in (folder / "out" / "report.html").read_text()
    assert "relative_magnitude" in python("pabench", "list", "criteria")
    labels = {record["labels"]["criterion"] for record in Store(folder / "out").records().values()}
    assert labels == {"random", "relative_magnitude"}
