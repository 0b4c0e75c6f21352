"""Tests of `pabench criteria test`: what it prints, and its exit codes."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pabench.cli import conformance as testimony
from pabench.cli.main import app
from pabench.diagnostics.conformance import names
from pabench.errors import SuiteError

PLUGIN = """
import torch
from pabench.plugins import ScoreContext, ScoreCriterion

class Mine(ScoreCriterion):
    name = "mine"

    def score(self, ctx):
        return {n: w.abs() * torch.linspace(1, 2, w.numel()).view_as(w).to(w) for n, w in ctx.kept.items()}
"""


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(testimony) == (0, 4)


def test_the_command_examines_a_plugin_and_says_by_its_exit_code_what_came_of_it(tmp_path, monkeypatch, fresh_registry):
    """Plain lines where there is no terminal; 3: a check failed."""
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(app, ["conformance", "mine", "--plugin", "mine.py"])

    assert done.exit_code == 3, done.output
    lines = {line[:20].strip(): line[20:].split(maxsplit=1) for line in done.stdout.splitlines()[3:]}
    assert [name for name, (result, *_) in lines.items() if result == "FAIL"] == ["channels"]
    assert "\x1b" not in done.stdout
    assert done.stdout.splitlines()[0].startswith("mine: ")


def test_the_command_gives_json_for_programs(capsys):
    assert testimony.one("random", None, as_json=True) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["criterion"], found["passed"]) == ("random", True)
    assert {"check": "batch order", "verdict": "does not apply", "figure": "", "reason": "data-free"} in found["checks"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["snp"], "no criterion named 'snp'; did you mean 'snip'"),
        (["grasp@offical"], "grasp has no variant 'offical'; did you mean 'official'"),
        ([], "name one criterion, or give --all"),
        (["snip", "--all"], "name one criterion, or give --all"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(arguments, message):
    result = CliRunner().invoke(app, ["conformance", *arguments])

    assert isinstance(result.exception, SuiteError)
    assert result.exception.exit_code == 2
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.slow
def test_all_of_them_are_examined_and_their_masks_compared(tmp_path):
    """Two minutes on one core at most."""
    began = os.times().children_user

    done = subprocess.run(
        [sys.executable, "-m", "pabench", "conformance", "--all"], cwd=tmp_path, capture_output=True, text=True
    )

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in lines if " passed, 0 failed" in line] == names()
    assert sum(line.startswith("overlap of masks at 90 % sparsity") for line in lines) == 2
    assert os.times().children_user - began < 120
