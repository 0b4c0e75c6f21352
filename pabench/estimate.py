"""How long the open cells of a plan will take: from the records there are, else from a few timed steps."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, replace
from statistics import median

import torch

from pabench.block import Block
from pabench.cell import Cell, digest
from pabench.dataset import steps_per_epoch
from pabench.split import Images
from pabench.store import Store
from pabench.training import Source, train

STEPS = 3


class Clock:
    """Seconds of a cell's training: the median of the records of its dataset, model and recipe, else timed here.

    `recorded` and `timed` count the cells that were asked about, by where their time came from.
    """

    def __init__(self, stores: Iterable[Store], device: torch.device) -> None:
        known = defaultdict(list)
        for store in stores:
            for record in store.records().values():
                if seconds := record["cost"].get("training_seconds"):
                    known[_kind(Cell.from_json(record["cell"]))].append(seconds)
        self._seconds = {kind: median(seconds) for kind, seconds in known.items()}
        self._known = frozenset(self._seconds)
        self._device = device
        self.recorded = self.timed = 0

    def seconds(self, cell: Cell) -> float:
        kind = _kind(cell)
        if kind not in self._seconds:
            self._seconds[kind] = _calibrated(cell, self._device)
        if kind in self._known:
            self.recorded += 1
        else:
            self.timed += 1
        return self._seconds[kind]


def training_seconds(store: Store, cells: Iterable[Cell], device: torch.device, workers: int) -> float:
    """Wall seconds of training for `cells` on `workers` processes; scoring comes on top."""
    clock = Clock([store], device)
    return sum(map(clock.seconds, cells)) / workers


def _kind(cell: Cell) -> str:
    """The same for a cell of a suite and for one of a record, whose parameters have been through JSON."""
    return digest([cell.dataset.identity(), cell.model.identity(), asdict(cell.recipe)])


def _calibrated(cell: Cell, device: torch.device) -> float:
    """Seconds of a whole training, from epochs of one and of a few steps on the first images."""
    block = Block(cell, device)
    size = cell.recipe.batch_size
    steps = steps_per_epoch(len(block.train.split), size)
    seconds = []
    for count in (1, 1 + STEPS):  # the first is the warm-up and what starting costs
        few = torch.arange(min(count * size, len(block.train.split)))
        pixels, labels = block.train.split.pick(few)
        source = Source(Images(pixels, labels), block.train.mean, block.train.std)
        recipe = replace(cell.recipe, epochs=1, milestones=(), warmup=0.0)
        began = time.perf_counter()
        train(block.network(), {}, source, recipe, device=device, order_seed=0, augment_seed=0)
        seconds.append(time.perf_counter() - began)
    step = max(seconds[1] - seconds[0], seconds[1] / (1 + STEPS) / 2) / STEPS
    return math.ceil(steps) * step * cell.recipe.epochs
