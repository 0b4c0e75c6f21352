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
import pytest

import pabench
from pabench import plugins

ENGINE = Path(pabench.__file__).parent
CRITERIA = Path(pabench_criteria.__file__).parent
PUBLIC = {
    "DegenerateWarning",
    "Masks",
    "__version__",
    "apply",
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
        "             'run.processes', 'leaderboard.submission', 'leaderboard.bank',\n"
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


def test_the_door_for_plugins_gives_each_name_from_where_it_is_defined():
    """The imports for type checkers and the table of strings say the same."""
    (block,) = [node for node in ast.parse((ENGINE / "plugins.py").read_text()).body if isinstance(node, ast.If)]
    typed = {(alias.name, node.module) for node in block.body for alias in node.names}

    assert typed == {(name, f"pabench.{plugins._HOME[name]}") for name in plugins.__all__}
    assert dir(plugins) == plugins.__all__
    assert all(getattr(plugins, name) is not None for name in plugins.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Secret'"):
        _ = plugins.Secret


OUTSIDE = '''
from dataclasses import dataclass

from pabench.plugins import (
    Batch, CurveMetric, Dataset, InMemory, Numbers, PositiveInt, ScoreContext, ScoreCriterion, Section, Tensors
)


@dataclass(frozen=True, kw_only=True)
class FromOutside(ScoreCriterion):
    """Keeps the largest weights."""

    name = "from_outside"
    paper = "none"
    examples_per_class: PositiveInt = 1

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: w.abs() for n, w in ctx.kept.items()}


@dataclass(frozen=True, kw_only=True)
class StepsDone(CurveMetric):
    """How many epochs there were."""

    name = "epochs_done"
    title = "epochs done"

    def measure(self, training) -> Numbers:
        return {"epochs_done": len(training.loss)}


class Remark(Section):
    name, title, order = "remark", "Remark", 99

    def render(self, study):
        return f"<p>{len(study.frame)} cells</p>"
'''


def test_a_plugin_from_outside_the_tree_needs_one_module_of_ours(tmp_path):
    """An installed distribution with all kinds but data: found by its entry points, beside the built-in ones."""
    (tmp_path / "foreign_plugin.py").write_text(OUTSIDE)
    info = tmp_path / "foreign_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-plugin\nVersion: 1.0\n")
    kinds = ("criteria", "metrics", "sections")
    (info / "entry_points.txt").write_text("".join(f"[pabench.{kind}]\nmine = foreign_plugin\n" for kind in kinds))
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pabench import registry\n"
        f"print([[n for n in ('from_outside', 'epochs_done', 'remark', 'snip', 'overlap', 'cells')\n"
        f"        if n in registry.group(kind).classes] for kind in {kinds}])"
    )

    assert fresh(code) == "[['from_outside', 'snip'], ['epochs_done', 'overlap'], ['remark', 'cells']]"


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
    """No `if name == "grasp"` anywhere; a network of the zoo may name the paper whose initialization it has."""
    names = {p.stem for p in CRITERIA.glob("*.py")} - {"__init__", "random"}
    for path in (p for p in ENGINE.rglob("*.py") if p.parent.name != "zoo"):
        strings = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
        assert not strings & names, path
