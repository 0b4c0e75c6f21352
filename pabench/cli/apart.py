"""Commands that load code of others run it in a process apart, which gets the words of the command line again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pabench.cli import terminal
from pabench.cli.usage import given
from pabench.run import apart
from pabench.run.engine import Report


def again(files: Sequence[Path]) -> int:
    """This command in a process apart, with these files of plugins; returns its exit code."""
    payload = {"argv": given()}
    return apart.carry_out(
        "pabench.cli.apart:work", payload, files, lambda text, error: terminal.say(text, error=error)
    )


def work(payload: Mapping[str, Any], report: Report) -> None:
    """In the process apart: carry out a command, and report what it says and how it ended."""
    from pabench.cli.main import app, in_words

    code: Any = 0
    with apart.entered(payload), terminal.elsewhere(apart.reporting(report)):
        try:
            with in_words():
                code = app(list(payload["argv"]), standalone_mode=False)
        except SystemExit as ended:
            code = ended.code
    report({"exit": code if isinstance(code, int) else int(code is not None)})
