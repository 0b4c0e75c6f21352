"""What the open cells of a plan will cost: trainings, scorings and measurements counted, trainings timed.

Times are those of the records there are, else of a few steps that are run here.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from statistics import median
from typing import Any

import torch

from pabench import registry
from pabench.data.dataset import steps_per_epoch
from pabench.data.split import Images
from pabench.run.discovery import ask
from pabench.run.engine import Engine, Report
from pabench.run.measurements import Survey
from pabench.run.tasks import NONE, Plan, Sources, needed_of
from pabench.store.store import Store
from pabench.suite.ablations import IN_BATCH
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.training.block import Block
from pabench.training.loop import Source, train

STEPS = 3


@dataclass(frozen=True)
class Workload:
    """`cells` are trained, `dense` baselines are trained once more for reference lines that look at trained weights,
    and for each cell that goes on from them.

    `measurements` of the `metrics` that only a suite asks for (dear ones) come on top, and the cheap ones of all cells.
    """

    cells: tuple[Cell, ...]
    dense: tuple[Cell, ...]
    scorings: int
    measurements: int
    metrics: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, survey: Survey) -> Workload:
        """The work of a plan and of the survey that was made for it."""
        prunings = [plan.by_task[task.key][0] for task in plan.tasks if task.kind == "prune"]
        classes = registry.at_hand("metrics").classes  # what others measure takes a time that nobody knows
        wanted = [spec.name for _, spec in chain.from_iterable(survey.wanted.values())]
        dear = [name for name in wanted if getattr(classes.get(name), "cost", "dear") == "dear"]
        return cls(
            cells=tuple(plan.open),
            dense=tuple(cell.dense() for cell in [*filter(_trains, prunings), *filter(_resumes, plan.open)]),
            scorings=sum(cell.ablation != "shuffle" for cell in prunings),
            measurements=len(dear),
            metrics=tuple(sorted(set(dear))),
        )

    @property
    def trainings(self) -> tuple[Cell, ...]:
        return self.cells + self.dense


class Clock:
    """Seconds of a cell's training: the median of the records of its dataset, model and recipe, else timed here.

    `recorded` and `timed` count the cells that were asked about, by where their time came from.
    """

    def __init__(
        self, store: Store, device: torch.device, plugins: Sources = NONE, engine: Engine | None = None
    ) -> None:
        known = defaultdict(list)
        for record in store.records().values():
            if seconds := record["cost"].get("training_seconds"):
                known[_kind(Cell.from_json(record["cell"]))].append(seconds)
        self._recorded = {kind: median(seconds) for kind, seconds in known.items()}
        self._timed: dict[str, float] = {}
        self._device, self._plugins, self._engine = device, plugins, engine
        self.recorded = self.timed = 0

    def seconds(self, cell: Cell) -> float:
        kind = _kind(cell)
        if kind in self._recorded:
            self.recorded += 1
            return self._recorded[kind]
        if kind not in self._timed:
            self._timed[kind] = self._calibrated(cell.dense())
        self.timed += 1
        return self._timed[kind]

    def _calibrated(self, cell: Cell) -> float:
        """Timed here; in a process apart where the dataset is a plugin."""
        plugins = needed_of(cell, self._plugins)
        if not plugins or self._engine is None:
            return _calibrated(cell, self._device)
        what = {"cell": cell.to_json(), "device": str(self._device), "plugins": plugins}
        told = ask(self._engine, "pabench.run.estimate:report_seconds", what, cell.title, torch.get_num_threads())
        return float(told["seconds"])

    def together(self, cells: Iterable[Cell], workers: int) -> float:
        """Seconds until all are trained, `workers` at a time; scoring comes on top."""
        return sum(map(self.seconds, cells)) / workers


def _trains(cell: Cell) -> bool:
    """Whether making the masks takes a dense training: once for all sparsities, and not for a mask that is shuffled or
    an ablation of images that are not looked at."""
    if cell.criterion is None or not cell.criterion.trains or cell.ablation == "shuffle":
        return False
    return not (cell.ablation in IN_BATCH and not cell.criterion.args.get("examples_per_class"))


def _resumes(cell: Cell) -> bool:
    """Whether its training goes on from the trained weights of the dense network, which is trained for it again."""
    if cell.criterion is None or not cell.criterion.trains or cell.ablation == "reinit":
        return False
    name = cell.criterion.name.partition("@")[0]
    if name not in registry.at_hand("criteria").classes:
        return True  # a plugin of others is not asked for a forecast; it may
    rule = registry.criterion(name, cell.criterion.args)
    return rule.resumes_at() is not None


def _kind(cell: Cell) -> str:
    """The same for a cell of a suite and for one of a record, whose parameters have been through JSON."""
    return digest([cell.dataset.identity(), cell.model.identity(), asdict(cell.recipe)])


def report_seconds(payload: Mapping[str, Any], report: Report) -> None:
    """In a process apart: the seconds of a whole training of a cell."""
    registry.expect(payload["plugins"])
    report({"seconds": _calibrated(Cell.from_json(payload["cell"]), torch.device(payload["device"]))})


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
    # a warm-up that took longer than the rest would make a step free: it takes half of its share at least
    step = max(seconds[1] - seconds[0], seconds[1] / (1 + STEPS) / 2) / STEPS
    return math.ceil(steps) * step * cell.recipe.epochs
