"""The one door for those who write plugins."""

from __future__ import annotations

import ast

import pytest

from pabench import plugins

from .test_house import ENGINE, fresh

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


def test_the_door_for_plugins_gives_each_name_from_where_it_is_defined():
    """The imports for type checkers and the table of strings say the same."""
    (block,) = [node for node in ast.parse((ENGINE / "plugins.py").read_text()).body if isinstance(node, ast.If)]
    typed = {(alias.name, node.module) for node in block.body for alias in node.names}

    assert typed == {(name, f"pabench.{plugins._HOME[name]}") for name in plugins.__all__}
    assert dir(plugins) == plugins.__all__
    assert all(getattr(plugins, name) is not None for name in plugins.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Secret'"):
        _ = plugins.Secret


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
