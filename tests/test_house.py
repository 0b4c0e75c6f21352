"""What the floors of the house are for: light rooms load no torch, plugins need one module, the surface is small.

Which room may import which is held by the contracts in pyproject.toml (`lint-imports`).
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pabench_criteria
import pabench_reports
import pytest

import pabench

ENGINE = Path(pabench.__file__).parent
CRITERIA = Path(pabench_criteria.__file__).parent
PUBLIC = {
    "DeclinedError",
    "DegenerateWarning",
    "DenseWarning",
    "Masks",
    "__version__",
    "apply",
    "compact",
    "load",
    "load_suite",
    "measure",
    "prune",
    "remove",
    "score",
    "shuffle",
}
HEAVY = ("torch", "torchvision", "timm")
LIGHT = ["pabench.suite", "pabench.store", "pabench.statistics", "pabench.report", "pabench_reports"]


def fresh(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_rooms_that_read_and_word_results_load_no_torch():
    """Every module of theirs, in one interpreter; so do the commands and the levels of verification that need none."""
    code = (
        "import importlib, pkgutil, sys\n"
        f"for name in {LIGHT}:\n"
        "    package = importlib.import_module(name)\n"
        "    for found in pkgutil.walk_packages(package.__path__, name + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "for name in ('words', 'registry', 'source', 'parameters', 'errors', 'plugins', 'cli.main', 'run.engine',\n"
        "             'run.processes', 'run.claims', 'leaderboard.submission', 'leaderboard.bank',\n"
        "             'leaderboard.verification.verify'):\n"
        "    importlib.import_module('pabench.' + name)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )

    assert fresh(code) == "[]"


def test_the_public_surface_is_spelled_out_and_completes():
    """In a fresh interpreter, where no test has imported what lies inside."""
    found = json.loads(fresh("import json, pabench; print(json.dumps([pabench.__all__, dir(pabench)]))"))

    assert set(found[0]) == set(found[1]) == PUBLIC
    assert all(getattr(pabench, name) is not None for name in PUBLIC)


@pytest.mark.parametrize("path", sorted(CRITERIA.glob("*.py")), ids=lambda p: p.stem)
def test_criteria_import_torch_the_door_and_each_other(path):
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module)
    strange = [n for n in names if n.partition(".")[0] not in {"torch", *sys.stdlib_module_names}]

    assert set(strange) <= {"pabench.plugins"}


def test_the_engine_knows_no_criterion_by_name():
    """No `if name == "grasp"` anywhere; a network of the zoo may name the paper whose initialization it has, and a race
    names what is raced."""
    names = {p.stem for p in CRITERIA.glob("*.py")} - {"__init__", "random"}
    for path in (p for p in ENGINE.rglob("*.py") if p.parent.name not in {"zoo", "bench"}):
        strings = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
        assert not strings & names, path


def test_every_module_has_a_test_file_of_its_name():
    """`tests/ROOM/test_MODULE.py` for `pabench/ROOM/MODULE.py`; criteria and sections likewise."""
    tests = Path(__file__).parent
    rooms = {ENGINE: tests, CRITERIA: tests / "criteria", Path(pabench_reports.__file__).parent: tests / "reports"}
    modules = [
        (file, folder / file.relative_to(home).parent / f"test_{file.stem.lstrip('_')}.py")
        for home, folder in rooms.items()
        for file in home.rglob("*.py")
        if not file.stem.startswith("__")
    ]

    assert len(modules) > 150
    assert [file.name for file, test in modules if not test.is_file()] == []
