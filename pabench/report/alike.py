"""Whether cells of several studies may stand in one table: were they made alike?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pabench.report.study import Study
from pabench.store.record import PARTS
from pabench.suite.cell import Cell, facts
from pabench.suite.digest import canonical
from pabench.words import plain

OF_DATASET = ("augment", "precision")
"""What a dataset and a device decide of a recipe."""
Thing = tuple[int, str, str]
"""What cells of several studies must agree on: its place among the others, whose it is, and how it is called."""


def unlike(parts: Sequence[Study]) -> Iterator[str]:
    """Why cells of these studies must not stand in one table, one sentence for each thing that differs.

    One dataset must mean the same images, one protocol, recipe and way of scoring everywhere; one model the same
    network. Different datasets may differ in what a dataset decides of a recipe: augmentation and precision. What
    several studies have of one block must have come out the same: initial weights, data order, augmentation, batch.
    """
    said: dict[Thing, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for part in parts:
        for cell in part.cells.values():
            for thing, entries in _things(cell).items():
                said[thing].append((part.label, entries))
    for thing in sorted(said):
        # what one study alone has is compared with nothing
        if len({label for label, _ in said[thing]}) > 1:
            yield from _disagreements(thing[-1], said[thing])
    yield from _unpaired(parts)


def facts_of(part: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of one part (`dataset`, `recipe`, ...) by their names within it."""
    return {name.removeprefix(f"{part}."): value for name, value in found.items() if name.startswith(f"{part}.")}


def _things(cell: Cell) -> dict[Thing, dict[str, Any]]:
    """What a cell says of all that it may share with cells of another study."""
    found, dataset = facts(cell), plain(cell.dataset.label)
    recipe = facts_of("recipe", found)
    of_dataset = {key: recipe.pop(key) for key in OF_DATASET}
    return {
        (0, "", "protocol"): {"protocol": cell.protocol},
        (1, "", "scoring"): facts_of("scoring", found),
        (2, "", "recipe"): recipe,
        (3, dataset, f"dataset {dataset}"): facts_of("dataset", found),
        (3, dataset, f"recipe on {dataset}"): of_dataset,
        (4, "", f"model {_model(cell)}"): facts_of("model", found),
        (5, "", f"training {plain(cell.train.label)}"): facts_of("train", found),
    }


def _disagreements(thing: str, said: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """A sentence for each key that has two values among what is said of a thing, or that one lacks."""
    for key in sorted({key for _, entries in said for key in entries}):
        found: dict[str, dict[str, None]] = {}  # by value the labels, in their order and each once
        for label, entries in said:
            value = canonical(entries[key]) if key in entries else "not given"
            found.setdefault(value, {})[label] = None
        if len(found) > 1:
            told = "; ".join(f"{_short(value)} in {', '.join(labels)}" for value, labels in found.items())
            yield f"{thing}: {key} is {told}" if key != thing else f"{thing} is {told}"


def _unpaired(studies: Sequence[Study]) -> Iterator[str]:
    """A sentence for the seeds of a model that two studies started otherwise: their criteria are not paired."""
    place = {cell.block: (_model(cell), cell.seed) for study in studies for cell in study.cells.values()}
    known = pd.concat([study.pairing.assign(study=study.label) for study in studies], ignore_index=True)
    known = known[known["like"] == ""]
    of_one = known.groupby(["block", "part"])
    differing = known[(of_one["study"].transform("nunique") > 1) & (of_one["hash"].transform("nunique") > 1)]
    seeds: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (model, seed), some in differing.groupby(differing["block"].map(place)):
        told = ", ".join(part.replace("_", " ") for part in PARTS if part in set(some["part"]))
        seeds[model, told, " and ".join(sorted(some["study"].unique()))].append(f"{seed}")
    for (model, told, where), listed in seeds.items():
        yield f"{model}, seed {', '.join(listed)}: {told} differ between {where}, so that nothing is paired"


def _short(value: str) -> str:
    return plain(value if len(value) <= 60 else f"{value[:24]}…")


def _model(cell: Cell) -> str:
    return f"{plain(cell.dataset.label)} / {plain(cell.model.label)}"
