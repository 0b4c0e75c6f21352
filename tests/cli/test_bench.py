"""`pabench bench`: what it prints and saves. No test looks at how long anything took."""

from __future__ import annotations

import json

import pytest

from pabench.bench import baseline
from pabench.bench.works import ASKED_FOR, WORKS

from .test_main import pabench


def test_one_work_is_a_line_with_its_proof_and_json_with_every_turn(tmp_path):
    said = pabench("bench", "--quick", "--only", "magnitude", "--repeats", "2", "--save", tmp_path / "bench.json")

    assert said.returncode == 0, said.stderr
    saved = json.loads((tmp_path / "bench.json").read_text())
    (row,) = saved["rows"]
    assert said.stdout.splitlines()[-1].startswith("magnitude, vgg11_cifar (width=8) | as it comes | ")
    assert "kept weights differ in float64" in said.stdout
    assert (len(row["seconds"]), len(row["baseline"]), len(row["ratios"])) == (2, 2, 2)
    assert row["ratio"] == pytest.approx(sum(row["ratios"]) / 2)
    assert (saved["quick"], saved["environment"]["threads"]) == (True, 1)


def test_where_masks_differ_nothing_is_compared_and_the_command_fails(monkeypatch):
    monkeypatch.setitem(
        baseline.SCORES, "magnitude", lambda network, batch: [-w for w in baseline.weight_size(network, batch)]
    )

    said = pabench("bench", "--quick", "--only", "magnitude", "--repeats", "1")

    assert said.returncode == 3
    assert " | – | – | – | NO: " in said.stdout


def test_an_unknown_work_is_named_with_those_that_are_known():
    said = pabench("bench", "--only", "trainig")

    assert said.returncode == 2
    assert "--only trainig: no such work; did you mean 'training'? known: evaluation, grasp" in said.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a dozen commands from their start: minutes on a busy machine
def test_every_work_runs_in_its_short_form(tmp_path):
    said = pabench("bench", "--quick", "--repeats", "1", "--save", tmp_path / "bench.json")

    assert said.returncode == 0, said.stdout + said.stderr
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert {row["work"].split(",")[0].split(" ")[0].rstrip(":") for row in rows} >= {*WORKS} - {"sweep"} - ASKED_FOR
    assert all(len(row["seconds"]) == 1 for row in rows)
