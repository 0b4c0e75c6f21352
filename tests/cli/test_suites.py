"""The commands about suites: what they refuse, and how they say it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from .conftest import SUITE
from .test_main import pabench


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


WRONG = """# All that can be wrong.
protokol: pai-v1
datasets:
  - {name: digits, train_per_clas: 10}
  - digitz
  - {name: parquet, path: /nowhere/at/all}
models:
  - {name: resnet8, args: {widht: 3, num_classes: 3, shortcat: A}}
  - {name: vit_tiny_patch16_224, args: {img_sizee: 3}}
  - resnet88888
criteria:
  - snpi
  - {name: snip, stepz: 3}
  - loud
sparsities: [0, 90]
seeds: 1
recipe: {epohcs: 1, epochs: 2}
metrics: [ntkk]
plugins: [nofile.py]
epochs: 3
"""
EVERYTHING = {
    "2:1: protocol: missing; add `protocol: pai-v1`": "",
    "2:1: protokol: unknown key; ": 'did you mean "protocol"?',
    "4:20: datasets.0.train_per_clas: unknown parameter of digits; ": "did you mean 'train_per_class'?",
    "5:5: datasets.1: no dataset named 'digitz'; ": "did you mean 'digits'?",
    "6:5: datasets.2: parquet: no train-*.parquet in /nowhere/at/all; ": "get it with",
    "8:28: models.0.args.widht: no such argument; ": "did you mean 'width'?",
    "8:38: models.0.args.num_classes: comes from the dataset; leave it out": "",
    "8:54: models.0.args.shortcat: no such argument; ": "did you mean 'shortcut'?",
    "9:41: models.1.args.img_sizee: no such argument; img_size comes from the dataset; leave it out": "",
    "10:5: models.2: no model named 'resnet88888'; ": "known: timm.list_models()",
    "12:5: criteria.0: no criterion named 'snpi'; ": "did you mean 'snip'?",
    "13:18: criteria.1.stepz: unknown parameter of snip; ": "did you mean 'steps'?",
    "14:5: criteria.2: criteria: 'loud' could not be loaded: ": "loud.py: line 2: ValueError: at import",
    "15:17: sparsities.1: must be at least 0 and less than 1, not 90; ": "0.9 removes 90 %",
    "17:10: recipe.epohcs: unknown key; ": 'did you mean "epochs"?',
    "18:11: metrics.0: no metric named 'ntkk'; ": "did you mean 'ntk'?",
    "19:11: plugins.0: ": "nofile.py: no such plugin file",
    "20:1: epochs: unknown key; ": "it belongs into recipe",
}


def test_structure_names_parameters_arguments_and_data_are_checked_in_one_pass(tmp_path):
    (tmp_path / "wrong.yaml").write_text(WRONG)
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "loud.py").write_text("\nraise ValueError('at import')\n")

    said = pabench("validate", "wrong.yaml", cwd=tmp_path)

    lines = [line.removeprefix("wrong.yaml:") for line in said.stderr.splitlines()]
    assert len(lines) == len(EVERYTHING), said.stderr
    for line, (start, remedy) in zip(lines, EVERYTHING.items(), strict=True):
        assert line.startswith(start)
        assert remedy in line
    assert said.returncode == 2


def test_an_empty_suite_is_told_what_to_write_and_that_is_a_suite(tmp_path):
    """What the messages say, put together, is valid."""
    (tmp_path / "empty.yaml").write_text("title: Mine\n")

    told = pabench("validate", "empty.yaml", cwd=tmp_path).stderr.splitlines()
    written = "\n".join(line.partition("`")[2].rstrip("`") for line in told)
    (tmp_path / "full.yaml").write_text(written)

    assert len(told) == 7
    assert pabench("validate", "full.yaml", cwd=tmp_path).stdout == "full.yaml: valid, 6 cells\n"


def test_an_error_of_a_plugin_is_shown_with_its_line_by_run_and_by_status(tmp_path):
    text = SUITE.replace("[random]", "[{name: mine}]")
    (tmp_path / "tiny.yaml").write_text(text)
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "mine.py").write_text(RAISING)

    ran = pabench("run", "tiny.yaml", "--device", "cpu", "-j", "1", "-o", "out", cwd=tmp_path)
    status = pabench("status", "out", cwd=tmp_path)

    told = "criteria/mine.py:10 in score: RuntimeError: mat1 and mat2 shapes cannot be multiplied"
    assert (ran.returncode, status.returncode) == (3, 3)
    assert f"failed (plugin-error): {told}" in ran.stdout
    assert f"plugin-error: {told}" in status.stdout


RAISING = """from dataclasses import dataclass
import torch
from pabench.plugins import ScoreContext, ScoreCriterion, Tensors

@dataclass(frozen=True, kw_only=True)
class Mine(ScoreCriterion):
    name = "mine"

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: torch.mm(w, w) for n, w in ctx.kept.items()}
"""


def test_validate_for_programs_has_the_findings_or_the_number_of_cells(tmp_path):
    (tmp_path / "good.yaml").write_text(SUITE)
    (tmp_path / "bad.yaml").write_text(SUITE.replace("seeds: 1", "seeds: -1"))

    good, bad = (pabench("validate", name, "--json", cwd=tmp_path) for name in ("good.yaml", "bad.yaml"))

    assert json.loads(good.stdout) == {
        **{"suite": "good.yaml", "valid": True, "cells": 2},
        **{"findings": [], "missing": []},
    }
    told = json.loads(bad.stdout)
    assert (bad.returncode, bad.stderr) == (2, "")
    assert (told["valid"], told["cells"]) == (False, None)
    assert told["findings"] == pabench("validate", "bad.yaml", cwd=tmp_path).stderr.splitlines()
    assert told["findings"][0].startswith("bad.yaml:8:1: seeds: ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "resnet20",
            "it is a model; a study of it: pabench run quickstart --set 'models=[resnet20]'; to score it: ",
        ),
        ("resnet18", "it is a model; "),
        ("grasp@official", "it is a criterion; a study of it: pabench run quickstart -c random -c grasp@official"),
        ("mnist", "it is a dataset; a study on it: pabench run quickstart --set 'datasets=[mnist]'"),
        ("ntk", "it is a metric; a study with it: pabench run quickstart --set 'metrics=[ntk]'"),
    ],
)
def test_what_is_no_suite_is_told_what_it_is(tmp_path, name, said):
    done = pabench("run", name, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"no suite '{name}': {said}")
    assert done.stderr.count("\n") == 1


def test_what_it_is_told_instead_is_a_suite(tmp_path):
    for words in (["--set", "models=[resnet20]"], ["-c", "random", "-c", "snip"], ["--set", "metrics=[ntk]"]):
        assert pabench("validate", "quickstart", *words, cwd=tmp_path).returncode == 0
