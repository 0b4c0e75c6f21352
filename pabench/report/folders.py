"""Results folders in memory, with what tells one from another on a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pabench.errors import RefusedError
from pabench.report.halves import MOST, in_two
from pabench.report.shape import as_study
from pabench.report.status import broken
from pabench.report.told import Teller, Told
from pabench.store.store import Store
from pabench.words import plain

if TYPE_CHECKING:  # pandas, which a process loads while another one reads records
    from pabench.report.study import Study


AT_ONCE = 100
"""Records that are read by one process before the other is asked for the next ones."""


def read(folder: Path, meanwhile: Callable[[], object] = lambda: None) -> Study:
    """The study in a results folder, unfinished or of an older schema as it may be; broken records are quarantined.

    Many records are read by two processes, of which this one does something else first (`meanwhile`).

    MissingError: there is no study. DataError: its study.json is not one that this pabench can read.
    """
    store = Store(folder)
    manifest = store.manifest()
    keys, teller = store.keys(), Teller()
    size = max(AT_ONCE, -(-len(keys) // (MOST - 1)))
    batches = [partial(_told, store, keys[at : at + size], teller) for at in range(0, len(keys), size)]
    works: list[Callable[[], Any]] = [meanwhile, *batches]
    _, *parts = in_two(works) if len(batches) > 1 else [work() for work in works]
    digests, told = dict[str, bytes](), dict[str, Told]()
    for some, of_some in parts:
        digests |= some
        told |= of_some
    records = store.sealed("records", digests)
    from pabench.report import frame  # pandas and scipy, which `meanwhile` may have loaded

    with as_study(folder):
        manifest["name"] = str(manifest["name"])
        study = frame.study(manifest, records, store.each("metrics"), told)
    return replace(study, folder=folder, broken=broken(folder, records))


def _told(store: Store, keys: Sequence[str], teller: Teller) -> tuple[dict[str, bytes], dict[str, Told]]:
    """Of records the SHA-256, and what is told of them."""
    told = dict[str, Told]()
    with as_study(store.folder):
        digests = store.digests("records", keys, see=lambda key, record: told.update({key: teller.told(record)}))
    return digests, told


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
