"""Several results folders as one study, where their numbers may stand in one table; where not, refused with the reason.

The order in which folders are named changes nothing: studies stand in the order of their labels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from pabench.cell import Cell, canonical, digest
from pabench.errors import DataError, RefusedError
from pabench.frame import study as make_study
from pabench.measurement import Measurements, MetricSpec
from pabench.section import Study
from pabench.store import VOLATILE, Store
from pabench.wording import plain

Entries = Callable[[Cell], dict[str, Any]]
Chosen = Callable[[Cell], bool]
OF_DATASET = ("augment", "precision")
"""What a dataset and a device decide of a recipe."""
RANK = {"ok": 0, "failed": 1, "skipped": 2, "missing": 3}


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

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """In the order of the frame; what an older schema does not have is at its default."""
        return tuple(map(Cell.from_json, self.study.manifest["cells"]))


@dataclass(frozen=True)
class Twice:
    """A cell with a result in several studies: `kept` is that of the study `label`; `same` but for what may differ."""

    title: str
    label: str
    others: tuple[str, ...]
    same: bool
    top1: tuple[float | None, ...]


@dataclass(frozen=True)
class Joint(Study):
    """Several studies as one. The frame's column `study` says which of `parts` a row is from.

    `renamed` are criteria that two studies call the same and mean otherwise: each stands under a label of its own.
    `unmeasured` are metrics left out because the studies compute them in different ways.
    """

    parts: tuple[Opened, ...] = ()
    twice: tuple[Twice, ...] = ()
    renamed: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()


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


def open_all(folders: Sequence[Path]) -> tuple[Opened, ...]:
    """All of them in the order of their labels: their names, with the folder's where two have one name."""
    resolved = Counter(folder.resolve() for folder in folders)
    if again := [folder for folder in folders if resolved[folder.resolve()] > 1]:
        raise RefusedError(f"{again[0]}: named twice; name each results folder once")
    found = [opened(folder) for folder in folders]
    return tuple(sorted((replace(one, label=label) for one, label in labelled(found)), key=lambda one: one.label))


def join(folders: Sequence[Path]) -> Joint:
    """One study of all folders. RefusedError, one reason a line, where their cells are not made alike."""
    parts = open_all(folders)
    if reasons := list(unlike(parts)):
        lines = [f"these studies cannot stand in one table: {reason}" for reason in reasons]
        raise RefusedError("\n".join([*lines, "`pabench diff` compares two studies that are made differently"]))
    metrics, unmeasured = _metrics(parts)
    frames = [_framed(part, metrics) for part in parts]
    chosen = _chosen(pd.concat(frames, ignore_index=True), parts)
    frame, renamed = _renamed(chosen, parts)
    cells = {key: cell for part in parts for key, cell in _cells(part).items()}
    of = {part.label: part.study.records for part in parts}
    records = {key: of[label][key] for key, label in zip(frame["key"], frame["study"], strict=True) if key in of[label]}
    strays = {key for part in parts for key in part.study.strays} - set(frame["key"])
    records |= {key: part.study.records[key] for part in reversed(parts) for key in part.study.strays if key in strays}
    title = " + ".join(part.label for part in parts)
    manifest = {
        "schema": parts[0].study.manifest.get("schema", 1),
        "name": title,
        "suite": "\n".join(f"# {part.label}\n{part.study.manifest.get('suite', '')}" for part in parts),
        "command": "",
        "cells": [cells[key] for key in frame["key"]],
        "environment": _either([part.study.manifest.get("environment") or {} for part in parts]),
        "pabench": _either([{"pabench": part.study.manifest.get("pabench", "?")} for part in parts])["pabench"],
        "metrics": [spec.to_json() for spec in metrics],
    }
    return Joint(
        manifest,
        frame,
        records,
        tuple(sorted(strays)),
        metrics,
        Measurements(file for part in parts for file in part.measurements),
        parts=parts,
        twice=tuple(_twice(frame, parts)),
        renamed=renamed,
        unmeasured=unmeasured,
    )


def unlike(parts: Sequence[Opened]) -> Iterator[str]:
    """Why cells of these studies must not stand in one table, one sentence for each thing that differs.

    One dataset must mean the same images, one protocol, recipe and way of scoring everywhere; one model the same
    network. Different datasets may differ in what a dataset decides of a recipe: augmentation and precision.
    """
    yield from _one(parts, "protocol", lambda cell: {"protocol": cell.protocol})
    yield from _one(parts, "scoring", lambda cell: asdict(cell.scoring))
    yield from _one(parts, "recipe", lambda cell: _recipe(cell, of_dataset=False))
    for dataset in _shared(parts, _dataset):
        chosen = partial(_is, _dataset, dataset)
        yield from _one(parts, f"dataset {dataset}", _dataset_identity, chosen)
        yield from _one(parts, f"recipe on {dataset}", partial(_recipe, of_dataset=True), chosen)
    for model in _shared(parts, _model):
        yield from _one(parts, f"model {model}", _model_identity, partial(_is, _model, model))


def _one(parts: Sequence[Opened], what: str, of: Entries, where: Chosen = lambda cell: True) -> Iterator[str]:
    """A sentence for each key that has two values among the cells of several studies, or that one lacks."""
    said = [(part.label, of(cell)) for part in parts for cell in part.cells if where(cell)]
    for key in sorted({key for _, entries in said for key in entries}):
        found: dict[str, list[str]] = {}
        for label, entries in said:
            labels = found.setdefault(canonical(entries[key]) if key in entries else "not given", [])
            if label not in labels:
                labels.append(label)
        if len(found) > 1:
            told = "; ".join(f"{_short(text)} in {', '.join(labels)}" for text, labels in found.items())
            yield f"{what}: {key} is {told}" if key != what else f"{what} is {told}"


def _short(text: str) -> str:
    return plain(text if len(text) <= 60 else f"{text[:24]}…")


def _shared(parts: Sequence[Opened], label: Callable[[Cell], str]) -> list[str]:
    """Labels that cells of several studies have."""
    tally = Counter(name for part in parts for name in {label(cell) for cell in part.cells})
    return sorted(name for name, n in tally.items() if n > 1)


def _is(label: Callable[[Cell], str], value: str, cell: Cell) -> bool:
    return label(cell) == value


def _dataset(cell: Cell) -> str:
    return plain(cell.dataset.label)


def _model(cell: Cell) -> str:
    return f"{_dataset(cell)} / {plain(cell.model.label)}"


def _recipe(cell: Cell, *, of_dataset: bool) -> dict[str, Any]:
    return {key: value for key, value in asdict(cell.recipe).items() if (key in OF_DATASET) == of_dataset}


def _dataset_identity(cell: Cell) -> dict[str, Any]:
    identity = cell.dataset.identity()
    return {**identity.pop("args"), **identity}


def _model_identity(cell: Cell) -> dict[str, Any]:
    identity = cell.model.identity()
    return {**identity.pop("args"), **identity}


def labelled(found: Sequence[Opened]) -> Iterator[tuple[Opened, str]]:
    """Each with what a page calls it: its name, with the folder's where that is not enough."""
    names = Counter(one.name for one in found)
    folders = Counter((one.name, one.folder.resolve().name) for one in found)
    for one in found:
        last = one.folder.resolve().name
        if names[one.name] == 1:
            yield one, one.name
        elif folders[one.name, last] == 1:
            yield one, f"{one.name} ({plain(last)})"
        else:
            yield one, f"{one.name} ({plain(one.folder)})"


def _either(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What any of them says, key by key: `2.11.0 or 2.14.1`."""
    keys = sorted({key for one in found for key in one})
    return {key: " or ".join(sorted({plain(one[key]) for one in found if key in one})) for key in keys}


def _metrics(parts: Sequence[Opened]) -> tuple[tuple[MetricSpec, ...], tuple[str, ...]]:
    """Metrics that mean one thing in all studies that have them, and the names of the others."""
    specs: dict[str, MetricSpec] = {}
    unmeasured = set()
    for spec in (spec for part in parts for spec in part.study.metrics):
        if specs.setdefault(spec.name, spec).identity != spec.identity:
            unmeasured.add(spec.name)
    kept = tuple(spec for name, spec in sorted(specs.items()) if name not in unmeasured)
    return kept, tuple(sorted(unmeasured))


def _framed(part: Opened, metrics: Iterable[MetricSpec]) -> pd.DataFrame:
    manifest = {**part.study.manifest, "metrics": [spec.to_json() for spec in metrics]}
    return make_study(manifest, part.study.records, part.measurements).frame.assign(study=part.label)


def _cells(part: Opened) -> dict[str, Mapping[str, Any]]:
    return dict(zip(part.study.frame["key"], part.study.manifest["cells"], strict=True))


def _chosen(rows: pd.DataFrame, parts: Sequence[Opened]) -> pd.DataFrame:
    """One row a cell: the finished one, the earliest of several; what is made later was a repetition."""
    order = rows.assign(rank=rows["status"].map(RANK).fillna(9), at=rows["created"], place=range(len(rows)))
    first = order.sort_values(["rank", "at", "study"], kind="stable").drop_duplicates("key")
    return rows.loc[first.sort_values("place").index].reset_index(drop=True)


def _renamed(frame: pd.DataFrame, parts: Sequence[Opened]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Criteria of one label and several identities get the label of the study that had the identity first."""
    identities: dict[str, dict[str, str]] = {}
    meant: dict[str, str] = {}
    for part in parts:
        for cell, key, label in zip(part.cells, part.study.frame["key"], part.study.frame["criterion"], strict=True):
            if cell.criterion:
                identity = digest(cell.criterion.identity())
                identities.setdefault(str(label), {}).setdefault(identity, part.label)
                meant.setdefault(str(key), identity)
    several = {label: found for label, found in identities.items() if len(found) > 1}
    names = [
        f"{label} [{several[label][meant[key]]}]" if label in several else label
        for key, label in zip(frame["key"], frame["criterion"], strict=True)
    ]
    return frame.assign(criterion=names), tuple(sorted(several))


def _twice(frame: pd.DataFrame, parts: Sequence[Opened]) -> Iterator[Twice]:
    kept = dict(zip(frame["key"], frame["study"], strict=True))
    for row in frame.itertuples():
        have = [part for part in parts if row.key in part.study.records and row.key not in part.study.strays]
        if len(have) > 1:
            have.sort(key=lambda part: (part.label != kept[row.key], part.label))
            records = [part.study.records[row.key] for part in have]
            yield Twice(
                title=f"{row.dataset} / {row.model} / {row.criterion} {row.sparsity:g}"
                + (f" / {row.ablation}" if row.ablation else "")
                + f" / seed {row.seed}",
                label=have[0].label,
                others=tuple(part.label for part in have[1:]),
                same=len({canonical(outcome(record)) for record in records}) == 1,
                top1=tuple((record.get("result") or {}).get("top1") for record in records),
            )


def outcome(record: Mapping[str, Any]) -> dict[str, Any]:
    """What two executions of one cell must share."""
    return {key: value for key, value in record.items() if key not in VOLATILE}
