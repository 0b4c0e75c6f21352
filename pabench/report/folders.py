"""Results folders in memory, with what tells one from another on a page."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pabench.errors import DataError, RefusedError
from pabench.report.frame import study as make_study
from pabench.report.study import Study
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.words import plain


@dataclass(frozen=True)
class Opened:
    """A results folder in memory. `broken` of its records cannot be used; `label` tells it from others on a page."""

    folder: Path
    study: Study
    measurements: tuple[Mapping[str, Any], ...]
    broken: int = 0
    label: str = ""

    @property
    def name(self) -> str:
        return plain(self.study.manifest["name"])

    @property
    def cells(self) -> Collection[Cell]:
        return self.study.cells.values()


def read(folder: Path) -> Study:
    """The study in a results folder, as `opened` finds it."""
    return opened(folder).study


def opened(folder: Path) -> Opened:
    """A results folder, unfinished or of an older schema as it may be; broken records are quarantined and absent.

    MissingError: there is no study. DataError: its study.json is not one that this pabench can read.
    """
    store = Store(folder)
    manifest, records = store.manifest(), store.records()
    measurements = tuple(store.records("metrics").values())
    try:
        study = make_study({**manifest, "name": str(manifest["name"])}, records, measurements)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = plain(f"{type(error).__name__}: {error}")[:160]
        raise DataError(
            f"{folder / 'study.json'}: cannot be read as a study ({reason}); was another version of pabench used?"
        ) from None
    return Opened(folder, study, measurements, _broken(folder, records))


def open_all(folders: Sequence[Path]) -> tuple[Opened, ...]:
    """All of them in the order of their labels: their names, with the folder's where two have one name."""
    resolved = Counter(folder.resolve() for folder in folders)
    if again := [folder for folder in folders if resolved[folder.resolve()] > 1]:
        raise RefusedError(f"{again[0]}: named twice; name each results folder once")
    return tuple(sorted(told_apart([opened(folder) for folder in folders]), key=lambda one: one.label))


def told_apart(found: Sequence[Opened]) -> Iterator[Opened]:
    """Each with its label: its name, with the folder's where that is not enough."""
    names = Counter(one.name for one in found)
    folders = Counter((one.name, one.folder.resolve().name) for one in found)
    for one in found:
        last = one.folder.resolve().name
        if names[one.name] == 1:
            label = one.name
        elif folders[one.name, last] == 1:
            label = f"{one.name} ({plain(last)})"
        else:
            label = f"{one.name} ({plain(one.folder)})"
        yield replace(one, label=label)


def _broken(folder: Path, records: Mapping[str, Any]) -> int:
    """Records that are there and cannot be used: in quarantine, or still in their place where nothing can be moved."""
    moved = [name for name in _listed(folder / "quarantine") if name.startswith("records-")]
    left = [name for name in _listed(folder / "records") if name.endswith(".json")]
    return len(moved) + sum(name.removesuffix(".json") not in records for name in left)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
