"""Metrics as plugins: found, validated, measured beside the records, and never a reason for a cell to fail."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import pabench
from pabench import registry
from pabench.cli.main import app
from pabench.cli.running import carry_out
from pabench.diagnostics.metric import MetricContext, checked
from pabench.diagnostics.metrics.synflow_r import SynflowR
from pabench.errors import PluginError, SuiteError
from pabench.report import page
from pabench.report.folders import read
from pabench.run import tasks
from pabench.run.engine import Outcome
from pabench.run.session import Options, Session
from pabench.scoring.masks import unpack
from pabench.store.store import Store
from pabench.suite.cell import Cell

from ..conftest import forget_plugins

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 12, test_per_class: 4}]
models: [lenet_300_100]
criteria: [random, snip, magnitude]
sparsities: [0, 0.9, 0.98]
seeds: 1
recipe: {epochs: 2, batch_size: 32, lr: 0.05, augment: none}
"""
CHEAP = ["effective_density", "gradient_norm", "layer_collapse", "overlap", "steps_to", "synflow_r"]
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.cli.running.write", lambda folder: folder)
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


def test_built_in_metrics_are_found_file_by_file_and_say_what_they_cost():
    classes = registry.group("metrics").classes

    assert not registry.group("metrics").broken
    assert sorted(n for n, c in classes.items() if c.cost == "cheap") == CHEAP
    assert {n for n, c in classes.items() if c.cost == "dear"} == {"jacobian", "ntk"}


def test_they_are_listed_with_their_cost():
    lines = CliRunner().invoke(app, ["metrics"]).stdout.splitlines()

    assert [line.split()[:2] for line in lines] == sorted(
        [[n, "cheap"] for n in CHEAP] + [["jacobian", "dear"], ["ntk", "dear"]]
    )
    assert lines[5] == "overlap            cheap  Mask overlap of two criteria, against chance"


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
    html = page.write(tmp_path / "out").read_text()
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
    measure = SynflowR.measure
    monkeypatch.setattr(SynflowR, "measure", lambda *a: 1 / 0)
    first = run(tmp_path, SMALL)
    monkeypatch.setattr(SynflowR, "measure", measure)

    again = run(tmp_path, SMALL)
    retried = run(tmp_path, SMALL, retry=True)

    assert "synflow_r.log10" not in first.columns
    assert "synflow_r.log10" not in again.columns
    assert retried["synflow_r.log10"].notna().all()


def test_a_task_that_dies_leaves_the_reason_for_each_number(tmp_path):
    opened = session(tmp_path, SMALL)
    opened.store.open_study({"name": "study"})
    plan = tasks.plan(opened.store, opened.chosen, device="cpu")
    survey = opened.survey(plan)
    (key,) = [t.key for t in survey.tasks if "/ random /" in t.title]

    list(survey.settle([Outcome(key, False, "crash", "killed by signal 11")]))

    entries = [e for f in files(tmp_path).values() for e in f["entries"]]
    assert {e["error"] for e in entries} == {"crash: killed by signal 11"}
    assert sorted(e["metric"] for e in entries) == [n for n in CHEAP if n != "overlap"]


def test_measurements_come_after_the_cells_they_are_about(tmp_path):
    opened = session(tmp_path)
    added = opened.survey(opened.plan()).tasks
    pairs = [t for t in added if t.kind == "compare"]
    assert (len(added), len(pairs)) == (5, 1)  # dense, three criteria, the pairs
    # three scorings and six trainings
    assert len(pairs[0].after) == 9


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("[nkt]", r"study.yaml:8:11: metrics.0: no metric named 'nkt'; did you mean 'ntk'\?"),
        ("[{name: ntk, samples: 0}]", r"study.yaml:8:\d+: metrics.0.samples: .*greater than or equal to 1"),
        ("[ntk, {name: ntk, samples: 3}]", r"study.yaml:8:\d+: metrics.1: ntk a second time; name each metric once"),
        ("[{name: jacobian, sample: 3}]", r"metrics.0.sample: unknown parameter of jacobian; did you mean 'samples'"),
        ("ntk", r"metrics: expected a list"),
    ],
)
def test_what_is_wrong_with_a_metric_is_told_at_its_line(tmp_path, metrics, message):
    text = SUITE.lstrip("\n") + f"metrics: {metrics}\n"

    with pytest.raises(SuiteError, match=message):
        session(tmp_path, text)


def test_metrics_are_no_part_of_any_key(tmp_path):
    plain = session(tmp_path).cells
    asked = session(tmp_path, SUITE + "metrics: [ntk, {name: steps_to, accuracies: [10]}]\n").cells

    assert [c.key for c in asked] == [c.key for c in plain]
    assert [c.pruning_key for c in asked] == [c.pruning_key for c in plain]


def test_images_are_spread_evenly_over_all_batches():
    batches = ((torch.arange(6.0)[:, None], torch.zeros(6)), (torch.arange(6.0, 10.0)[:, None], torch.zeros(4)))
    ctx = MetricContext(lambda: batches)

    assert ctx.images(5).flatten().tolist() == [0, 2, 4, 6, 8]
    assert len(ctx.images(99)) == 10


def test_numbers_that_are_not_finite_become_none_and_other_things_are_refused():
    assert checked({"a": 1, "b": float("nan"), "c": float("inf"), "d": None}, "m") == {
        **{"a": 1.0, "b": None},
        **{"c": None, "d": None},
    }
    with pytest.raises(PluginError, match="m: a: Tensor, expected a number or None"):
        checked({"a": torch.ones(())}, "m")


def test_the_library_refuses_what_it_cannot_measure():
    model = nn.Linear(2, 2)

    with pytest.raises(SuiteError, match="no metric named 'ntkk'; did you mean 'ntk'"):
        pabench.measure(model, {}, "ntkk")
    with pytest.raises(SuiteError, match="overlap is no metric of one mask"):
        pabench.measure(model, {}, "overlap")
    with pytest.raises(SuiteError, match="bias: the model has no prunable weight of this name"):
        pabench.measure(model, {"bias": torch.ones(2).bool()}, "effective_density")
    with pytest.raises(SuiteError, match=r"the shape of the input is not known; give input_shape=\(C, H, W\)"):
        pabench.measure(nn.Conv2d(1, 1, 1), {}, "effective_density")


def test_measuring_leaves_the_model_and_the_random_state_as_they_are():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).train()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    batch = (torch.randn(4, 1, 4, 4), torch.tensor([0, 1, 2, 0]))
    state = torch.get_rng_state()
    for name in ("effective_density", "layer_collapse", "gradient_norm", "synflow_r", "ntk", "jacobian"):
        pabench.measure(model, {}, name, batch=batch)

    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
