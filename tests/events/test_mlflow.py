"""What MLflow's own client finds of a study that was told to it."""

from __future__ import annotations

import pytest

from pabench.events.hook import outcome, run_name
from pabench.store.store import Store

pytest.importorskip("mlflow", reason="needs pabench[mlflow]")


@pytest.fixture
def client(folder, cell, monkeypatch):
    """Of two runs: a finished cell, and one that the end of the run found in training."""
    from pabench.events.mlflow import MLflow

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(name, raising=False)
    hook = MLflow()
    hook.study(folder, {"name": "small"})
    hook.started(cell.dense())
    hook.started(cell)
    hook.epoch(cell, 1, 2.5, 10.0)
    hook.epoch(cell, 2, 0.5, 90.0)
    hook.ended(cell, Store(folder).get("records", cell.key))
    hook.closed()
    return hook.client


def test_an_experiment_a_study_and_a_run_a_cell_with_its_curve_and_its_result(client, folder, cell):
    experiment = client.get_experiment_by_name("small")
    dense, run = sorted(client.search_runs([experiment.experiment_id]), key=lambda run: "snip" in run.info.run_name)

    assert (folder / "mlruns" / experiment.experiment_id).is_dir()
    assert (run.info.run_name, run.info.status, dense.info.status) == (run_name(cell), "FINISHED", "KILLED")
    assert (run.data.params["criterion.name"], run.data.params["sparsity"]) == ("snip", "0.8")
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in losses] == [(1, 2.5), (2, 0.5)]
    expected = outcome(Store(folder).get("records", cell.key))
    assert {name: run.data.metrics[name] for name in expected} == expected
