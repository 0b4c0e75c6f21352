"""What a study's cells lack of the metrics it wants, as tasks after their training."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, compress, product

from pabench.run.engine import Outcome, Task
from pabench.run.tasks import Plan, Sources, needed_of, payload, prunings_by_block, task
from pabench.run.timeouts import reason
from pabench.store.figures import Of, entry, file, of_cells, pairs, single
from pabench.store.state import masked
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.suite.specs import MetricSpec

ASKED = {"measure": single, "compare": pairs}
"""What each kind of task can measure of its cells."""


@dataclass(frozen=True)
class Wanted:
    """What a task is to measure: of all that these metrics can be of its cells, what is `chosen`, "1" or "0" for each.

    It is listed anew each time: many masks have many more pairs.
    """

    kind: str
    cells: Sequence[Cell]
    metrics: Sequence[MetricSpec]
    chosen: str

    @classmethod
    def of(
        cls, kind: str, cells: Sequence[Cell], metrics: Sequence[MetricSpec], lacking: Callable[[Of, MetricSpec], bool]
    ) -> Wanted:
        """What is lacking, with the metrics that any of it is of."""
        asked = ASKED[kind](cells, metrics)
        found = [(spec, lacking(of, spec)) for of, spec in asked]
        names = {spec.name for spec, lacks in found if lacks}
        chosen = "".join(str(int(lacks)) for spec, lacks in found if spec.name in names)
        # most tasks of a study choose alike
        return cls(kind, cells, tuple(spec for spec in metrics if spec.name in names), sys.intern(chosen))

    def __iter__(self) -> Iterator[tuple[Of, MetricSpec]]:
        return compress(ASKED[self.kind](self.cells, self.metrics), map(int, self.chosen))


@dataclass(frozen=True)
class Survey:
    """The measurements of a study that are lacking: its `tasks`, and what each is to measure (`wanted`)."""

    store: Store
    tasks: list[Task] = field(default_factory=list)
    wanted: dict[str, Wanted] = field(default_factory=dict)

    @classmethod
    def of(
        cls, store: Store, plan: Plan, metrics: Sequence[MetricSpec], device: str, plugins: Sources, retry: bool
    ) -> Survey:
        """A task for each block and criterion, and one for the pairs of each block, that lacks some; the metrics of
        each plugin have tasks of their own.

        They come after the cells they are about; cells whose masks or results there will never be are left out.
        """
        found = cls(store)
        # a plan may be a part of a study
        known, there = of_cells(store.each("metrics"), plan.cells), _measurable(store, plan)
        before, in_block = _tasks_of(plan), prunings_by_block(plan.cells, plugins)
        shared = {**payload(store, device), "retry": retry}
        as_json = {spec.name: spec.to_json() for spec in metrics}
        by_source = defaultdict(list)
        for spec in metrics:
            by_source[plugins.get("metrics", {}).get(spec.name, "")].append(spec)
        groups = _groups(plan.cells).items()

        def lacking(of: Of, spec: MetricSpec) -> bool:
            return known.lacks(of, spec, retry=retry) and all(map(there, of))

        for ((block, kind, criterion), cells), (source, specs) in product(groups, by_source.items()):
            wanted = Wanted.of(kind, cells, specs, lacking)
            if not wanted.metrics:
                continue
            named = {spec.name: as_json[spec.name] for spec in wanted.metrics}
            what = {**shared, "cells": [c.to_json() for c in cells], "metrics": list(named.values())}
            key = digest(["measuring", block, kind, criterion, *([source] if source else [])])
            what |= {"key": key, "chosen": wanted.chosen, "block": in_block.get(block, [])}
            # masks are read: no code of the criterion is needed
            what["plugins"] = needed_of(cells[0].dense(), plugins, named)
            after = dict.fromkeys(chain.from_iterable(before[cell.key] for cell in cells))
            # another run that was not told to retry leaves what failed
            gives = [*(c.key for c in cells), *(spec.identity for spec in specs), *(["retry"] if retry else [])]
            found.tasks.append(task(kind, key, _title(cells[0], kind), what, after, gives=gives))
            found.wanted[key] = wanted
        return found

    def record_loss(self, outcome: Outcome) -> None:
        """What a task has not measured when it dies gets an entry that says why."""
        if not outcome.lost or outcome.key not in self.wanted:
            return
        wanted = self.wanted[outcome.key]
        known = of_cells(self.store.each("metrics"), wanted.cells)
        for of, spec in wanted:
            if known.lacks(of, spec):
                data = file([entry(of, spec, {}, f"{outcome.kind}: {reason(outcome)}")])
                self.store.commit("metrics", data["key"], data, replace_failed=True)


def _measurable(store: Store, plan: Plan) -> Callable[[str], bool]:
    """Whether there is, or may yet be, the mask of a pruning key or the result of a cell key."""
    results = {c.key for c in plan.cells if plan.done.get(c.key, "ok") == "ok"}
    prunings = {c.pruning_key for c in plan.cells}
    dense = [c for c in plan.cells if c.criterion is None]  # all ones, without a file
    sure = {c.pruning_key for c in [*dense, *plan.open, *plan.maskless]}

    @cache  # it takes reading the mask
    def there(key: str) -> bool:
        if key not in prunings or key in sure:
            return key in results or key in sure
        receipt = masked(store, key)
        return receipt is not None and store.has_mask(receipt["mask"])

    return there


def _tasks_of(plan: Plan) -> dict[str, list[str]]:
    """By cell the keys of the tasks that are about it."""
    found = defaultdict(list)
    for key, cells in plan.by_task.items():
        for cell in cells:
            found[cell.key].append(key)
    return found


def _groups(cells: Iterable[Cell]) -> dict[tuple[str, str, str], list[Cell]]:
    """The cells of each task, by block, kind of task and criterion; only plain cells are compared."""
    groups = defaultdict(list)
    for cell in cells:
        criterion = digest(cell.criterion.identity() if cell.criterion else None)
        groups[cell.block, "measure", criterion].append(cell)
        if cell.criterion and not cell.ablation:
            groups[cell.block, "compare", ""].append(cell)
    return groups


def _title(cell: Cell, kind: str) -> str:
    criterion = cell.criterion.label if cell.criterion else "dense"
    subject = "mask overlap" if kind == "compare" else f"{criterion} / metrics"
    return f"{cell.dataset.label} / {cell.model.label} / {subject} / seed {cell.seed}"
