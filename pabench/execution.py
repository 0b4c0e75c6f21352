"""A study's missing cells as tasks for an engine, and their outcomes as records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pabench.cell import Cell, digest
from pabench.engine import Outcome, Task
from pabench.record import blank_receipt, blank_record
from pabench.store import Store
from pabench.verdict import DEGENERATE, remedy_of

DONE = ("ok", "skipped", "failed")


@dataclass(frozen=True)
class Plan:
    """What is to be done for a study: `cells` in order, the `done` ones by key with their status, and the `tasks`.

    `maskless` are cells that are done and whose mask file is not there: a bank had none, or it was lost. They cannot be
    submitted, and their masks are made again.
    """

    cells: list[Cell]
    done: dict[str, str]
    maskless: list[Cell] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    by_task: dict[str, list[Cell]] = field(default_factory=dict)

    @property
    def open(self) -> list[Cell]:
        return [c for c in self.cells if c.key not in self.done]


def plan(
    store: Store, cells: Sequence[Cell], *, device: str, plugins: Iterable[Path] = (), retry: bool = False
) -> Plan:
    """Tasks for the cells that have no record yet, and for masks that are gone; with `retry`, also for cells that
    failed."""
    records = {cell.key: store.get("records", cell.key) for cell in cells}
    statuses = {key: str(record["status"]) for key, record in records.items() if record}
    done = {k: s for k, s in statuses.items() if s in DONE and not (retry and s == "failed")}
    there = {path.stem for path in (store.folder / "masks").glob("*.safetensors")}
    named = {key: ((records[key] or {}).get("receipt") or {}).get("mask") for key in done}
    found = Plan(list(cells), done, [cell for cell in cells if named.get(cell.key) and named[cell.key] not in there])
    shared: dict[str, Any] = {"store": str(store.folder), "device": device, "plugins": [str(p) for p in plugins]}
    needed = {cell.key: _prunings(store, cell) for cell in [*found.open, *found.maskless]}
    groups: dict[str, dict[str, Cell]] = {}
    for pruning in (one for prunings in needed.values() for one in prunings):
        groups.setdefault(_group(pruning), {})[pruning.pruning_key] = pruning
    placed: set[str] = set()
    for cell in [*found.open, *found.maskless]:
        after: tuple[str, ...] = ()
        for name in map(_group, needed[cell.key]):
            if name not in placed:
                placed.add(name)
                group = list(groups[name].values())
                payload = {**shared, "cells": [c.to_json() for c in group]}
                found.tasks.append(Task(name, f"{_title(group[0])}: masks", "pabench.run:prune", payload, after))
                found.by_task[name] = group
            after = (name,)
        if cell.key in done:
            continue
        payload = {**shared, "cell": cell.to_json()}
        found.tasks.append(Task(cell.key, cell.title, "pabench.run:train", payload, after))
        found.by_task[cell.key] = [cell]
    return found


def has_masks(store: Store, cell: Cell) -> bool:
    """Whether a cell's masks need not be made: they are there, it needs none, or the criterion declined the network.

    A failed scoring is tried again for every cell that is open.
    """
    receipt = store.get("receipts", cell.pruning_key)
    if receipt is None or receipt["status"] == "failed":
        return False
    mask = None if receipt["status"] == "skipped" else receipt["receipt"].get("mask")
    return mask is None or store.has_mask(mask)


def _prunings(store: Store, cell: Cell) -> list[Cell]:
    """The cells whose masks must be made for this one, in order: a shuffle needs its parent's, chosen or not."""
    if cell.criterion is None or has_masks(store, cell):
        return []
    if cell.ablation == "reinit":
        return [cell.parent()]
    before = [cell.parent()] if cell.ablation == "shuffle" and not has_masks(store, cell.parent()) else []
    return [*before, cell]


def refused(store: Store, cell: Cell) -> dict[str, Any]:
    """The part of a record that says that a cell is skipped, where the check found its ranking degenerate and the
    suite says `degenerate: refuse`; else nothing."""
    if cell.criterion is None or cell.scoring.degenerate != "refuse":
        return {}
    found = store.get("checks", cell.check_key)
    if found is None or found["status"] != "ok" or found["finding"]["verdict"] != DEGENERATE:
        return {}
    detail = found["finding"]["detail"] + remedy_of(found)
    flags = [{"flag": "degenerate", "detail": detail}]
    return {"status": "skipped", "kind": "degenerate", "message": detail, "flags": flags}


def _group(cell: Cell) -> str:
    """Key of the scoring pass that serves this cell: its block and criterion, whatever the sparsity.

    A shuffle scores nothing, and stands alone: it depends on one mask.
    """
    criterion = cell.criterion.identity() if cell.criterion else None
    ablation = [cell.ablation] if cell.ablation else []
    alone = [cell.sparsity] if cell.ablation == "shuffle" else []
    return digest(["scoring", cell.block, criterion, cell.scoring.dtype, *ablation, *alone])


def _title(cell: Cell) -> str:
    """A cell's title without its sparsity."""
    what = [cell.criterion.label if cell.criterion else "dense", *([cell.ablation] if cell.ablation else [])]
    return " / ".join([cell.dataset.label, cell.model.label, *what, f"seed {cell.seed}"])


def settle(store: Store, found: Plan, outcomes: Iterable[Outcome], environment: dict[str, Any]) -> Iterator[Outcome]:
    """Pass the outcomes on; a task that ended without its record (a crash, a timeout) gets one that says so."""
    for outcome in outcomes:
        if not outcome.ok and outcome.kind != "stopped":
            for cell in found.by_task.get(outcome.key, ()):
                _commit_failure(store, cell, outcome, environment)
        yield outcome


def _commit_failure(store: Store, cell: Cell, outcome: Outcome, environment: dict[str, Any]) -> None:
    failed = {
        "status": "failed",
        "kind": outcome.kind if outcome.kind != "error" else "plugin-error",
        "message": (outcome.message.strip().splitlines() or ["the process ended without a record"])[-1],
        "traceback": outcome.message,
        "attempt": outcome.attempts,
    }
    if outcome.key == cell.key:
        record = {**blank_record(cell, environment), **failed}
        store.commit("records", cell.key, record, replace_failed=True)
    elif not has_masks(store, cell):
        store.commit("receipts", cell.pruning_key, {**blank_receipt(cell), **failed}, replace_failed=True)
