"""Metrics of a study: measured beside the records, once, and never a reason for a cell to fail."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pabench.cli.running import carry_out
from pabench.diagnostics.metrics.synflow_r import SynflowR
from pabench.report import page
from pabench.report.folders import read
from pabench.run.session import Options, Session
from pabench.scoring.masks import unpack
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.training import measure

from ..conftest import forget_plugins
from ..pageless import undrawn

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 12, test_per_class: 4}]
models: [lenet_300_100]
criteria: [random, snip, magnitude]
sparsities: [0, 0.9, 0.98]
seeds: 1
recipe: {epochs: 2, batch_size: 32, lr: 0.05, augment: none}
"""
PLUGIN = """
from dataclasses import dataclass
from pabench.plugins import MaskMetric

"""
THEIRS = """
@dataclass(frozen=True, kw_only=True)
class Theirs{name}(MaskMetric):
    name = "{name}"
    title = "their {name}"
    power: int = 1

    def measure(self, masks, network, ctx):
        {body}
"""
RAISING = {
    "error": ("raise ValueError('no luck')", "ValueError: no luck"),
    "exit": ("raise SystemExit(0)", "SystemExit: 0"),
    "list": ("return [1.0]", "PluginError: list: measure() gave list, expected a dict of numbers by name"),
    "text": ("return {'a': 'x'}", "PluginError: text: a: str, expected a number or None"),
}
SMALL = SUITE.replace("random, snip, magnitude", "random").replace("0.9, ", "").replace("epochs: 2", "epochs: 1")


@pytest.fixture(autouse=True, scope="module")
def no_report():
    """Drawing it takes longer than all the rest."""
    with undrawn():
        yield


def session(folder: Path, text: str = SUITE, **options) -> Session:
    path = folder / "study.yaml"
    path.write_text(text)
    return Session.open(Options(suite=str(path), output=folder / "out", engine="inline", device="cpu", **options))


def run(folder: Path, text: str = SUITE, **options) -> pd.DataFrame:
    """The frame of a study that was run without a failure."""
    assert carry_out(session(folder, text, **options)) == 0
    return read(folder / "out").frame


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, run(folder)


def files(folder: Path) -> dict[str, dict]:
    return Store(folder / "out").records("metrics")


def test_cheap_metrics_are_measured_of_every_cell_and_dear_ones_of_none(study):
    folder, frame = study

    assert not [c for c in frame.columns if c.startswith(("ntk", "jacobian"))]
    assert frame[["effective_density", "gradient_norm.change"]].notna().all(axis=None)
    assert frame["layer_collapse.layers"].tolist() == [3.0] * 7
    # magnitude empties the widest layer at 98 %: no path, and no logarithm of R = 0
    collapsed = (frame["criterion"] == "magnitude") & (frame["sparsity"] == 0.98)
    assert ((frame["effective_density"] == 0) == collapsed).all()
    assert (frame["synflow_r.log10"].isna() == collapsed).all()
    assert ((frame["layer_collapse.disconnected"] == 3) == collapsed).all()
    dense = frame[frame["criterion"] == "dense"].iloc[0]
    assert (dense["effective_density"], dense["gradient_norm.change"]) == (1.0, 1.0)
    assert all(f["status"] == "ok" for f in files(folder).values())


def test_effective_density_is_at_most_the_density_and_that_of_the_stored_mask(study):
    folder, frame = study
    pruned = frame[frame["criterion"] != "dense"]

    assert (pruned["effective_density"] <= 1 - pruned["sparsity_reached"] + 1e-12).all()
    assert (pruned["effective_density.of_kept"] < 1).any()
    row = frame[(frame["criterion"] == "random") & (frame["sparsity"] == 0.98)].iloc[0]
    record = Store(folder / "out").get("records", row["key"])
    masks = unpack(Store(folder / "out").get_mask(record["receipt"]["mask"]))[0]
    first, second, third = masks.values()
    into, out = first.any(1), third.any(0)
    first = first & (second & out[:, None]).any(0)[:, None]
    live = (second & into & out[:, None]).any(1)
    second, third = second & into & out[:, None], third & live
    assert row["effective_density"] == (first.sum() + second.sum() + third.sum()) / 50200


def test_the_gradient_norm_is_that_of_the_receipt(study):
    _, frame = study
    pruned = frame[frame["criterion"] != "dense"]

    assert (pruned["gradient_norm.after"] == pruned["gradient_norm_after"]).all()
    assert (pruned["gradient_norm.before"] == pruned["gradient_norm_before"]).all()


def test_epochs_and_steps_come_from_the_training_curve(study):
    """120 images in batches of 32 are 4 steps an epoch."""
    folder, frame = study
    reached = frame[frame["steps_to.epochs_50"].notna()]

    assert (reached["steps_to.steps_50"] == 4 * reached["steps_to.epochs_50"]).all()
    for key, epochs in zip(frame["key"], frame["steps_to.epochs_50"], strict=True):
        curve = Store(folder / "out").get("records", key)["result"]["curve"]["top1"]
        first = next((e for e, top1 in enumerate(curve, 1) if top1 >= 50), np.nan)
        assert epochs == first or np.isnan([epochs, first]).all()


def test_every_pair_of_masks_of_a_block_has_its_overlap(study):
    folder, frame = study
    overlap = [e for f in files(folder).values() for e in f["entries"] if e["metric"] == "overlap"]
    by_key = {}
    for key in frame.loc[frame["criterion"] != "dense", "key"]:
        record = Store(folder / "out").get("records", key)
        by_key[Cell.from_json(record["cell"]).pruning_key] = unpack(
            Store(folder / "out").get_mask(record["receipt"]["mask"])
        )[0]

    assert len(overlap) == 6  # 3 pairs at 2 sparsities
    for each in overlap:
        a, b = (torch.cat([m.flatten() for m in by_key[key].values()]) for key in each["of"])
        assert each["numbers"]["jaccard"] == pytest.approx(float((a & b).sum() / (a | b).sum()))


def test_a_dear_metric_asked_for_later_is_added_without_scoring_or_training_again(study, tmp_path, monkeypatch):
    folder, before = study
    shutil.copytree(folder / "out", tmp_path / "out")
    monkeypatch.setattr("pabench.training.train.train", lambda *a: pytest.fail("trained again"))
    monkeypatch.setattr("pabench.training.prune.prune", lambda *a: pytest.fail("pruned again"))
    old = files(tmp_path)

    after = run(tmp_path, SUITE + "metrics: [{name: jacobian, samples: 2}]\n")

    assert after["key"].tolist() == before["key"].tolist()
    assert after["jacobian.mean"].notna().all()
    assert (after["jacobian.min"] <= after["jacobian.max"]).all()
    new = files(tmp_path)
    assert {k: new[k] for k in old} == old
    assert {e["metric"] for k in set(new) - set(old) for e in new[k]["entries"]} == {"jacobian"}
    assert len(set(new) - set(old)) == 7


def test_a_finished_study_measures_nothing(study):
    folder, _ = study
    opened = session(folder)
    plan = opened.plan()

    assert opened.survey(plan).wanted == {}
    assert plan.tasks == opened.survey(plan).tasks == []


@pytest.fixture
def measuring(monkeypatch):
    """Does measuring tasks, and tells what they measured each time."""
    measured, entry = [], measure._Work.entry
    monkeypatch.setattr(measure._Work, "entry", lambda self, *what: measured.append(what[0]) or entry(self, *what))

    def do(tasks, **options) -> list[tuple[str, ...]]:
        measured.clear()
        for task in tasks:
            work = {"measure": measure.cells, "compare": measure.pairs}[task.kind]
            work({**task.payload, **options}, lambda progress: None)
        return sorted(measured)

    return do


def test_a_task_that_begins_again_measures_what_it_had_not(tmp_path, measuring, monkeypatch):
    """It looks for its own files alone: to read all those of a study in each task would take hours of a large one."""
    run(tmp_path)
    first, folder = dict(files(tmp_path)), tmp_path / "out" / "metrics"
    for key in first:
        (folder / f"{key}.json").unlink()
    opened = session(tmp_path)
    tasks = opened.survey(opened.plan()).tasks
    monkeypatch.setattr(Store, "each", lambda *a: pytest.fail("all files are read"))

    everything, nothing = measuring(tasks), measuring(tasks)
    for key in list(first)[::4]:
        (folder / f"{key}.json").unlink()
    rest = measuring(tasks)

    def of(keys):
        return sorted(tuple(e["of"]) for key in keys for e in first[key]["entries"])

    assert (everything, nothing, rest) == (of(first), [], of(list(first)[::4]))
    assert list(files(tmp_path)) == list(first)


def test_a_task_that_begins_again_with_retry_measures_what_failed(tmp_path, measuring, monkeypatch):
    works = SynflowR.measure
    monkeypatch.setattr(SynflowR, "measure", lambda *a: 1 / 0)
    run(tmp_path, SMALL)
    opened = session(tmp_path, SMALL, retry=True)
    tasks = opened.survey(opened.plan()).tasks

    failed = [len(measuring(tasks)), len(measuring(tasks)), len(measuring(tasks, retry=False))]
    monkeypatch.setattr(SynflowR, "measure", works)

    assert failed == [2, 2, 0]
    assert [len(measuring(tasks)), len(measuring(tasks))] == [2, 0]


def test_the_same_study_again_measures_the_same_bits(study, tmp_path):
    folder, _ = study

    run(tmp_path)

    def lasting(found):
        return {k: {n: v for n, v in f.items() if n != "cost"} for k, f in found.items()}

    assert lasting(files(tmp_path)) == lasting(files(folder))


@pytest.mark.usefixtures("fresh_registry")
def test_metrics_that_raise_fail_no_cell_and_say_why(tmp_path):
    plugin = PLUGIN + "".join(THEIRS.format(name=name, body=body) for name, (body, _) in RAISING.items())
    (tmp_path / "theirs.py").write_text(plugin)

    frame = run(tmp_path, SMALL + "plugins: [theirs.py]\n")

    assert frame["status"].tolist() == ["ok", "ok"]
    assert frame["effective_density"].notna().all()
    entries = [e for f in files(tmp_path).values() for e in f["entries"] if e["metric"] in RAISING]
    assert len(entries) == 8
    assert all(e["error"].endswith(RAISING[e["metric"]][1].strip()) for e in entries)
    html = page.render(read(tmp_path / "out"))
    assert re.search(r"their error: missing 2 times: \S+\.py:\d+ in \w+: ValueError: no luck", html)


@pytest.mark.usefixtures("fresh_registry")
def test_a_plugin_file_adds_a_metric_with_parameters_and_an_edited_one_is_another(tmp_path):
    text = SMALL + "plugins: [theirs.py]\nmetrics: [{name: theirs, power: 2}]\n"
    frames = []
    for count in ("len(masks)", "sum(int(m.sum()) for m in masks.values())"):
        body = f"return {{'theirs': {count} ** self.power}}"
        (tmp_path / "theirs.py").write_text(PLUGIN + THEIRS.format(name="theirs", body=body))
        frames.append(run(tmp_path, text))
        forget_plugins()

    # a number that bears its metric's name: 3 layers; 50,200 weights, 1,004 of them kept
    assert [f["theirs"].tolist() for f in frames] == [[9.0, 9.0], [50200.0**2, 1004.0**2]]


def test_failed_metrics_are_measured_again_with_retry_only(tmp_path, monkeypatch):
    works = SynflowR.measure
    monkeypatch.setattr(SynflowR, "measure", lambda *a: 1 / 0)
    first = run(tmp_path, SMALL)
    monkeypatch.setattr(SynflowR, "measure", works)

    again = run(tmp_path, SMALL)
    retried = run(tmp_path, SMALL, retry=True)

    assert "synflow_r.log10" not in first.columns
    assert "synflow_r.log10" not in again.columns
    assert retried["synflow_r.log10"].notna().all()
