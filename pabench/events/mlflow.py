"""MLflow: an experiment a study, a run a cell; in DIR/mlruns unless MLFLOW_TRACKING_URI says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pabench.events.hook import EventHook, outcome, run_name, told
from pabench.suite.cell import Cell


class MLflow(EventHook):
    def __init__(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes packages that the extra has not
        from mlflow.tracking import MlflowClient  # reads these when it is imported

        self.connect = MlflowClient

    def study(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.client = self.connect(os.environ.get("MLFLOW_TRACKING_URI", (folder / "mlruns").absolute().as_uri()))
        known = self.client.get_experiment_by_name(manifest["name"])
        self.experiment = known.experiment_id if known else self.client.create_experiment(manifest["name"])
        self.runs: dict[str, str] = {}

    def started(self, cell: Cell) -> None:
        run = self.client.create_run(self.experiment, run_name=run_name(cell), tags={"key": cell.key})
        self.runs[cell.key] = run.info.run_id
        for name, value in told(cell).items():
            self.client.log_param(run.info.run_id, name, value)

    def epoch(self, cell: Cell, epoch: int, loss: float, top1: float | None) -> None:
        self.client.log_metric(self.runs[cell.key], "train/loss", loss, step=epoch)
        if top1 is not None:
            self.client.log_metric(self.runs[cell.key], "train/top1", top1, step=epoch)

    def ended(self, cell: Cell, record: Mapping[str, Any]) -> None:
        run = self.runs.pop(cell.key)
        for name, value in outcome(record).items():
            self.client.log_metric(run, name, value)
        self.client.set_terminated(run, "FAILED" if record["status"] == "failed" else "FINISHED")

    def closed(self) -> None:
        for run in self.runs.values():
            self.client.set_terminated(run, "KILLED")
