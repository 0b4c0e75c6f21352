"""A study as its results folder tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pabench.store.figures import Measurements
from pabench.suite.ablations import alike
from pabench.suite.cell import Cell
from pabench.suite.specs import MetricSpec


@dataclass(frozen=True)
class Study:
    """A study as its results folder tells it.

    `manifest` is study.json. `frame` has one row per expected cell, in the order of the study, whatever became of it
    (`report.frame`). `records` are the finished cells by key. `strays` are keys of records that no expected cell has.
    `metrics` are those the study asked for, `measured` their numbers; those of single cells are columns of the frame.
    `broken` of the records in its `folder` cannot be used; `label` tells it from others on a page.
    """

    manifest: Mapping[str, Any]
    frame: pd.DataFrame
    records: Mapping[str, Mapping[str, Any]]
    strays: tuple[str, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    measured: Measurements = field(default_factory=Measurements)
    folder: Path = Path()
    broken: int = 0
    label: str = ""

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """By key, in the order of the frame; what an older schema does not have is at its default."""
        return {cell.key: cell for cell in map(Cell.from_json, self.manifest["cells"])}

    @property
    def environments(self) -> list[Mapping[str, Any]]:
        """Those of the records; the study's own where there are none."""
        found = [record.get("environment") or {} for record in self.records.values()]
        return found or [self.manifest.get("environment") or {}]

    @cached_property
    def pairing(self) -> pd.DataFrame:
        """By what hashes finished cells are paired: a row for each cell and part (`store.record.PARTS`) that has one.

        Cells of a block that are `like` one another must have the same: plain cells and, but for the part that it
        changes, an ablation ("").
        """
        rows: list[tuple[str, ...]] = []
        for key, block, ablation in self.frame[["key", "block", "ablation"]].itertuples(index=False):
            hashes = self.records.get(key, {}).get("pairing") or {}
            rows += [(key, block, part, alike(ablation, part), value) for part, value in hashes.items() if value]
        return pd.DataFrame(rows, columns=["key", "block", "part", "like", "hash"])

    def columns(self, metric: str) -> list[str]:
        """The frame's columns with the numbers of a metric."""
        return [name for name in self.frame.columns if name == metric or name.startswith(f"{metric}.")]

    @property
    def plain(self) -> pd.DataFrame:
        """The rows of `frame` that are no ablation: what criteria are compared by."""
        return self.frame[self.frame["ablation"] == ""]
