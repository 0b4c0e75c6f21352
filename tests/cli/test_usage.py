"""Help in plain words: no braces, no types of Python."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from pabench.cli import usage
from pabench.cli.main import app


def paths(command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups and hidden ones included."""
    yield words
    for name, one in getattr(command, "commands", {}).items():
        yield from paths(one, (*words, name))


EVERY = list(paths(typer.main.get_command(app)))


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_is_in_plain_words(words):
    """`{SUITE} <str>`, `<list[str]>` and `<int range>` are what typer writes."""
    said = CliRunner().invoke(app, [*words, "--help"]).stdout

    first, *rest = said.splitlines()
    assert first.startswith("Usage:")
    assert re.search(r"[{}<]|\bTEXT\.\.\.", first) is None
    assert [line for line in rest if re.search(r"<\w+(\[\w+\])?( range)?>|\bINTEGER\b|\bFLOAT\b|\bPATH\b", line)] == []


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_value_has_a_word(words):
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]

    bare = [p.name for p in command.params if p.metavar is None and not getattr(p, "is_flag", False)]
    assert bare == []
    assert isinstance(command, (usage.Command, usage.Group))


def test_a_usage_line_says_what_may_be_left_out_and_what_may_be_many():
    lines = {words: CliRunner().invoke(app, [*words, "-h"]).stdout.splitlines()[0] for words in EVERY}

    assert lines["run",].endswith("run [OPTIONS] SUITE")
    assert lines["report",].endswith("report [OPTIONS] DIR...")
    assert lines["criteria", "test"].endswith("criteria test [OPTIONS] [NAME]")
    assert lines["list",].endswith("list [OPTIONS] COMMAND [ARGS]...")


def test_a_range_is_said_of_the_word_that_the_line_has():
    said = CliRunner().invoke(app, ["verify", "-h"]).stdout

    assert "[default: 2; 1<=N<=4]" in " ".join(said.split())
    assert "[N>=0]" in said


@pytest.mark.parametrize(
    ("words", "behind"),
    [
        (["run", "quickstart", "-o", ""], "-o"),
        (["run", "quickstart", "--output="], "--output="),
        (["run", ""], "run"),
        (["criteria", "show", ""], "show"),
    ],
)
def test_an_empty_word_is_a_variable_that_is_not_set(words, behind, tmp_path, monkeypatch):
    """`-o ""` would be the folder that the command is started in."""
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, words)

    assert found.exit_code == 2
    assert f"nothing stands behind {behind}; is a variable not set?" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_doctests_hold():
    assert doctest.testmod(usage) == (0, 2)
