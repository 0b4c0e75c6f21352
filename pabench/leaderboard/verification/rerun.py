"""Cells of a submission computed again on this machine, in a folder of their own.

This process imports nothing of the submission. Children run its code, each that of its own criterion alone, and what
they leave is read from files, as strictly as the submission itself.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mode
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from pabench import registry
from pabench.errors import DataError, MissingError, SuiteError
from pabench.leaderboard.verification.folder import Foreign, content
from pabench.leaderboard.verification.sandbox import descriptions
from pabench.run import tasks
from pabench.run.engine import Engine, Event, Inline, Task
from pabench.run.processes import Processes
from pabench.source import is_built_in, is_built_in_file
from pabench.store import maskbits, schema
from pabench.store.record import MACHINE, NUMERICS
from pabench.store.store import Kind, Store
from pabench.suite.cell import Cell
from pabench.suite.specs import CriterionSpec
from pabench.training.environment import environment, threads
from pabench.words import seconds

Code = tuple[tuple[str, Path], ...]
"""The submitted files that a criterion needs, each with the name of what it defines."""


@dataclass(frozen=True)
class Step:
    """A task that begins, the `number`-th of so many of a level; `left`: seconds that it and the rest take at the pace
    of those before it, None for the first."""

    level: int
    number: int
    of: int
    title: str
    left: float | None = None

    def __str__(self) -> str:
        """
        >>> print(Step(3, 2, 5, "digits / lenet_300_100 / snip / seed 0: masks", 8.0))
        level 3: 2 of 5: digits / lenet_300_100 / snip / seed 0: masks, about 8.0 s left
        """
        left = "" if self.left is None else f", about {seconds(self.left)} left"
        return f"level {self.level}: {self.number} of {self.of}: {self.title}{left}"


@dataclass(frozen=True)
class Where:
    """How to run somebody's cells: the names of criteria whose code may be run (`trust`), where datasets and
    trained weights lie (by label), the device, and whether in child processes. `told` hears of each task
    that begins."""

    trust: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    engine: str = "processes"
    told: Callable[[Step], None] = field(default=lambda step: None, compare=False)

    def environment(self) -> dict[str, Any]:
        return environment(self.device, "")

    def alike(self, record: Mapping[str, Any]) -> bool:
        """Whether a record was made where this is, as far as computing goes."""
        here = self.environment()
        return all(record["environment"].get(part) == here[part] for part in NUMERICS)


@dataclass(frozen=True)
class Rerun:
    """A folder with what was computed again: `cells` are this machine's versions of the submission's, by its keys.

    What it reads was written by processes that ran a stranger's code: it is checked before it is believed to be a
    receipt, a record or a mask.
    """

    store: Store
    cells: Mapping[str, Cell]
    notes: tuple[str, ...]

    def receipt(self, cell: Cell) -> dict[str, Any] | None:
        """The receipt of a cell of the submission, one of a failed pruning where what is there is none."""
        return self._read("receipts", self.cells[cell.key].pruning_key, schema.Outcome)

    def record(self, cell: Cell) -> dict[str, Any] | None:
        return self._read("records", self.cells[cell.key].key, schema.Record)

    def mask(self, receipt: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The mask that a receipt names. DataError: there is none."""
        sha = receipt["receipt"].get("mask")
        if not sha:
            raise DataError("the receipt that was made here names no mask")
        return maskbits.read(self.store.get_mask(sha))[0]

    def _read(self, kind: Kind, key: str, model: type[BaseModel]) -> dict[str, Any] | None:
        found = self.store.get(kind, key)
        wrong = schema.problems(model, found) if found is not None else []
        part = "receipt" if kind == "receipts" else "result"
        if found and not wrong and found["status"] == "ok" and not found[part]:
            wrong = [(part, f"a {part}, as its status is ok", "none")]
        if not wrong:
            return found
        where, expected, there = wrong[0]
        message = f"the process that ran it left something else than pabench writes: {where}: {expected}, not {there}"
        return {"status": "failed", "kind": "plugin-error", "message": message, "flags": []}


@contextmanager
def rerun(
    foreign: Foreign,
    cells: Sequence[Cell],
    where: Where,
    *,
    training: bool,
    like: Sequence[Mapping[str, Any]],
    checked: Sequence[Cell] = (),
) -> Iterator[Rerun]:
    """The masks of these cells, and their trainings where asked for, made anew, after the check of those `checked`.

    It takes as many threads as the records `like` them had, where so many may be used here: on a CPU they decide the
    last digits of a training, and so the mask of a criterion that trains.

    MissingError: a criterion's code may not be run, or is not there; a dataset is not there. PluginError: it ended the
    process that it was run in. SuiteError: it would be run in this one.
    """
    everything = [*cells, *checked]
    with TemporaryDirectory(prefix="pabench-verify-") as temporary:
        folder = Path(temporary)
        files = _sources(foreign, everything, where, folder)
        if files and where.engine == "inline":
            raise SuiteError(
                f"--engine inline: {next(iter(files.values())).name} comes from the submitter, and would be run in the "
                "process that judges it; leave --engine out"
            )
        engine: Engine = Inline() if where.engine == "inline" else Processes()
        code = {cell.key: _files(cell.criterion, files) for cell in everything}
        own, notes = _here(everything, where, code, engine, folder)
        store = Store(folder / "results")
        store.open_study({"name": "verification", "cells": [], "environment": {}})
        device = str(where.device)
        groups = []
        # a process that imports the files of some criteria has no task of another; what needs none of a stranger comes
        # first, so that nothing of his has run, and written into the store, before it is there
        for imported in sorted({*code.values()}):
            chosen, first = ([own[c.key] for c in some if code[c.key] == imported] for some in (cells, checked))
            theirs = {"criteria": {name: str(path) for name, path in imported}}
            findings = tasks.checks(store, tasks.unchecked(store, first), into=store, device=device, plugins=theirs)
            plan = tasks.plan(store, chosen, device=device, plugins=theirs)
            groups.append((plan, [*findings, *(task for task in plan.tasks if training or task.kind == "prune")]))
        taken = _threads(like)
        tell = _steps(4 if training else 3, [task for _, todo in groups for task in todo], where.told)
        for plan, todo in groups:
            for outcome in engine.run(todo, workers=1, threads=taken, on_event=tell, stop=threading.Event()):
                tasks.record_loss(store, plan, outcome, where.environment())
        yield Rerun(store, own, notes)


def _threads(records: Iterable[Mapping[str, Any]]) -> int:
    """As many as most of the records had; all there are where these are fewer, or the records do not say."""
    told = [n for record in records if isinstance(n := record["environment"].get("threads"), int)]
    most, there = mode(told or [0]), threads(1)
    return most if 1 <= most < there else there


def _steps(level: int, todo: Sequence[Task], told: Callable[[Step], None]) -> Callable[[Event], None]:
    """What tells of each of these tasks as it begins; one that is tried again begins again."""
    titles, began, seen = {task.key: task.title for task in todo}, time.monotonic(), dict[str, int]()

    def tell(event: Event) -> None:
        if event.kind == "started":
            number = seen.setdefault(event.key, len(seen) + 1)
            before = number - 1
            left = (time.monotonic() - began) / before * (len(todo) - before) if before else None
            told(Step(level, number, len(todo), titles[event.key], left))

    return tell


def _here(
    cells: Sequence[Cell], where: Where, code: Mapping[str, Code], engine: Engine, folder: Path
) -> tuple[dict[str, Cell], tuple[str, ...]]:
    """By key the cells as this machine knows them: their dataset's place, and the criterion that is made here; and what
    is to be said of criteria that are others here. `code` is what each imports.

    The `given` of such a criterion are all parameters that the label of the submission's means here.
    """
    rules: dict[Code, dict[str, CriterionSpec]] = defaultdict(dict)
    for cell in cells:
        if cell.criterion:
            rules[code[cell.key]][cell.criterion.label] = cell.criterion
    found: dict[str, dict[str, Any]] = {}
    # what needs no child comes first: it says at once what is missing
    for number, imported in enumerate(sorted(rules)):
        files = list(dict.fromkeys(path for _, path in imported))
        found |= descriptions(rules[imported], files, engine, folder / f"described-{number}.json")
    notes: dict[str, None] = {}
    own = {}
    for cell in cells:
        rule = cell.criterion
        assert rule is not None
        made = found[rule.label]
        if (made["sha256"], made["version"]) != (rule.sha256, rule.version):
            same = "the same code, by its record" if made["source"] == rule.source else "other code"
            versions = f"{same}; version {made['version']} here, {rule.version} there"
            notes[f"{rule.label}: re-derived with a file of other bytes than it was run with ({versions})"] = None
        named = (where.paths[name] for name in (cell.dataset.label, cell.dataset.title) if name in where.paths)
        dataset = replace(cell.dataset, path=next(named, cell.dataset.path))
        model = cell.model
        if model.init:
            model = replace(model, checkpoint=where.paths.get(model.label, model.checkpoint))
        own[cell.key] = replace(cell, dataset=dataset, model=model, criterion=replace(rule, **made))
    return own, tuple(notes)


def _files(rule: CriterionSpec | None, files: Mapping[str, Path]) -> Code:
    """The submitted files that a criterion needs: its own, and that of the one whose densities it takes over."""
    needed = _needed(rule) if rule else {}
    return tuple((name, files[sha256]) for name, sha256 in needed.items() if sha256 in files)


def _needed(rule: CriterionSpec) -> dict[str, str]:
    """The SHA-256 of the files of a criterion and of its donor, by name."""
    needed = {rule.name.partition("@")[0]: rule.sha256}
    return {**needed, str(rule.donor.get("name")): str(rule.donor.get("sha256"))} if rule.donor else needed


def _sources(foreign: Foreign, cells: Iterable[Cell], where: Where, folder: Path) -> dict[str, Path]:
    """The files of the submission's own criteria by SHA-256, as they were hashed; each must be trusted by name."""
    files = foreign.sources
    written: dict[str, Path] = {}
    needed = {sha256: name for c in cells if c.criterion for name, sha256 in _needed(c.criterion).items()}
    for sha256, name in needed.items():
        if is_built_in_file(sha256) or is_built_in(name):
            continue
        if sha256 not in files:
            if name not in registry.group("criteria").classes:
                raise MissingError(
                    f"{name}: the submission does not hold the file that defines it, and it is not installed"
                )
            continue
        if name not in where.trust:
            raise MissingError(
                f"{name}: its code comes from the submitter ({files[sha256]}) and would be run on this machine; "
                f"read it, then go ahead with --trust {name}"
            )
        written[sha256] = folder / Path(files[sha256]).name
        written[sha256].write_bytes(content(foreign.folder, files[sha256], sha256))
    return written


def why(receipt: Mapping[str, Any] | None) -> str:
    """In one line why there is nothing to compare."""
    if receipt is None:
        return "the process ended without a result"
    return f"{receipt['status']} ({receipt['kind']}): {receipt['message']}"


def excused(outcome: Mapping[str, Any] | None) -> bool:
    """Whether what has no result here shows nothing of the submission."""
    return outcome is not None and outcome["kind"] in MACHINE
