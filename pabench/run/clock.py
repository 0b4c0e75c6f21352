"""What tasks take: by the records of others like them, else by a few steps of training that are timed here."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pabench import registry
from pabench.data.dataset import steps_per_epoch
from pabench.data.split import Images
from pabench.errors import DataError, MissingError
from pabench.run.discovery import ask
from pabench.run.engine import Engine, Report, Task
from pabench.run.measurements import Survey
from pabench.run.tasks import NONE, Plan, Sources, needed_of, training_kind
from pabench.scoring.criterion import Criterion
from pabench.scoring.gradients import by_criterion
from pabench.store.figures import Of
from pabench.store.store import Store
from pabench.suite.ablations import IN_BATCH
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.suite.specs import PLAIN, MetricSpec
from pabench.training.block import Block
from pabench.training.loop import Source, train

STEPS, ENOUGH = 3, 0.3
"""How many steps are timed at least, and how many seconds of them."""
DOUBLE = 4
"""How much longer float64 takes: libraries have no fast convolutions in it."""


class Clock:
    """Seconds of tasks on a device: each from its start to the record that it leaves.

    `recorded` and `timed` count the trainings that were asked about, by where their time came from; `unknown` are the
    metrics that no record has measured. What is timed here and needs `plugins` of others runs apart, on the `engine`.
    """

    def __init__(
        self, store: Store, device: torch.device, plugins: Sources = NONE, engine: Engine | None = None
    ) -> None:
        known = [
            (Cell.from_json(record["cell"]), record["cost"])
            for record in store.each()
            if record["status"] == "ok" and record["cost"].get("training_seconds")
        ]
        self._trainings, self._prunings = _trainings(known), _prunings(known)
        self._figures = _figures(store)
        self._timed: dict[str, float] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._device, self._plugins, self._engine = device, plugins, engine
        self.recorded = self.timed = 0
        self.unknown: set[str] = set()

    def of(self, plan: Plan, survey: Survey) -> Callable[[Task], float]:
        """Seconds of each task of a plan and of its survey. Checks are scorings of a few images, and count nothing."""
        networks = _networks(plan.cells) if survey.wanted else {}

        def seconds(task: Task) -> float:
            if task.key in survey.wanted:
                return self.measuring(networks, survey.wanted[task.key])
            if task.kind == "prune":
                return sum(map(self.pruning, by_criterion(plan.by_task[task.key])))
            return self.training(plan.by_task[task.key][0]) if task.kind == "train" else 0.0

        return seconds

    def training(self, cell: Cell) -> float:
        """From setting up its block to its record, with a dense training before it where it goes on from one."""
        if (found := self._recorded(cell)) is not None:
            self.recorded += 1
            return found
        self.timed += 1
        return self._whole(cell) + (self._dense(cell) if resumes(cell) else 0.0)

    def pruning(self, cells: Sequence[Cell]) -> float:
        """Masks of cells that differ in their sparsity alone."""
        cell = cells[0]
        plain = replace(cell, ablation="") if cell.ablation != "shuffle" else cell
        for like in map(_pruning_kind, (cell, plain)):
            if like in self._prunings:
                once, each = self._prunings[like]
                return once + len(cells) * each
        scoring = 0.0 if cell.ablation == "shuffle" else self._scoring(cells)
        return scoring + self._dense(cell) * trainings_before(cells)

    def measuring(self, networks: Mapping[str, str], wanted: Iterable[tuple[Of, MetricSpec]]) -> float:
        """What a task of a survey is to measure, of these networks by keys of cells and prunings."""
        asked = [(networks[of[0]], spec.name) for of, spec in wanted]
        self.unknown |= {name for network, name in asked if (network, name) not in self._figures}
        return sum(self._figures.get(of, 0.0) for of in asked)

    def source(self, folder: Path) -> str:
        """Where the times that were asked for are from; `folder` is that of the records."""
        if self.recorded and not self.timed:
            return f"from the records in {folder}"
        return f"{'partly from records, partly ' if self.recorded else ''}from a few steps timed here"

    def _dense(self, cell: Cell) -> float:
        """A training of the dense network, as lines that look at trained weights repeat it."""
        found = self._recorded(cell.dense())
        return self._whole(cell) if found is None else found

    def _recorded(self, cell: Cell) -> float | None:
        of_all, own = (self._trainings.get((training_kind(cell), *who), {}) for who in ((), _who(cell)))
        return interpolated({**of_all, **own}, cell.sparsity) if of_all or own else None

    def _whole(self, cell: Cell) -> float:
        """A training of the whole network, timed; a masked one may be smaller, and another training somewhat longer."""
        cell = replace(cell, train=PLAIN)
        kind = training_kind(cell)
        if kind not in self._timed:
            self._timed[kind] = self._apart(_calibrated, cell)
        return self._timed[kind]

    def _size(self, cell: Cell) -> tuple[int, int]:
        """Training images and classes of its dataset."""
        if cell.dataset.label not in self._sizes:
            images, classes = self._apart(_counted, cell)
            self._sizes[cell.dataset.label] = images, classes
        return self._sizes[cell.dataset.label]

    def _apart(self, function: Callable[[Cell, torch.device], Any], cell: Cell) -> Any:
        """What a function says of the dense cell; in a process apart where the dataset is a plugin of others."""
        cell = cell.dense()
        plugins = needed_of(cell, self._plugins)
        if not plugins or self._engine is None:
            return function(cell, self._device)
        what = {"cell": cell.to_json(), "device": str(self._device), "plugins": plugins, "name": function.__name__}
        return ask(self._engine, "pabench.run.clock:answer", what, cell.title, torch.get_num_threads())["said"]

    def _scoring(self, cells: Sequence[Cell]) -> float:
        """A guess: an image is passed forward and backward as in training, once in each round, and for each norm."""
        cell = cells[0]
        assert cell.criterion is not None
        training, classes = self._size(cell)
        passes = cell.recipe.epochs * training
        rule = _built_in(cell)
        batches = rule.batch_count() if rule else 1
        images = max(1, int(cell.criterion.args.get("examples_per_class") or 0) * batches * classes)
        rounds = 1 if _one_shot(cell) else cell.criterion.args.get("steps", 1) * len(cells)
        each = DOUBLE if cell.scoring.dtype == "float64" else 1
        norms = 10 * classes * (len(cells) + 1)
        return self._dense(cell) / passes * (images * rounds * each + norms)


def trainings_before(cells: Sequence[Cell]) -> int:
    """How many trainings it takes to make the masks of cells that differ in their sparsity alone.

    One of the dense network for all of them, or one each where weights go in training; none for a mask that is
    shuffled, or an ablation of images that are not looked at.
    """
    cell = cells[0]
    if cell.criterion is None or not cell.criterion.trains or cell.ablation == "shuffle":
        return 0
    if cell.ablation in IN_BATCH and not cell.criterion.args.get("examples_per_class"):
        return 0
    rule = _built_in(cell)
    return len(cells) if rule is not None and rule.gradual(1.0) is not None else 1


def resumes(cell: Cell) -> bool:
    """Whether its training goes on from the trained weights of the dense network, which is trained for it again."""
    if cell.criterion is None or not cell.criterion.trains or cell.ablation == "reinit":
        return False
    rule = _built_in(cell)
    return rule is None or rule.resumes_at() is not None  # a plugin of others is not asked for a forecast; it may


def _built_in(cell: Cell) -> Criterion | None:
    """The cell's criterion; None for a plugin of others, whose code does not run here."""
    assert cell.criterion is not None
    name = cell.criterion.name.partition("@")[0]
    at_hand = name in registry.at_hand("criteria").classes
    return registry.criterion(name, cell.criterion.args) if at_hand else None


def interpolated(points: Mapping[float, float], sparsity: float) -> float:
    """A value between those of the nearest sparsities, linear in the logarithm of the density; beyond them the nearest.

    Compacted networks shrink about as that logarithm does.

    >>> [interpolated({0.0: 8.0, 0.9: 4.0, 0.99: 2.0}, s) for s in (0.0, 0.9, 0.99, 0.999)]
    [8.0, 4.0, 2.0, 2.0]
    >>> round(interpolated({0.9: 4.0, 0.99: 2.0}, 1 - 10**-1.5), 6), interpolated({0.9: 4.0}, 0.5)
    (3.0, 4.0)
    """
    if sparsity in points:
        return points[sparsity]
    below = max((s for s in points if s < sparsity), default=None)
    above = min((s for s in points if s > sparsity), default=None)
    if below is None or above is None:
        return next(points[s] for s in (below, above) if s is not None)
    at, low, high = (math.log(1 - s) if s < 1 else -math.inf for s in (sparsity, below, above))
    share = (at - low) / (high - low)
    return points[below] + share * (points[above] - points[below])


# --- What records say -------------------------------------------------------------------------------------------------


def _trainings(known: Iterable[tuple[Cell, Mapping[str, float]]]) -> dict[tuple[str, ...], dict[float, float]]:
    """Median seconds by sparsity: of all of one kind, and of those of one kind and criterion."""
    found: dict[tuple[str, ...], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell, cost in known:
        wall = cost.get("wall_seconds")
        seconds = wall + cost.get("resumed_seconds", 0) if wall else cost["training_seconds"]
        for who in ((), _who(cell)):
            found[training_kind(cell), *who][cell.sparsity].append(seconds)
    return {key: {s: median(seconds) for s, seconds in by.items()} for key, by in found.items()}


def _prunings(known: Iterable[tuple[Cell, Mapping[str, float]]]) -> dict[str, tuple[float, float]]:
    """Median seconds of making masks, by kind: once for all sparsities, and for each."""
    groups: dict[tuple[str, str], dict[str, Mapping[str, float]]] = defaultdict(dict)
    shot = {}
    for cell, cost in known:
        # a re-drawn network trains under its parent's mask
        if cell.criterion is not None and cell.ablation != "reinit" and "pruning_seconds" in cost:
            groups[_pruning_kind(cell), cell.block][cell.pruning_key] = cost
            shot[_pruning_kind(cell)] = _one_shot(cell)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (kind, _), costs in groups.items():
        whole = sum(cost["pruning_seconds"] for cost in costs.values())
        once = max(cost.get("scoring_seconds") or 0.0 for cost in costs.values()) if shot[kind] else 0.0
        once = min(once, whole)
        found[kind].append((once, (whole - once) / len(costs)))
    return {kind: (median(o for o, _ in pairs), median(e for _, e in pairs)) for kind, pairs in found.items()}


def _figures(store: Store) -> dict[tuple[str, str], float]:
    """Mean seconds of a figure, by network and metric: the first of a task pays for setting it up."""
    try:
        cells = [Cell.from_json(entry) for entry in store.manifest()["cells"]]
    except (DataError, MissingError):
        return {}
    networks = _networks(cells)
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    count: dict[tuple[str, str], int] = defaultdict(int)
    for file in store.each("metrics"):
        names = [entry["metric"] for entry in file["entries"]]
        network = next(filter(None, (networks.get(key) for entry in file["entries"] for key in entry["of"])), None)
        if network is None:
            continue
        for name in set(names):
            share = names.count(name) / len(names)
            seconds[network, name] += file["cost"].get(name, share * file["cost"].get("pairs", 0.0))
            count[network, name] += names.count(name)
    return {of: seconds[of] / count[of] for of in seconds}


def _networks(cells: Iterable[Cell]) -> dict[str, str]:
    """Network and dataset by all keys that figures are of."""
    return {key: network for cell in cells for network in [_network(cell)] for key in (cell.pruning_key, cell.key)}


def _network(cell: Cell) -> str:
    return digest([cell.dataset.identity(), cell.model.identity()])


def _pruning_kind(cell: Cell) -> str:
    criterion = cell.criterion.identity() if cell.criterion else None
    plainly = replace(cell, train=PLAIN)  # what a line looks at is trained so
    trains = training_kind(plainly) if cell.criterion and cell.criterion.trains else ""
    return digest([_network(cell), criterion, cell.ablation, *cell.scoring.scores.values(), trains])


def _who(cell: Cell) -> tuple[str, ...]:
    """Whose mask it is: masks of one criterion leave the same channels without use, those of a shuffle fewer."""
    criterion = cell.criterion.identity() if cell.criterion else None
    return (digest([criterion, cell.ablation if cell.ablation != "reinit" else ""]),)


def _one_shot(cell: Cell) -> bool:
    return cell.criterion is not None and cell.criterion.args.get("steps") == 1


# --- What is timed here -----------------------------------------------------------------------------------------------


def answer(payload: Mapping[str, Any], report: Report) -> None:
    """In a process apart: what a function of those below says of a cell."""
    registry.expect(payload["plugins"])
    function = {"_calibrated": _calibrated, "_counted": _counted}[payload["name"]]
    report({"said": function(Cell.from_json(payload["cell"]), torch.device(payload["device"]))})


def _counted(cell: Cell, device: torch.device) -> tuple[int, int]:
    """Training images, and the groups that batches are balanced over."""
    dataset = Block(cell, device).dataset
    return len(dataset.train()), dataset.groups


def _calibrated(cell: Cell, device: torch.device) -> float:
    """Seconds of a whole training, from epochs of one and of a few steps on the first images, with what starting costs:
    setting up the block, and the first step."""
    began = time.perf_counter()
    block = Block(cell, device)
    size = cell.recipe.batch_size
    steps = steps_per_epoch(len(block.train.split), size)
    module = block.network()
    setting = time.perf_counter() - began
    few = torch.arange(min((1 + steps) * size, len(block.train.split)))
    recipe = replace(cell.recipe, epochs=1, milestones=(), warmup=0.0)

    def timed(count: int) -> float:
        pixels, labels = block.train.split.pick(few[: count * size])
        source = Source(Images(pixels, labels), block.train.mean, block.train.std)
        began = time.perf_counter()
        train(module, {}, source, recipe, device=device, order_seed=0, augment_seed=0)
        return time.perf_counter() - began

    first, count = timed(1), min(STEPS, max(1, steps - 1))  # the first step is the warm-up and what starting costs
    while (took := timed(1 + count)) < first + ENOUGH and count < steps - 1:
        count = min(4 * count, steps - 1)  # steps of a millisecond: a few say nothing
    # a warm-up that took longer than the rest would make a step free: it takes half of its share at least
    step = max((took - first) / count, took / (1 + count) / 2)
    return setting + first + math.ceil(steps) * step * cell.recipe.epochs
