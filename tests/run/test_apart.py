"""A command with plugins of others ends with a line and an exit code, whatever their code does."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ..cli.test_main import pabench

CRITERION = """
import os, time
from dataclasses import dataclass
from pabench.plugins import ScoreCriterion
{at_import}

@dataclass(frozen=True, kw_only=True)
class Mine(ScoreCriterion):
    \"\"\"Keeps the largest weights.\"\"\"

    name = "mine"
    paper = ""
    version = 1
    examples_per_class: int = 0

    def score(self, ctx):
        {when_scored}
        return {{n: w.abs() for n, w in ctx.kept.items()}}
"""
SCORE = ("score", "lenet_300_100", "-c", "mine", "--plugin", "mine.py")


def write(folder, at_import="", when_scored="pass"):
    (folder / "mine.py").write_text(CRITERION.format(at_import=at_import, when_scored=when_scored))


def test_a_score_of_a_plugin_is_told_with_what_it_printed_and_its_masks_are_saved(tmp_path):
    write(tmp_path, "", "print('\\x1b[2J' + 'y' * 10**7 + 'end')")

    done = pabench(*SCORE, "--json", "-o", "masks.safetensors", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["receipt"]["criterion"] == "mine"
    assert (tmp_path / "masks.safetensors").stat().st_size > 6_000  # 50,200 bits
    assert done.stderr.startswith("printed by mine.py:\n...yyy")
    assert done.stderr.rstrip().endswith("yend")
    assert len(done.stderr) < 3_000
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("at_import", "when_scored", "code", "told"),
    [
        ("os._exit(0)", "pass", 5, "broken plugin: mine.py: importing it ended its process (exited with code 0)"),
        ("1 / 0", "pass", 5, "broken plugin: mine.py: line 5: ZeroDivisionError"),
        (
            "import torch; torch.set_default_dtype(torch.float64)",
            "pass",
            3,
            "mine.py: importing it changes the default",
        ),
        ("", "os._exit(0)", 5, "mine.py: its code ended the process that ran it (exited with code 0"),
        ("", "os.kill(os.getpid(), 11)", 5, "mine.py: its code ended the process that ran it (killed by signal 11"),
        ("", "raise ValueError('no')", 3, "mine.py:17 in score: ValueError: no"),
    ],
)
def test_whatever_a_plugin_does_ends_in_one_line_that_names_it(tmp_path, at_import, when_scored, code, told):
    write(tmp_path, at_import, when_scored)

    done = pabench(*SCORE, cwd=tmp_path)

    assert done.returncode == code
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("doctor", "lenet_300_100", "-c", "mine"),
        ("conformance", "mine"),
        ("criteria", "test", "mine"),
        ("criteria", "show", "mine"),
        ("list", "criteria"),
    ],
    ids=" ".join,
)
def test_every_command_that_takes_plugins_ends_so(tmp_path, command):
    write(tmp_path, "os._exit(0)")

    done = pabench(*command, "--plugin", "mine.py", cwd=tmp_path)

    assert done.returncode == 5
    assert "mine.py: importing it ended its process (exited with code 0)" in done.stdout + done.stderr


@pytest.mark.slow
def test_an_import_that_hangs_is_ended_and_told(tmp_path):
    write(tmp_path, "time.sleep(999)")

    done = pabench(*SCORE, cwd=tmp_path)

    assert done.returncode == 5
    assert done.stderr == "broken plugin: mine.py: importing it ran longer than 60 s\n"


@pytest.mark.slow
def test_a_broken_distribution_is_left_out_and_a_good_one_is_used(tmp_path):
    for name, code in (("bad", "import os; os._exit(0)"), ("good", CRITERION.format(at_import="", when_scored="pass"))):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[pabench.criteria]\n{name} = {name}_criterion\n")
        (tmp_path / f"{name}_criterion.py").write_text(code)

    command = [sys.executable, "-m", "pabench", "score", "lenet_300_100", "-c", "mine"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "mine on lenet_300_100" in done.stdout
    assert done.stderr.startswith("broken plugin, left out: pabench.criteria:bad_criterion: importing it ended")
