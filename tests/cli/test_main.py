"""The command itself: its help, its version, and errors as lines with an exit code."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pabench import __version__
from pabench.cli.main import app, main


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


def test_a_folder_without_a_study_is_a_line_and_not_a_traceback(tmp_path):
    said = pabench("report", tmp_path)

    assert said.returncode == 5
    assert "no study.json" in said.stderr
    assert "Traceback" not in said.stderr


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


def test_help_lists_the_commands_each_with_a_line_that_fits():
    said = CliRunner().invoke(app, ["--help"]).stdout

    lines = said.partition("Commands:\n")[2].splitlines()
    listed = [line.split()[0] for line in lines]
    assert listed[:3] == ["run", "plan", "validate"]
    assert {"list", "criteria", "score", "doctor", "bench"} < set(listed)
    assert not {"metrics", "conformance"} & set(listed)  # they go on working, under new names
    assert [line for line in lines if line.endswith("...") or not line.endswith(".")] == []


def test_h_is_help_everywhere():
    for words in ([], ["run"], ["list", "models"], ["criteria", "test"]):
        short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
        assert (short.exit_code, short.stdout) == (0, long.stdout)
