"""`pabench list`: for people and programs, with plugins of others and without."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys

import pytest

from pabench import catalogue
from pabench.cli import listing
from pabench.suite.suite import find

from .test_main import pabench

FIELDS = {
    "suites": ["name", "title", "cells", "file"],
    "models": ["name", "source"],
    "datasets": ["name", "about", "source"],
    "criteria": ["name", "about", "paper", "variants", "source"],
    "metrics": ["name", "cost", "about", "source"],
}
LEAKY = """import os
from pabench.plugins import ScoreCriterion
os.environ["A_PLUGIN_WAS_HERE"] = "yes"

class Mine(ScoreCriterion):
    "Something."
    name = "mine"
    paper = "arXiv:0000.00000\\n\\x1b[31m"
    variants = {"other": {}}

    def score(self, ctx):
        return ctx.kept
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where no plugin is, nor anything else."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("what", "fields"), FIELDS.items())
def test_a_list_for_programs_is_one_array_of_objects_with_the_same_fields(folder, what, fields):
    said = pabench("list", what, "--json")
    rows = json.loads(said.stdout)

    assert (said.returncode, said.stderr) == (0, "")
    assert [list(row) for row in rows] == [fields] * len(rows)
    lines = pabench("list", what).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [row["name"] for row in rows]


def test_what_a_list_says(folder):
    suites = {row["name"]: row for row in json.loads(pabench("list", "suites", "--json").stdout)}
    criteria = {row["name"]: row for row in json.loads(pabench("list", "criteria", "--json").stdout)}

    quickstart = {"name": "quickstart", "title": "Quickstart on handwritten digits", "cells": 78}
    assert suites["quickstart"] == {**quickstart, "file": str(find("quickstart"))}
    assert criteria["grasp"]["paper"] == "arXiv:2002.07376"
    assert "grasp@official" in criteria["grasp"]["variants"]
    (ntk,) = (line for line in pabench("list", "metrics").stdout.splitlines() if line.startswith("ntk "))
    assert ntk.split()[1:5] == ["dear", "Empirical", "neural", "tangent"]
    assert ["resnet20", "pabench"] in [line.split() for line in pabench("list", "models").stdout.splitlines()]


def test_the_names_of_before_go_on_listing(folder):
    assert pabench("criteria") == pabench("list", "criteria")
    assert pabench("criteria", "--json") == pabench("list", "criteria", "--json")
    assert pabench("metrics") == pabench("list", "metrics")
    assert pabench("metrics", "--json") == pabench("list", "metrics", "--json")


@pytest.mark.parametrize("what", FIELDS)
def test_listing_loads_no_torch(folder, what):
    code = (
        f"import sys; sys.argv = ['pabench', 'list', {what!r}]\n"
        "from pabench.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'timm', 'pandas', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_plugin_of_the_working_directory_is_listed_and_runs_in_a_process_apart(folder):
    """It changes its own process, which is told of, and not this one."""
    (folder / "criteria").mkdir()
    (folder / "criteria" / "mine.py").write_text(LEAKY)
    (folder / "criteria" / "bad.py").write_text("x = 1 / 0\n")

    said = pabench("list", "criteria", "--json")

    row = next(row for row in json.loads(said.stdout) if row["name"] == "mine")
    assert row == {
        "name": "mine",
        "about": "Something",
        "paper": "arXiv:0000.00000",
        "variants": ["mine@other"],
        "source": "criteria/mine.py",
    }
    told = "broken: criteria/bad.py:1: ZeroDivisionError: division by zero"
    assert told in said.stderr.splitlines()
    assert any("criteria/mine.py: importing it changes" in line for line in said.stderr.splitlines())
    assert "A_PLUGIN_WAS_HERE" not in os.environ
    assert told in pabench("list", "criteria").stdout.splitlines()


def test_a_file_that_was_asked_for_and_is_broken_or_not_there_is_an_exit_code(folder):
    (folder / "bad.py").write_text("x = 1 / 0\n")
    (folder / "taken.py").write_text(LEAKY.replace('"mine"', '"snip"'))

    said = pabench("list", "metrics", "--plugin", "bad.py")
    assert (said.returncode, said.stdout) == (5, "")
    assert said.stderr == "bad.py:1: ZeroDivisionError: division by zero\n"
    said = pabench("list", "criteria", "--plugin", "nowhere.py")
    assert (said.returncode, said.stdout, said.stderr) == (5, "", "nowhere.py: no such plugin file\n")
    assert "broken: " in (said := pabench("list", "criteria", "--plugin", "taken.py").stdout)
    assert "'snip' is already defined by pabench_criteria" in said
    assert len(said.splitlines()) == len(catalogue.built_in("criteria").known) + 1


def test_doctests_hold():
    assert doctest.testmod(listing) == (0, 1)
