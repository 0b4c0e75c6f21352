"""Results folders in memory, with what tells one from another on a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pabench.errors import RefusedError
from pabench.report.frame import study as make_study
from pabench.report.shape import as_study
from pabench.report.status import broken
from pabench.report.study import Study
from pabench.report.told import Teller, Told
from pabench.store.store import Store
from pabench.words import plain


def read(folder: Path) -> Study:
    """The study in a results folder, unfinished or of an older schema as it may be; broken records are quarantined.

    MissingError: there is no study. DataError: its study.json is not one that this pabench can read.
    """
    store = Store(folder)
    manifest = store.manifest()
    with as_study(folder):
        manifest["name"] = str(manifest["name"])
        teller, told = Teller(), dict[str, Told]()
        records = store.records(see=lambda key, record: told.update({key: teller.told(record)}))
        study = make_study(manifest, records, store.each("metrics"), told)
    return replace(study, folder=folder, broken=broken(folder, records))


def read_all(folders: Sequence[Path]) -> tuple[Study, ...]:
    """All of them in the order of their labels: their names, with the folder's where two have one name."""
    resolved = Counter(folder.resolve() for folder in folders)
    if again := [folder for folder in folders if resolved[folder.resolve()] > 1]:
        raise RefusedError(f"{again[0]}: named twice; name each results folder once")
    return tuple(sorted(told_apart([read(folder) for folder in folders]), key=lambda one: one.label))


def told_apart(found: Sequence[Study]) -> Iterator[Study]:
    """Each with its label: its name, with the folder's where that is not enough."""
    names = [plain(one.manifest["name"]) for one in found]
    longer = [f"{name} ({plain(one.folder.resolve().name)})" for name, one in zip(names, found, strict=True)]
    for one, name, long in zip(found, names, longer, strict=True):
        label = name if names.count(name) == 1 else long
        yield replace(one, label=label if longer.count(long) == 1 else f"{name} ({plain(one.folder)})")
