"""Whether cells of several studies may stand in one table: were they made alike?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from pabench.cell import Cell, canonical
from pabench.opening import Opened
from pabench.record import PARTS
from pabench.wording import plain

Entries = Callable[[Cell], dict[str, Any]]
Chosen = Callable[[Cell], bool]
OF_DATASET = ("augment", "precision")
"""What a dataset and a device decide of a recipe."""


def unlike(parts: Sequence[Opened]) -> Iterator[str]:
    """Why cells of these studies must not stand in one table, one sentence for each thing that differs.

    One dataset must mean the same images, one protocol, recipe and way of scoring everywhere; one model the same
    network. Different datasets may differ in what a dataset decides of a recipe: augmentation and precision. What
    several studies have of one block must have come out the same: initial weights, data order, augmentation, batch.
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
    yield from _unpaired(parts)


def hashes(cells: Iterable[Cell], records: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """By block and part (`PARTS`): the hashes that its plain cells have, one if they are paired."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        pairing = (records.get(cell.key) or {}).get("pairing") or {}
        for part in PARTS:
            value = "" if cell.ablation else pairing.get(part)
            if value and value not in found.setdefault((cell.block, part), []):
                found[cell.block, part].append(value)
    return found


def _unpaired(parts: Sequence[Opened]) -> Iterator[str]:
    """A sentence for the seeds of a model that two studies started otherwise: their criteria are not paired."""
    blocks = {cell.block: (_model(cell), cell.seed) for part in parts for cell in part.cells}
    found = [(part.label, hashes(part.cells, part.study.records)) for part in parts]
    differing: dict[tuple[str, int], set[str]] = defaultdict(set)
    labels: dict[tuple[str, int], set[str]] = defaultdict(set)
    for block, part in {key for _, values in found for key in values}:
        have = {label: values[block, part] for label, values in found if (block, part) in values}
        if len(have) > 1 and len({value for values in have.values() for value in values}) > 1:
            differing[blocks[block]].add(part)
            labels[blocks[block]] |= set(have)
    seeds: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for model, seed in sorted(differing):
        told = ", ".join(part.replace("_", " ") for part in PARTS if part in differing[model, seed])
        seeds[model, told, " and ".join(sorted(labels[model, seed]))].append(f"{seed}")
    for (model, told, where), listed in seeds.items():
        yield f"{model}, seed {', '.join(listed)}: {told} differ between {where}, so that nothing is paired"


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
