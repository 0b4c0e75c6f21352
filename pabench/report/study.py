"""A study as its results folder tells it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pabench.report.told import NOTHING, Told
from pabench.statistics.board import Board, board
from pabench.store.figures import Measurements
from pabench.store.record import PARTS
from pabench.suite.ablations import alike
from pabench.suite.cell import DENSE, Cell
from pabench.suite.specs import MetricSpec


@dataclass(frozen=True)
class Shared:
    """What cells of a `block` should share of a `part` of the pairing, and the hashes they have of it.

    They are the plain cells and, where an `ablation` changes the part, those of the ablation by themselves; of scoring
    batches those that ask for as many images. `nameless` finished cells have no hash. `unchanged`: the hash of the
    ablation is that of the plain cells.
    """

    part: str
    block: str
    ablation: str
    hashes: frozenset[str]
    nameless: int
    unchanged: bool

    @property
    def proven(self) -> bool:
        return len(self.hashes) == 1 and not self.nameless and not self.unchanged


@dataclass(frozen=True, eq=False)
class Study:
    """A study as its results folder tells it; equal to none but itself.

    `manifest` is study.json. `frame` has one row per expected cell, in the order of the study, whatever became of it
    (`report.frame`). `records` are the finished cells by key, read anew each time one is asked for; `told` is what most
    sections need of each, read once. `cells` are the expected ones; what an older schema does not have is at its
    default. `strays` are keys of records that no expected cell has.
    `metrics` are those the study asked for, `measured` their numbers; those of single cells are columns of the frame.
    `broken` of the records in its `folder` cannot be used; `label` tells it from others on a page.
    """

    manifest: Mapping[str, Any]
    frame: pd.DataFrame
    records: Mapping[str, Mapping[str, Any]]
    cells: Mapping[str, Cell]
    told: Mapping[str, Told]
    strays: tuple[str, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    measured: Measurements = field(default_factory=Measurements)
    folder: Path = Path()
    broken: int = 0
    label: str = ""

    @property
    def environments(self) -> list[Mapping[str, Any]]:
        """Those of the records; the study's own where there are none."""
        return [told.environment for told in self.told.values()] or [self.manifest.get("environment") or {}]

    @cached_property
    def kinds(self) -> list[Mapping[str, Any]]:
        """Of the manifest's cells that differ in sparsity and seed alone the first: thousands of cells are of few."""
        first: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        for cell in self.manifest["cells"]:
            # equal parts are one object where the manifest was read; elsewhere more kinds say as much
            parts = (id(part) for name, part in cell.items() if name not in ("sparsity", "seed"))
            first.setdefault(tuple(parts), cell)
        return list(first.values())

    @cached_property
    def pairing(self) -> pd.DataFrame:
        """By what hashes finished cells are paired: a row for each cell and part (`store.record.PARTS`) that has one.

        Cells of a block that are `like` one another must have the same: plain cells and, but for the part that it
        changes, an ablation ("").
        """
        rows: list[tuple[str, ...]] = []
        for key, block, ablation in self.frame[["key", "block", "ablation"]].itertuples(index=False):
            hashes = self.told.get(key, NOTHING).pairing
            rows += [(key, block, part, alike(ablation, part), value) for part, value in hashes.items() if value]
        return pd.DataFrame(rows, columns=["key", "block", "part", "like", "hash"])

    @cached_property
    def shared(self) -> list[Shared]:
        """What is paired and what is not, part by part.

        A cell that failed or was declined before its training has no hashes and no result: it takes no part. One that
        trains another network than its block's has other weights by design.
        """
        hashes: dict[tuple[str, str, int, str], list[str]] = defaultdict(list)
        columns = ["key", "block", "ablation", "status", "batch"]
        for key, block, ablation, status, images in self.frame[columns].itertuples(index=False):
            told = self.told.get(key, NOTHING)
            for part in PARTS:
                value = told.pairing.get(part, "")
                scored = part == "scoring_batch"
                if (scored and not images) or (part == "weights" and told.network is not None):
                    continue
                if value or status == "ok":
                    hashes[part, block, images if scored else 0, alike(ablation, part)].append(value)
        found = []
        for (part, block, images, ablation), values in hashes.items():
            own = frozenset(values) - {""}
            plain = set(hashes.get((part, block, images, ""), ())) if ablation else set()
            found.append(Shared(part, block, ablation, own, values.count(""), bool(own & plain)))
        return sorted(found, key=lambda one: PARTS.index(one.part))

    def columns(self, metric: str) -> list[str]:
        """The frame's columns with the numbers of a metric."""
        return [name for name in self.frame.columns if name == metric or name.startswith(f"{metric}.")]

    @cached_property
    def trainings(self) -> tuple[str, ...]:
        """How masked networks were trained, in the order of the study; criteria are compared within one of them."""
        return tuple(map(str, self.frame.loc[self.frame["criterion"] != DENSE, "train"].unique()))

    def under(self, training: str) -> Study:
        """The part of it that was trained in one way, with the dense baselines."""
        frame = self.frame[(self.frame["train"] == training) | (self.frame["criterion"] == DENSE)]
        cells = {key: self.cells[key] for key in frame["key"]}
        listed = zip(self.cells, self.manifest["cells"], strict=True)
        manifest = {**self.manifest, "cells": [cell for key, cell in listed if key in cells]}
        return replace(self, manifest=manifest, frame=frame.reset_index(drop=True), cells=cells)

    @cached_property
    def plain(self) -> pd.DataFrame:
        """The rows of `frame` that are no ablation: what criteria are compared by."""
        own = self.frame["ablation"] == ""
        return self.frame if own.all() else self.frame[own]

    @cached_property
    def boards(self) -> dict[str, Board]:
        """The board of each dataset and model by its title (`frame.strata`), and that over all of them by ""."""
        groups = self.plain.groupby(["dataset", "model"], sort=False)
        of_one = {f"{dataset} · {model}": board(rows) for (dataset, model), rows in groups}
        return {**of_one, "": board(self.plain) if len(of_one) != 1 else next(iter(of_one.values()))}
