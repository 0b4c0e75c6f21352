"""TensorBoard: `tensorboard --logdir DIR/tensorboard` shows a run a cell, with its curves and its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from pabench.events.hook import EventHook, outcome, run_name, told
from pabench.suite.cell import Cell


class TensorBoard(EventHook):
    def study(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.writers = folder / "tensorboard", dict[str, SummaryWriter]()

    def started(self, cell: Cell) -> None:
        self.writers[cell.key] = SummaryWriter(str(self.folder / run_name(cell)))

    def epoch(self, cell: Cell, epoch: int, loss: float, top1: float | None) -> None:
        self.writers[cell.key].add_scalar("train/loss", loss, epoch)
        if top1 is not None:
            self.writers[cell.key].add_scalar("train/top1", top1, epoch)

    def ended(self, cell: Cell, record: Mapping[str, Any]) -> None:
        writer = self.writers.pop(cell.key)
        writer.add_hparams({**told(cell), "status": record["status"]}, outcome(record), run_name=".")
        if record["message"]:
            writer.add_text("message", record["message"])
        writer.close()

    def closed(self) -> None:
        for writer in self.writers.values():
            writer.close()
