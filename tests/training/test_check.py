"""The check before a study: once for each criterion and network, before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from pabench import registry
from pabench.cli.forecast import dry_run
from pabench.cli.running import carry_out
from pabench.run.session import Options, Session
from pabench.store.store import Store
from pabench.suite.cell import Cell

from ..pageless import undrawn

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 5}]
models: [zero_head_of_the_check]
criteria: [random, {name: snip, steps: 5}]
sparsities: [0.5, 0.9]
seeds: 2
recipe: {epochs: 1, batch_size: 50, augment: none}
"""
REMEDY = "use {name: zero_head_of_the_check, zeros: redrawn} with {name: snip, steps: 5}"


class ZeroHead(nn.Module):
    """64 x 16 and 16 x 10 weights, the last ones all 0, so that every score of SNIP is 0."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(64 * in_chans, 16), nn.Linear(16, num_classes)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.fc(x.flatten(1)).relu())


@timm.models.register_model
def zero_head_of_the_check(
    pretrained: bool = False,
    pretrained_cfg: object = None,
    pretrained_cfg_overlay: object = None,
    cache_dir: object = None,
    num_classes: int = 10,
    in_chans: int = 3,
) -> nn.Module:
    return ZeroHead(num_classes, in_chans)


def opened(folder: Path, text: str = SUITE, **options) -> Session:
    (folder / "study.yaml").write_text(text)
    given = {"engine": "inline", "device": "cpu", "output": folder / "out"} | options
    return Session.open(Options(suite=str(folder / "study.yaml"), **given))


@pytest.fixture(autouse=True)
def _no_report():
    """No page: drawing it would be three quarters of the time, and nothing here looks at it."""
    with undrawn():
        yield


@pytest.fixture
def scorings(monkeypatch) -> list[int]:
    """How many weights were scored by SNIP, a number a pass."""
    snip = registry.plugin("criteria", "snip")
    score, calls = snip.score, []
    monkeypatch.setattr(snip, "score", lambda self, ctx: calls.append(ctx.round) or score(self, ctx))
    return calls


def test_a_degenerate_ranking_is_refused_before_any_round_and_said_with_its_remedy(tmp_path, capsys, scorings):
    """One check serves two sparsities and two seeds; the rounds, 5 for each of 4 cells, are never computed."""
    study = opened(tmp_path, SUITE + "scoring: {degenerate: refuse}\n")

    code = carry_out(study)

    assert code == 0
    said = capsys.readouterr().out.splitlines()
    (told,) = [line for line in said if line.startswith("check: ")]
    assert told.startswith("check: digits / zero_head_of_the_check / snip (steps=5): degenerate: ")
    assert told.endswith(f"; {REMEDY}; its cells are skipped (scoring.degenerate: refuse)")
    assert said.index(told) < min(i for i, line in enumerate(said) if line.startswith("[1/8]"))
    assert max(scorings) == 0
    records = list(study.store.records().values())
    skipped = [r for r in records if r["labels"]["criterion"] != "random"]
    assert {(r["status"], r["kind"]) for r in skipped} == {("skipped", "degenerate")}
    assert all(r["message"].endswith(REMEDY) for r in skipped)
    assert all([f["flag"] for f in r["flags"]] == ["degenerate"] for r in skipped)
    assert {r["status"] for r in records if r not in skipped} == {"ok"}
    assert len(study.store.records("receipts")) == 4  # of random alone


def test_the_default_marks_and_a_refused_cell_can_be_marked_later(tmp_path):
    text = SUITE.replace("seeds: 2", "seeds: 1").replace("[0.5, 0.9]", "[0.9]").replace("random, ", "")
    text = text.replace("steps: 5", "steps: 1")
    carry_out(opened(tmp_path, text + "scoring: {degenerate: refuse}\n"))

    study = opened(tmp_path, text)
    carry_out(study)

    (found,) = [study.store.get("records", c.key) for c in study.cells]
    assert found["status"] == "ok"
    assert "degenerate" in {f["flag"] for f in found["flags"]}


def test_a_resumed_study_does_not_check_again(tmp_path, scorings):
    text = SUITE.replace("seeds: 2", "seeds: 1")
    carry_out(opened(tmp_path, text, only=("criterion=random",)))
    carry_out(opened(tmp_path, text, only=("sparsity=0.5",)))
    first = len(scorings)

    study = opened(tmp_path, text)
    carry_out(study)

    # the second run checked SNIP with its remedies and scored 5 rounds; the third only scores 5 rounds of 0.9
    assert first > 5
    assert len(scorings) == first + 5
    assert len(study.store.records("checks")) == 2


def test_a_dry_run_checks_and_writes_nothing(tmp_path, capsys):
    dry_run(opened(tmp_path, SUITE.replace("steps: 5", "steps: 1")))

    said = capsys.readouterr().out
    assert (
        "check: digits / zero_head_of_the_check / snip (steps=1): degenerate: 1184 of 1184 scores are exactly 0 "
        in said
    )
    assert not (tmp_path / "out").exists()


class Branching(nn.Module):
    """64 * 32^27 = 3e42 paths lead to each output: more than float32 can count."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        inner = [nn.Linear(32, 32, bias=False) for _ in range(27)]
        self.layers = nn.Sequential(nn.Linear(64 * in_chans, 32), *inner, nn.Linear(32, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.flatten(1))


@timm.models.register_model
def branching_of_the_check(
    pretrained: bool = False,
    pretrained_cfg: object = None,
    pretrained_cfg_overlay: object = None,
    cache_dir: object = None,
    num_classes: int = 10,
    in_chans: int = 3,
) -> nn.Module:
    return Branching(num_classes, in_chans)


def test_scores_that_float32_cannot_hold_are_told_with_the_dtype_that_can(tmp_path, capsys):
    text = SUITE.replace("zero_head_of_the_check", "branching_of_the_check").replace("{name: snip, steps: 5}", "px")

    dry_run(opened(tmp_path, text + "scoring: {dtype: float32}\n"))

    assert "; use branching_of_the_check with px and scoring: {dtype: float64}" in capsys.readouterr().out


COUNTING = """
from dataclasses import dataclass

from pabench.plugins import ScoreContext, ScoreCriterion, Tensors
from torch.func import grad

@dataclass(frozen=True, kw_only=True)
class Counting(ScoreCriterion):
    name = "counting"
    precision = "float32"

    def score(self, ctx: ScoreContext) -> Tensors:
        ones = {n: 1 + 0 * w for n, w in ctx.kept.items()}
        return grad(lambda w: ctx.logits(w, ctx.ones()).sum())(ones)
"""


@pytest.mark.usefixtures("fresh_registry")
def test_where_float32_does_not_hold_the_scores_of_a_network_its_cells_are_of_float64(tmp_path, capsys):
    """Paths are counted: 3e42 through the one network, and 10 or so through the other, where float32 stays."""
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "counting.py").write_text(COUNTING)
    text = SUITE.replace("zero_head_of_the_check", "branching_of_the_check, lenet_300_100")
    text = text.replace("random, {name: snip, steps: 5}", "counting").replace("seeds: 2", "seeds: [0]")

    assert carry_out(opened(tmp_path, text)) == 0
    said = capsys.readouterr().out
    again = opened(tmp_path, text)

    assert "branching_of_the_check / counting: scored in float64, as of float32's scores " in said
    found = {(cell.model.name, cell.scoring.dtype, cell.scoring.because) for cell in again.cells}
    assert found == {
        ("branching_of_the_check", "float64", "network"),
        ("lenet_300_100", "float32", "criterion"),
    }
    records = Store(tmp_path / "out").records()
    assert {cell.key for cell in again.cells} == set(records)
    assert {
        (r["cell"]["model"]["name"], r["receipt"]["dtype"], r["receipt"]["non_finite_scores"]) for r in records.values()
    } == {
        ("branching_of_the_check", "float64", 0),
        ("lenet_300_100", "float32", 0),
    }
    listed = Store(tmp_path / "out").manifest()["cells"]
    assert {Cell.from_json(cell).key for cell in listed} == set(records)


PLUGIN = """
import os
from dataclasses import dataclass
from pabench.plugins import ScoreContext, ScoreCriterion, Tensors

@dataclass(frozen=True, kw_only=True)
class Raising(ScoreCriterion):
    name = "raising"

    def score(self, ctx: ScoreContext) -> Tensors:
        raise ValueError("no luck")

@dataclass(frozen=True, kw_only=True)
class Crashing(ScoreCriterion):
    name = "crashing"

    def score(self, ctx: ScoreContext) -> Tensors:
        os._exit(0)
"""


@pytest.mark.usefixtures("fresh_registry")
def test_a_check_that_fails_does_not_stop_the_study_and_is_tried_again(tmp_path, capsys):
    (tmp_path / "theirs.py").write_text(PLUGIN)
    text = SUITE.replace("{name: snip, steps: 5}", "raising, crashing").replace("seeds: 2", "seeds: 1")
    text = text.replace("[0.5, 0.9]", "[0.9]").replace("[zero_head_of_the_check]", "[lenet_300_100]")
    study = opened(tmp_path, text + "plugins: [theirs.py]\n", engine="processes", jobs=1)

    code = carry_out(study)

    assert code == 3
    said = capsys.readouterr().out
    assert re.search(r"raising: the check failed: \S*theirs.py:\d+ in score: ValueError: no luck", said)
    assert "crashing: check ended early (crash)" in said
    assert {r["labels"]["criterion"]: r["status"] for r in study.store.records().values()} == {
        "random": "ok",
        "raising": "failed",
        "crashing": "failed",
    }
    known = [c for c in Store(tmp_path / "out").records("checks").values() if c["status"] == "ok"]
    assert [c["labels"]["criterion"] for c in known] == ["random"]


def test_a_healthy_ranking_of_one_round_is_scored_once_for_check_and_study(tmp_path, scorings):
    """Two sparsities and two seeds: one pass a seed, and the first is the check; with 5 rounds a check of its own."""
    text = SUITE.replace("zero_head_of_the_check", "lenet_300_100").replace("steps: 5", "steps: 1")

    study = opened(tmp_path, text)
    carry_out(study)

    assert len(scorings) == 2
    findings = study.store.records("checks").values()
    assert [found["finding"]["verdict"] for found in findings] == ["healthy"] * 2
    # LeNet-300-100 on 8 x 8 images: 64 * 300 + 300 * 100 + 100 * 10
    assert {found["finding"]["total"] for found in findings} == {50200}
