"""Weights & Biases: a run a cell, grouped by study, in DIR/wandb; offline unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from pabench.events.hook import EventHook, outcome, run_name, told
from pabench.suite.cell import Cell


class WeightsAndBiases(EventHook):
    def study(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.where = {
            "dir": str(folder),
            "group": manifest["name"],
            "project": os.environ.get("WANDB_PROJECT", "pabench"),
            "mode": os.environ.get("WANDB_MODE", "offline"),
            "reinit": "create_new",  # several runs at a time
            "settings": wandb.Settings(console="off"),
        }
        self.runs: dict[str, Any] = {}

    def started(self, cell: Cell) -> None:
        config = {**told(cell), "key": cell.key}
        self.runs[cell.key] = wandb.init(name=run_name(cell), config=config, **self.where)

    def epoch(self, cell: Cell, epoch: int, loss: float, top1: float | None) -> None:
        accuracy = {} if top1 is None else {"train/top1": top1}
        self.runs[cell.key].log({"train/loss": loss, **accuracy}, step=epoch)

    def ended(self, cell: Cell, record: Mapping[str, Any]) -> None:
        run = self.runs.pop(cell.key)
        run.summary.update({**outcome(record), "status": record["status"], "message": record["message"]})
        run.finish(exit_code=record["status"] == "failed")

    def closed(self) -> None:
        for run in self.runs.values():
            run.finish(exit_code=1)
        wandb.teardown()  # all is written only then
