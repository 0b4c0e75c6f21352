"""What a study's cells lack of the metrics it wants, as tasks after their training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pabench.cell import Cell, digest
from pabench.engine import Outcome, Task
from pabench.execution import Plan, has_masks
from pabench.measurement import Measurements, MetricSpec, Of, entry, file
from pabench.store import Store


@dataclass(frozen=True)
class Survey:
    """The measurements of a study: the metrics it wants, and what each of its tasks is to measure."""

    store: Store
    metrics: Sequence[MetricSpec]
    wanted: dict[str, list[tuple[Of, MetricSpec]]]

    @classmethod
    def of(
        cls,
        store: Store,
        plan: Plan,
        metrics: Sequence[MetricSpec],
        *,
        device: str,
        plugins: Iterable[Path] = (),
        retry: bool = False,
    ) -> Survey:
        """Add to the plan a task for each block and criterion, and one for the pairs of each block, that lacks some.

        They come after the cells they are about; cells whose masks or results there will never be are left out.
        """
        found = cls(store, metrics, {})
        known = Measurements(store.records("metrics").values())
        before = defaultdict(list)
        for key, cells in plan.by_task.items():
            for cell in cells:
                before[cell.key].append(key)
        shared = {"store": str(store.folder), "device": device, "plugins": [str(p) for p in plugins], "retry": retry}
        groups = defaultdict(list)
        remade = {cell.key for cell in plan.maskless}
        for cell in plan.cells:
            groups[cell.block, "cells", digest(cell.criterion.identity() if cell.criterion else None)].append(cell)
            if cell.criterion and not cell.ablation:
                groups[cell.block, "pairs", ""].append(cell)
        for (block, what, criterion), cells in groups.items():
            everything = (pairs if what == "pairs" else single)(cells, metrics)
            lacking = [(of, spec) for of, spec in everything if known.lacks(of, spec, retry=retry)]
            by_key = {key: cell for cell in cells for key in (cell.key, cell.pruning_key)} if lacking else {}
            possible = {k for k in {k for of, _ in lacking for k in of} if found._possible(k, plan, remade, by_key[k])}
            wanted = [(of, spec) for of, spec in lacking if possible.issuperset(of)]
            if wanted:
                key = digest(["measuring", block, what, criterion])
                named = {spec.name: spec for _, spec in wanted}
                payload = {
                    **shared,
                    "cells": [c.to_json() for c in cells],
                    "metrics": [m.to_json() for m in named.values()],
                }
                after = dict.fromkeys(k for cell in cells for k in before[cell.key])
                plan.tasks.append(Task(key, _title(cells, what), f"pabench.measuring:{what}", payload, tuple(after)))
                found.wanted[key] = wanted
        return found

    def _possible(self, key: str, plan: Plan, remade: Collection[str], cell: Cell) -> bool:
        """Whether there is, or may yet be, a mask (pruning key) or a result (cell key) to measure."""
        if key == cell.key:
            return plan.done.get(cell.key, "ok") == "ok"
        if cell.criterion is None or cell.key not in plan.done or cell.key in remade:
            return True
        receipt = self.store.get("receipts", key)
        made = receipt is not None and receipt["status"] == "ok" and "mask" in receipt["receipt"]
        return made and has_masks(self.store, cell)

    def settle(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Pass the outcomes on; what a task has not measured when it dies gets an entry that says why."""
        for outcome in outcomes:
            if outcome.key in self.wanted and not outcome.ok and outcome.kind != "stopped":
                known = Measurements(self.store.records("metrics").values())
                last = (outcome.message.strip().splitlines() or ["the process ended early"])[-1]
                lost = [
                    entry(of, spec, {}, f"{outcome.kind}: {last}")
                    for of, spec in self.wanted[outcome.key]
                    if known.lacks(of, spec)
                ]
                for each in lost:
                    data = file([each])
                    self.store.commit("metrics", data["key"], data, replace_failed=True)
            yield outcome


def single(cells: Iterable[Cell], metrics: Iterable[MetricSpec]) -> Iterator[tuple[Of, MetricSpec]]:
    """What can be measured of each cell alone: its mask, unless it is its parent's, and its training."""
    for cell in cells:
        for spec in metrics:
            if spec.stage == "training" or (spec.stage == "mask" and cell.ablation != "reinit"):
                yield (cell.pruning_key if spec.stage == "mask" else cell.key,), spec


def pairs(cells: Iterable[Cell], metrics: Iterable[MetricSpec]) -> Iterator[tuple[Of, MetricSpec]]:
    """What can be measured of two cells of a block at one sparsity, the smaller pruning key first."""
    at: dict[float, set[str]] = defaultdict(set)
    for cell in cells:
        at[cell.sparsity].add(cell.pruning_key)
    for keys in at.values():
        for both in combinations(sorted(keys), 2):
            for spec in metrics:
                if spec.stage == "pair":
                    yield both, spec


def _title(cells: Sequence[Cell], what: str) -> str:
    cell = cells[0]
    criterion = cell.criterion.label if cell.criterion else "dense"
    subject = "mask overlap" if what == "pairs" else f"{criterion} / metrics"
    return f"{cell.dataset.label} / {cell.model.label} / {subject} / seed {cell.seed}"
