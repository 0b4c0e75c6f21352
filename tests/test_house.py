"""The rooms of the engine: a module imports only from modules above it, and light ones import no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pabench_criteria
import pytest

import pabench

ENGINE = Path(pabench.__file__).parent
CRITERIA = Path(pabench_criteria.__file__).parent

# From the bottom up.
ROOMS = [
    *["errors", "ablation", "cell", "record", "parameters", "measurement", "verdict"],
    *["yamlfile", "override", "entry", "finding", "suite", "study"],
    *["envelope", "durable", "store", "engine", "worker", "child", "engines", "execution", "survey", "registry"],
    *["wording", "latex", "section", "glyphs", "ranking", "statistics", "resampling", "ranktest", "power"],
    *["paired", "frame", "report", "status", "opening", "likeness", "joining", "contrast", "difference", "account"],
    *["maskbits", "foreign", "grid", "scrub", "aggregates", "source", "sources", "submission"],
    *["schema", "judgement", "wellformed", "rules", "consistent", "sampling", "level"],
    *["verification", "bank"],
    *["board", "comparable", "sitefolder", "site", "publish"],
    *["digest", "allocation", "selection", "rewire", "exponent", "network", "masking", "maskfile", "wiring", "walk"],
    *["context", "criterion", "control", "donor", "shuffling", "receipt", "meter", "pruning", "library"],
    *["diagnosis"],
    *["reach", "liveness", "metric", "metrics"],
    *["augment", "picture", "decoded", "split", "dataset", "datasets", "data", "models", "model", "remedy", "width"],
    *["training", "block", "size", "reference", "scoring", "environment", "run", "check", "measuring", "estimate"],
    *["description", "rerun", "rederived", "reproduced"],
    *["specimen", "trace", "subject", "law", "oracle", "laws", "conformance", "testimony", "examination"],
    *["resolve", "progress", "listing", "checkup", "doctor", "trial", "session", "plan"],
    *["commands", "cli", "__main__"],
]
LIGHT = [
    *["errors", "ablation", "cell", "parameters", "suite", "study", "registry", "store"],
    *["engine", "engines", "section", "report", "joining", "difference", "cli"],
    *["submission", "wellformed", "consistent", "verification", "bank"],
]


def modules() -> dict[str, Path]:
    files = {p.stem: p for p in ENGINE.glob("*.py") if p.stem != "__init__"}
    return files | {p.parent.name: p for p in ENGINE.glob("*/__init__.py")}


def imported(path: Path) -> set[str]:
    """Modules of pabench that a file imports when it is imported itself."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pabench":
            inner = node.module.split(".")[1:]
            found |= {inner[0]} if inner else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("pabench.")}
    return found


def test_every_module_has_its_room():
    assert set(modules()) == set(ROOMS)


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_room_imports_only_from_rooms_above(name):
    above = set(ROOMS[: ROOMS.index(name)])

    assert imported(modules()[name]) & set(ROOMS) <= above | {name}


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_neither_torch_nor_timm(name):
    code = f"import sys, pabench.{name}; sys.exit(any(m in sys.modules for m in ('torch', 'timm', 'torchvision')))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", sorted(CRITERIA.glob("*.py")), ids=lambda p: p.stem)
def test_criteria_import_only_what_a_plugin_may_use(path):
    allowed = {"torch", "pabench", *sys.stdlib_module_names}
    tree = ast.parse(path.read_text())
    roots = {
        n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module and not n.level
    }
    roots |= {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}

    assert roots <= allowed
    assert imported(path) <= {"control", "criterion", "exponent", "network", "rewire", "selection", "walk", "wiring"}


def test_the_engine_knows_no_criterion_by_name():
    """No `if name == "grasp"` anywhere in pabench/."""
    names = {p.stem for p in CRITERIA.glob("*.py")} - {"__init__", "random"}
    for path in ENGINE.glob("*.py"):
        strings = {
            n.value
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        assert not strings & names, path.name
