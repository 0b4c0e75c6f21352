"""A study's missing cells as tasks for an engine, and their outcomes as records."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from sys import intern
from typing import Any

from pabench.data.cache import hashed
from pabench.run.engine import Outcome, Payload, Task
from pabench.run.timeouts import reason
from pabench.scoring.gradients import shares_gradient
from pabench.store.record import blank_receipt, blank_record
from pabench.store.state import DONE, has_masks
from pabench.store.store import Store, log_of
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.training import check
from pabench.training.check import checked_title
from pabench.words import plain

FUNCTIONS = {
    "check": "pabench.training.check:check",
    "prune": "pabench.training.prune:prune",
    "train": "pabench.training.train:train",
    "measure": "pabench.training.measure:cells",
    "compare": "pabench.training.measure:pairs",
}
"""What is done to cells: `Task.kind`, and the function that does it."""
Sources = Mapping[str, Mapping[str, str]]
"""Where plugins of others are: by kind and name what `registry.load` imports."""
NONE: Sources = {}


@dataclass(frozen=True)
class Plan:
    """What is to be done for a study: `cells` in order, the `done` ones by key with their status, and the `tasks`.

    `maskless` are cells that are done and whose mask file is not there: a bank had none, or it was lost. They cannot be
    submitted, and their masks are made again. `by_task` has the cells of each task. `threads` counts the done cells
    that a CPU has trained, by its threads. What is found of a study at first has no tasks: its `parts` get them.
    """

    cells: list[Cell]
    done: dict[str, str]
    maskless: list[Cell] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    by_task: dict[str, list[Cell]] = field(default_factory=dict)
    threads: Mapping[int, int] = field(default_factory=dict)

    @property
    def open(self) -> list[Cell]:
        return [c for c in self.cells if c.key not in self.done]

    def part(self, cells: list[Cell]) -> Plan:
        """What it says of some of its cells, without tasks."""
        done = {cell.key: self.done[cell.key] for cell in cells if cell.key in self.done}
        keys = {cell.key for cell in cells}
        return Plan(cells, done, [cell for cell in self.maskless if cell.key in keys])


def plan(
    store: Store,
    cells: Sequence[Cell],
    *,
    device: str,
    plugins: Sources = NONE,
    retry: bool = False,
    norms: bool = True,
) -> Plan:
    """Tasks for the cells that have no record yet, and for masks that are gone; with `retry`, also for cells that
    failed. `norms`: receipts say what pruning does to the norm of the gradient."""
    return with_tasks(store, look(store, cells, retry), device=device, plugins=plugins, norms=norms)


def with_tasks(store: Store, found: Plan, *, device: str, plugins: Sources = NONE, norms: bool = True) -> Plan:
    """What was found of some cells, with the tasks for them. Of each block all cells are there."""
    shared, todo = payload(store, device), [*found.open, *found.maskless]
    needed = {cell.key: _prunings(store, cell) for cell in todo}
    groups = _grouped(needed.values())
    tasks: dict[str, Task] = {}
    in_block = prunings_by_block(found.cells, plugins)
    for cell in todo:
        after: tuple[str, ...] = ()
        for name in map(_group, needed[cell.key]):
            if name not in tasks:  # where it is needed first
                group = groups[name]
                what = {**shared, "cells": [c.to_json() for c in group], "norms": norms}
                what["plugins"] = needed_of(group[0], plugins)
                what["block"] = in_block.get(group[0].block, [])
                tasks[name] = task(
                    "prune",
                    name,
                    f"{_title(group)}: masks",
                    what,
                    after,
                    like=cell.check_key,
                    gives=[c.pruning_key for c in group],
                )
            after = (name,)
        if cell.key not in found.done:
            what = {**shared, "cell": cell.to_json(), "plugins": needed_of(cell, plugins)}
            # a smaller network needs less memory; of many thousand cells few are unlike
            like = intern(digest([training_kind(cell), cell.sparsity]))
            tasks[cell.key] = task("train", cell.key, cell.title, what, after, like=like)
    by_task = {**groups, **{cell.key: [cell] for cell in found.open}}
    return replace(found, tasks=list(tasks.values()), by_task=by_task)


def parts(found: Plan, cells: int) -> Iterator[Plan]:
    """What was found of a study in parts of so many cells or somewhat more, blocks left whole: all that tasks have in
    common they have within a block. The tasks of a large study would take more memory than all else in the runner."""
    some: list[Cell] = []
    for _, block in groupby(found.cells, key=lambda cell: cell.block):
        some += block
        if len(some) >= cells:
            yield found.part(some)
            some = []
    if some:
        yield found.part(some)


def untrained(found: Plan) -> Plan:
    """A plan without its trainings: masks and their receipts are all that comes of it."""
    return replace(found, tasks=[task for task in found.tasks if task.kind != "train"])


def pruned(store: Store, cells: Iterable[Cell]) -> Counter[str]:
    """How many masks there are (ok), and of the others how many are failed, skipped or missing; each mask once."""
    receipts = (store.get("receipts", key) for key in dict.fromkeys(c.pruning_key for c in cells if c.criterion))
    return Counter(str(receipt["status"]) if receipt else "missing" for receipt in receipts)


def training_kind(cell: Cell) -> str:
    """The same for cells that train one network by one recipe on the same images, of a suite or of a record, whose
    parameters have been through JSON."""
    train = [] if cell.train.is_plain else [cell.train.identity()]
    return digest([cell.dataset.identity(), cell.model.identity(), asdict(cell.recipe), *train])


def prunings_by_block(cells: Iterable[Cell], plugins: Sources) -> dict[str, list[str]]:
    """By block the keys of its prunings: what one of them has measured of the dense network holds for all.

    A plugin measures in a process that its own code runs in: others take its word only where there is no other.
    """
    own: dict[str, dict[str, None]] = {}
    foreign: dict[str, dict[str, None]] = {}
    for cell in cells:
        if cell.criterion is not None:
            found = foreign if needed_of(cell, plugins).get("criteria") else own
            found.setdefault(cell.block, {})[cell.pruning_key] = None
    return {block: list(keys) for block, keys in {**foreign, **own}.items()}


def needed_of(cell: Cell, plugins: Sources, metrics: Iterable[str] = ()) -> Sources:
    """The part of `plugins` that a cell names: its criterion, the one whose densities that takes over, its dataset;
    and those of `metrics`."""
    rule = cell.criterion
    names = {
        "criteria": [rule.name.partition("@")[0], str(rule.donor.get("name", ""))] if rule else [],
        "datasets": [cell.dataset.name],
        "metrics": list(metrics),
    }
    found = {kind: {name: at[name] for name in names[kind] if name in at} for kind, at in plugins.items()}
    return {kind: at for kind, at in found.items() if at} or NONE  # one object for nearly all cells


def task(
    kind: str,
    key: str,
    title: str,
    what: Payload,
    after: Iterable[str] = (),
    *,
    like: str = "",
    gives: Iterable[str] = (),
) -> Task:
    """A task of one kind; `what` is its payload."""
    log, guarded = log_of(what["store"], key) if "store" in what else "", bool(what.get("plugins"))
    return Task(
        key,
        title,
        FUNCTIONS[kind],
        what,
        tuple(after),
        kind=kind,
        like=like,
        log=log,
        guarded=guarded,
        gives=tuple(gives),
    )


def payload(store: Store, device: str) -> Payload:
    """What the payloads of all tasks of a run have in common."""
    # a plugin may leave the working directory
    return {"store": str(store.folder.absolute()), "device": device, "hashed": hashed()}


def look(store: Store, cells: Sequence[Cell], retry: bool = False) -> Plan:
    """What there is of the cells, without tasks for the rest; with `retry`, failed cells are to be done again."""
    again = ("failed",) if retry else ()
    done, masks, threads = {}, dict[str, str](), Counter[int]()
    for cell in cells:  # no list of records: a study has thousands
        record = store.get("records", cell.key)
        if record and record["status"] in DONE and record["status"] not in again:
            done[cell.key] = str(record["status"])
            if mask := (record.get("receipt") or {}).get("mask"):
                masks[cell.key] = mask
            ran = record["environment"]
            if record["status"] == "ok" and str(ran.get("device")).startswith("cpu") and "threads" in ran:
                threads[ran["threads"]] += 1
    there = {mask for mask in set(masks.values()) if store.has_mask(mask)}  # read whole: what is broken goes away
    maskless = [c for c in cells if c.key in masks and masks[c.key] not in there]
    return Plan(list(cells), done, maskless, threads=threads)


def _prunings(store: Store, cell: Cell) -> list[Cell]:
    """The cells whose masks must be made for this one, in order: a shuffle needs its parent's, chosen or not."""
    if cell.criterion is None or has_masks(store, cell):
        return []
    if cell.ablation == "reinit":
        return [cell.parent()]
    before = [cell.parent()] if cell.ablation == "shuffle" and not has_masks(store, cell.parent()) else []
    return [*before, cell]


def _grouped(needed: Iterable[list[Cell]]) -> dict[str, list[Cell]]:
    """The cells of each scoring pass, each once: a parent is needed by several."""
    groups: dict[str, dict[str, Cell]] = {}
    for prunings in needed:
        for cell in prunings:
            groups.setdefault(_group(cell), {})[cell.pruning_key] = cell
    return {name: list(group.values()) for name, group in groups.items()}


def _group(cell: Cell) -> str:
    """Key of the scoring pass that serves this cell: its block and criterion, whatever the sparsity.

    Criteria that need the same gradient of the same images are scored in one. A shuffle scores nothing, and stands
    alone: it depends on one mask.
    """
    criterion = cell.criterion.identity() if cell.criterion else None
    if criterion and shares_gradient(cell):
        criterion = {name: criterion["args"][name] for name in ("bn", "examples_per_class", "batch_split")}
    ablation = [cell.ablation] if cell.ablation else []
    alone = [cell.sparsity] if cell.ablation == "shuffle" else []
    return digest(["scoring", cell.block, criterion, *cell.scoring.scores.values(), *ablation, *alone])


def _title(cells: Sequence[Cell]) -> str:
    """The title of cells that are scored together, without their sparsity."""
    cell, labels = cells[0], dict.fromkeys(c.criterion.label for c in cells if c.criterion)
    what = [", ".join(labels) or "dense", *([cell.ablation] if cell.ablation else [])]
    return " / ".join([cell.dataset.label, cell.model.label, *what, f"seed {cell.seed}"])


def record_loss(store: Store, found: Plan, outcome: Outcome, environment: dict[str, Any]) -> None:
    """Of a task that ended without its record (a crash, a timeout) each cell gets one that says so."""
    log = log_of(store.folder, outcome.key)
    printed = f"; what it printed is in {os.path.relpath(log, store.folder)}" if os.path.exists(log) else ""
    failed = {
        "status": "failed",
        "kind": outcome.kind if outcome.kind != "error" else "plugin-error",
        "message": f"{reason(outcome)}{printed}",
        "traceback": plain(outcome.message),
        "attempt": outcome.attempts,
    }
    for cell in found.by_task.get(outcome.key, ()) if outcome.lost else ():
        if outcome.key == cell.key:
            record = {**blank_record(cell, environment), **failed}
            store.commit("records", cell.key, record, replace_failed=True)
        elif not has_masks(store, cell):
            store.commit("receipts", cell.pruning_key, {**blank_receipt(cell), **failed}, replace_failed=True)


def unchecked(store: Store, cells: Iterable[Cell]) -> list[Cell]:
    """A cell for each dataset, model and criterion that is to be scored and has not been checked.

    Reference lines are no criteria: what they do to a network depends on its training, or is no mask.
    """
    first: dict[str, Cell] = {}
    for cell in cells:
        if cell.criterion is not None and not cell.criterion.reference_line and not has_masks(store, cell):
            first.setdefault(cell.check_key, cell)
    known = {key: store.get("checks", key) for key in first}
    return [cell for key, cell in first.items() if (found := known[key]) is None or found["status"] != "ok"]


def ahead(found: Plan, cells: Sequence[Cell]) -> list[Task]:
    """Scorings of a plan that tell all that a check of these cells would.

    That is those of one round: it is computed for the masks anyhow. Of many rounds the check looks at the first alone,
    before the others are computed.
    """
    one_shot = {c.pruning_key for c in cells if c.criterion and c.criterion.args.get("steps") == 1 and not c.ablation}
    return [
        task
        for task in found.tasks
        if task.kind == "prune" and one_shot & {cell.pruning_key for cell in found.by_task[task.key]}
    ]


def checks(store: Store, cells: Iterable[Cell], *, into: Store, device: str, plugins: Sources) -> list[Task]:
    """A task for each of the cells (`unchecked`), whose results go `into`; none where its receipt tells enough."""
    found = []
    for cell in cells:
        if not check.told_by_receipt(store, cell, into=into):
            what = {**payload(into, device), "cell": cell.to_json(), "plugins": needed_of(cell, plugins)}
            found.append(task("check", cell.check_key, f"{checked_title(cell)}: check", what))
    return found
