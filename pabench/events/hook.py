"""The interface of event hooks: what is told of a study while it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pabench.suite.cell import Cell, facts


class EventHook:
    """Follows one study, in a process of its own; a subclass says what to do of what it is told.

    It is made without arguments, where what it needs is imported. Only cells that this run trains are told of, several
    at a time; a cell whose process crashed is started again. An exception is told once, and the next event comes all
    the same. What is printed goes to the study's `logs/events-NAME.log`.
    """

    def study(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Once, before the first cell: the results folder, and what its `study.json` holds."""

    def started(self, cell: Cell) -> None:
        """Its training begins."""

    def epoch(self, cell: Cell, epoch: int, loss: float, top1: float | None) -> None:
        """An epoch has ended, the first is 1: mean loss, and accuracy in percent, on augmented training images.

        There is no accuracy (None) where targets are numbers.
        """

    def ended(self, cell: Cell, record: Mapping[str, Any]) -> None:
        """It has a record, as it is in `records/`: status ok, failed or skipped."""

    def closed(self) -> None:
        """The run is over, or was stopped: cells that are started and not ended will have no record."""


def run_name(cell: Cell) -> str:
    """The cell's title as a name of files and runs, told apart by the beginning of its key."""
    return f"{re.sub(r'[^A-Za-z0-9.@=-]+', '_', cell.title)}-{cell.key[:8]}"


def told(cell: Cell) -> dict[str, str | int | float | bool]:
    """What identifies the cell, flat, as trackers of experiments take it: lists are text, and nothing is None."""
    plain = {name: value for name, value in facts(cell).items() if value is not None}
    return {name: v if isinstance(v, (str, int, float)) else str(v) for name, v in plain.items()}


def outcome(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record that trackers show: the test's, what is left of the weights, and seconds."""
    result, receipt, cost = record["result"] or {}, record["receipt"] or {}, record["cost"]
    found = {
        "test/top1": result.get("top1"),
        "test/r2": result.get("r2"),
        "test/loss": result.get("loss"),
        "mask/sparsity": receipt.get("sparsity"),
        "cost/scoring_seconds": cost.get("scoring_seconds"),
        "cost/training_seconds": cost.get("training_seconds"),
    }
    return {name: float(value) for name, value in found.items() if value is not None}
