"""Cells of a submission computed again on this machine, in a folder of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pabench import execution, registry, sourcefile
from pabench.cell import Cell
from pabench.digest import source_digest
from pabench.donor import nature
from pabench.engine import Engine
from pabench.engines import Inline, Processes
from pabench.environment import environment
from pabench.errors import MissingError, PabenchError
from pabench.foreign import Foreign, content
from pabench.machine import cores
from pabench.meaning import meaning
from pabench.store import Store


@dataclass(frozen=True)
class Where:
    """How to run somebody's cells: the names of criteria whose code may be run (`trust`), where datasets lie (by
    label), the device, and whether in child processes."""

    trust: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    engine: str = "processes"

    def environment(self) -> dict[str, Any]:
        return environment(self.device, "")


@dataclass(frozen=True)
class Rerun:
    """A folder with what was computed again: `cells` are this machine's versions of the submission's, by its keys."""

    store: Store
    cells: Mapping[str, Cell]
    notes: tuple[str, ...]


@contextmanager
def rerun(foreign: Foreign, cells: Sequence[Cell], where: Where, *, training: bool) -> Iterator[Rerun]:
    """The masks of these cells, and their trainings where asked for, made anew.

    MissingError: a criterion's code may not be run, or is not there; a dataset is not there.
    """
    with TemporaryDirectory(prefix="pabench-verify-") as folder:
        plugins = _sources(foreign, cells, where, Path(folder))
        try:
            for plugin in plugins:
                registry.drop_in(plugin)
            notes: dict[str, None] = {}
            own = {cell.key: _here(cell, where, notes) for cell in cells}
            store = Store(Path(folder) / "results")
            store.open_study({"name": "verification", "cells": [], "environment": {}})
            plan = execution.plan(store, list(own.values()), device=str(where.device), plugins=plugins)
            tasks = [task for task in plan.tasks if training or task.function == "pabench.run:prune"]
            engine: Engine = Inline() if where.engine == "inline" else Processes()
            outcomes = engine.run(
                tasks, workers=1, threads=cores(), on_event=lambda event: None, stop=threading.Event()
            )
            for _ in execution.settle(store, plan, outcomes, where.environment()):
                pass
            yield Rerun(store, own, tuple(notes))
        finally:
            for plugin in plugins:
                registry.forget(plugin)


def _here(cell: Cell, where: Where, notes: dict[str, None]) -> Cell:
    """The cell as this machine knows it: its dataset's place, and the criterion that is installed.

    `given` are all parameters that the label of the submission's cell means here.
    """
    dataset = replace(cell.dataset, path=where.paths.get(cell.dataset.label, cell.dataset.path))
    assert cell.criterion is not None
    try:
        rule = registry.criterion(cell.criterion.name.partition("@")[0], cell.criterion.args)
    except PabenchError as error:
        raise MissingError(f"{cell.title}: this pabench cannot make its criterion: {error}") from None
    source = source_digest(type(rule))
    if (source, rule.version) != (cell.criterion.source, cell.criterion.version):
        notes[
            f"{cell.criterion.label}: re-derived with another source than it was run with "
            f"(version {rule.version} here, {cell.criterion.version} there)"
        ] = None
    spec = replace(
        cell.criterion,
        args=asdict(rule),
        version=rule.version,
        source=source,
        given=meaning(cell.criterion),
        **nature(rule),
    )
    return replace(cell, dataset=dataset, criterion=spec)


def _sources(foreign: Foreign, cells: Iterable[Cell], where: Where, folder: Path) -> list[Path]:
    """The files of the submission's own criteria, as they were hashed; each must be trusted by name."""
    files = {sha: path for path, sha in foreign.files.items() if path.startswith("criteria/")}
    written = []
    for rule in {c.criterion.source: c.criterion for c in cells if c.criterion}.values():
        name = rule.name.partition("@")[0]
        if rule.source in sourcefile.built_in() or sourcefile.is_built_in(name):
            continue
        if rule.source not in files:
            if name not in registry.group("criteria").classes:
                raise MissingError(
                    f"{name}: the submission does not hold the file that defines it, and it is not installed"
                )
            continue
        if name not in where.trust:
            raise MissingError(
                f"{name}: its code comes from the submitter ({files[rule.source]}) and would be run on this machine; "
                f"read it, then go ahead with --trust {name}"
            )
        data = content(foreign.folder, files[rule.source], rule.source)
        written.append(folder / Path(files[rule.source]).name)
        written[-1].write_bytes(data)
    return written


def why(receipt: Mapping[str, Any] | None) -> str:
    """In one line why there is nothing to compare."""
    if receipt is None:
        return "the process ended without a result"
    return f"{receipt['status']} ({receipt['kind']}): {receipt['message']}"
