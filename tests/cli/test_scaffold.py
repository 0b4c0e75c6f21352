"""`pabench criteria new` in every place, by doing what it says next."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from pabench.cli import scaffold

from .conftest import SUITE
from .test_main import pabench

PROJECT = """[project]
name = "somebody"
version = "1"
"""


@pytest.mark.usefixtures("fresh_registry")
def test_in_an_empty_folder_the_next_commands_find_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SUITE)

    told = pabench("criteria", "new", "mine")

    written = ["README.md", "criteria/mine.py", "pyproject.toml", "tests/test_mine.py", "tiny.yaml"]
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == written
    assert told.returncode == 0
    assert told.stdout.splitlines()[-1] == (
        "next: pabench criteria test mine; pabench run quickstart -c random -c mine; "
        "its test: pip install pytest && pytest"
    )
    assert "mine" in [line.split()[0] for line in pabench("list", "criteria").stdout.splitlines()]
    assert "defined in criteria/mine.py" in pabench("criteria", "show", "mine").stdout.replace(f"{tmp_path}/", "")
    ran = pabench("run", "quickstart", "-c", "mine", "--seeds", "1", "--set", "models=[lenet_300_100]", "--dry-run")
    assert "criteria: dense (1), mine (2)" in ran.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_registry")
def test_it_passes_the_checks_and_its_own_test(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pabench("criteria", "new", "mine")

    assert pabench("criteria", "test", "mine").stdout.startswith("mine: 20 passed, 0 failed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], capture_output=True, text=True
    )
    assert "2 passed" in done.stdout


@pytest.mark.slow
def test_what_installs_it_makes_it_known_in_every_folder(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    pabench("criteria", "new", "mine")
    install = ["pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", "../site", "."]
    subprocess.run([sys.executable, "-m", *install], check=True)

    command = [sys.executable, "-m", "pabench", "list", "criteria", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for folder, source in ((tmp_path, "pabench.criteria:pabench_mine.mine"), (tmp_path / "mine", "criteria/mine.py")):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        assert [row["source"] for row in json.loads(done.stdout) if row["name"] == "mine"] == [source]


def test_what_is_there_stays_as_it_is_and_is_told_what_to_add(tmp_path, monkeypatch):
    """A repository with a project of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "README.md").write_text("Mine.")

    told = pabench("criteria", "new", "mine").stdout

    assert (tmp_path / "pyproject.toml").read_text() == PROJECT
    assert (tmp_path / "README.md").read_text() == "Mine."
    assert '[project.entry-points."pabench.criteria"]\nmine = "YOUR_PACKAGE.mine"\n' in told
    assert "README.md: is there already and stays as it is" in told


def test_a_second_criterion_goes_into_the_package_of_the_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pabench("criteria", "new", "mine")

    told = pabench("criteria", "new", "other-one").stdout

    assert 'other_one = "pabench_mine.other_one"\n' in told
    assert sorted(path.name for path in (tmp_path / "criteria").iterdir()) == ["mine.py", "other_one.py"]


def test_the_project_installs_the_module_that_its_entry_point_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pabench("criteria", "new", "mine")

    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())

    assert project["project"]["entry-points"]["pabench.criteria"] == {"mine": "pabench_mine.mine"}
    assert project["tool"]["setuptools"] == {"packages": ["pabench_mine"], "package-dir": {"pabench_mine": "criteria"}}
    assert (tmp_path / "criteria" / "mine.py").is_file()


def test_in_a_clone_it_is_built_in_and_gets_its_test_beside_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "__init__.py").touch()
    monkeypatch.setattr(scaffold, "files", lambda package: tmp_path / "criteria")

    lines = scaffold.begin("mine")

    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*") if p.is_file()) == [
        "criteria/__init__.py",
        "criteria/mine.py",
        "tests/criteria/test_mine.py",
    ]
    assert lines[-1] == "next: pabench criteria test mine; for a pull request: python docs/make.py"


def test_in_a_clone_of_a_pabench_that_runs_from_elsewhere_nothing_is_written(tmp_path, monkeypatch):
    """After `pip install .` nothing would find what is written there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "pabench"\n')

    refused = pabench("criteria", "new", "my-own")

    assert refused.returncode == 4
    assert refused.stderr.startswith("this is a clone of pabench, and the pabench that runs is in /")
    assert "(mkdir ../my_own && cd ../my_own)" in refused.stderr
    assert "(pip install -e .)" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
    assert pabench("criteria", "new", "mine", "--folder", "elsewhere").returncode == 0


def test_a_folder_in_which_pabench_does_not_look_is_told_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "__init__.py").touch()

    assert pabench("criteria", "new", "mine").stdout.splitlines()[-1] == (
        "next: pabench criteria test mine --plugin criteria/mine.py"
    )
    shutil.rmtree(tmp_path / "criteria")
    lines = pabench("criteria", "new", "mine", "--folder", "elsewhere").stdout.splitlines()
    assert lines[-1] == "next: pabench criteria test mine --plugin elsewhere/mine.py"


def test_a_name_that_is_none_or_taken_is_refused_and_nothing_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert pabench("criteria", "new", "../mine").returncode == 2
    assert pabench("criteria", "new", "snip").stderr == "'snip' is taken by pabench\n"
    assert list(tmp_path.iterdir()) == []
    pabench("criteria", "new", "mine")
    (tmp_path / "criteria" / "mine.py").write_text("name = 'work of days'")
    said = pabench("criteria", "new", "mine")
    assert (said.returncode, said.stderr) == (4, "criteria/mine.py: exists already\n")
    assert (tmp_path / "criteria" / "mine.py").read_text() == "name = 'work of days'"


@pytest.mark.parametrize(("name", "stem", "title"), [("my-rule", "my_rule", "MyRule"), ("2nd", "my_2nd", "My2nd")])
def test_any_name_makes_a_file_and_a_class_of_python(tmp_path, monkeypatch, name, stem, title):
    monkeypatch.chdir(tmp_path)
    pabench("criteria", "new", name)

    (cls,) = (
        n for n in ast.parse((tmp_path / "criteria" / f"{stem}.py").read_text()).body if isinstance(n, ast.ClassDef)
    )
    assert cls.name == title
    assert f'name = "{name}"' in (tmp_path / "criteria" / f"{stem}.py").read_text()
