"""Whether the cells of a study are a whole grid, and the one that its suite describes: no plugin, no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pabench.errors import SuiteError
from pabench.suite.cell import Cell
from pabench.suite.digest import canonical, digest
from pabench.suite.entries import ModelEntry
from pabench.suite.grid import count
from pabench.suite.specs import AUTO, CriterionSpec, ModelSpec, TrainSpec, labelled
from pabench.suite.suite import Suite, parse

FAR_MORE = 100_000
"""Cells more than a study has that its suite may have and still be compared seed by seed: a stranger's may have 10^9.
"""
Departure = tuple[str, str, str]
"""(what, as in the suite, as in the cells)."""
Known = dict[str, tuple[str, Mapping[str, Any]]]
"""By its text the name and the arguments of a part."""


def ambiguous(cells: Iterable[Cell]) -> Iterator[tuple[str, str]]:
    """Names that mean two things, and things with two names: (what, name). A study has neither, whatever its suite."""
    meanings: dict[tuple[str, str], set[str]] = defaultdict(set)
    labels: dict[str, set[str]] = defaultdict(set)
    # most cells share all their parts with others
    for cell in {tuple(map(id, _parts(cell))): cell for cell in cells}.values():
        for what, name, meaning in _named(cell):
            meanings[what, name].add(meaning)
        if cell.criterion:
            labels[cell.criterion.text].add(cell.criterion.label)
    yield from (named for named, found in meanings.items() if len(found) > 1)
    yield from (("criterion", " and ".join(sorted(found))) for found in labels.values() if len(found) > 1)


def _parts(cell: Cell) -> tuple[Any, ...]:
    return cell.dataset, cell.model, cell.criterion, cell.recipe, cell.scoring, cell.train


def _named(cell: Cell) -> Iterator[tuple[str, str, str]]:
    """What a cell names, and means by it: (what, name, meaning)."""
    dataset = cell.dataset.label
    yield "dataset", dataset, cell.dataset.text
    yield "model", _place(cell), cell.model.text
    yield "recipe on", dataset, cell.recipe.text
    yield "training", cell.train.label, canonical(cell.train.identity())
    yield "scoring on", dataset, canonical({**cell.scoring.identity(), "dtype": cell.scoring.asked})
    if cell.criterion:
        meaning = canonical([cell.criterion.text, cell.criterion.trains, cell.criterion.reference_line])
        yield "criterion", cell.criterion.label, meaning


def gaps(cells: Sequence[Cell]) -> Iterator[str]:
    """What is lacking for a whole grid: in each dataset, model and seed the same criteria, sparsities and ablations."""
    columns: dict[tuple[str, int], set[str]] = defaultdict(set)
    seeds: dict[str, set[int]] = defaultdict(set)
    sparsities: dict[str, set[float]] = defaultdict(set)
    for cell in cells:
        place = _place(cell)
        columns[place, cell.seed].add(cell.title.removeprefix(f"{place} / ").rpartition(" / seed ")[0])
        seeds[place].add(cell.seed)
        if cell.criterion:
            what = f"{cell.criterion.label} / {cell.ablation}" if cell.ablation else cell.criterion.label
            what += "" if cell.train.is_plain else f" / {cell.train.label}"
            sparsities[what].add(cell.sparsity)
    for place, seed in _lacking(seeds):
        yield f"{place}: no cell with seed {seed}, which other cells have"
    for (place, seed), column in _lacking(columns):
        yield f"{place} / {column} / seed {seed}: not in the grid, though other seeds, datasets or models have it"
    for what, sparsity in _lacking(sparsities):
        yield f"{what}: not at sparsity {sparsity:g}, where others are"


def _lacking(groups: Mapping[Any, set[Any]]) -> Iterator[tuple[Any, Any]]:
    """Of each group what it has not and another has."""
    every = set[Any]().union(*groups.values())
    for name, found in groups.items():
        yield from ((name, value) for value in sorted(every - found))


def departures(manifest: Mapping[str, Any], cells: Sequence[Cell]) -> Iterator[Departure]:
    """Where the cells are not those of the study's own suite."""
    try:
        suite = parse(manifest["suite"], "suite", manifest.get("overrides", ()))
    except SuiteError as error:
        yield "suite", "a valid suite", str(error).splitlines()[0]
        return
    if (expected_cells := count(suite)) > len(cells) + FAR_MORE:
        yield "cells", f"{expected_cells:,}", f"{len(cells):,}"
        return
    for what, expected, found in _axes(suite, cells):
        if expected != found:
            yield what, _told(expected), _told(found)


def _axes(suite: Suite, cells: Sequence[Cell]) -> Iterator[tuple[str, Any, Any]]:
    """What the suite gives to all cells, and what they have of it: (what, as in the suite, as in the cells)."""
    yield "sparsities", _numbers(suite.sparsities), _numbers(cell.sparsity for cell in cells)
    yield "seeds", _numbers(suite.seed_values), _numbers(cell.seed for cell in cells)
    yield "ablations", {*suite.ablations}, {cell.ablation for cell in cells if cell.ablation}
    rules = {cell.criterion.text: cell.criterion for cell in cells if cell.criterion}
    asked = suite.criteria if any(sparsity > 0 for sparsity in suite.sparsities) else ()
    entries = [labelled(entry.name, dict(sorted(entry.params.items()))) for entry in asked]
    yield "criteria", sorted(entries), sorted(rule.label for rule in rules.values())
    ways = {digest(cell.train.identity()): cell.train for cell in cells if cell.criterion}
    trained = [labelled(entry.name, dict(sorted(entry.params.items()))) for entry in (suite.train if asked else ())]
    yield "train", sorted(trained), sorted(way.label for way in ways.values())
    if plainly := [cell.title for cell in cells if cell.criterion is None and not cell.train.is_plain]:
        yield "train", "dense networks trained plainly", plainly[0]
    named: list[tuple[str, CriterionSpec | TrainSpec]] = [("criteria", rule) for rule in rules.values()]
    named += [("train", way) for way in ways.values()]
    for kind, part in named:
        for key, value in part.given.items():  # what its label says is among what it was run with
            if key not in part.args or not _equal(value, part.args[key]):
                yield f"{kind}.{part.label}", f"{key}={value}", f"{key}={part.args.get(key, 'none')} among its args"
    yield "datasets", {entry.name for entry in suite.datasets}, {cell.dataset.name for cell in cells}
    yield "models", {entry.name for entry in suite.models}, {cell.model.name for cell in cells}
    yield from _parameters(suite, cells)
    for recipe in {cell.recipe.text: cell.recipe for cell in cells}.values():
        # what a dataset and a device decide of a recipe is not in its suite
        expected = suite.recipe.build(augment=recipe.augment, precision=recipe.precision).identity()
        yield from ((f"recipe.{key}", expected.get(key), value) for key, value in recipe.identity().items())
    if suite.scoring.dtype != AUTO:  # older studies said nothing, and meant float64
        yield "scoring.dtype", {suite.scoring.dtype}, {cell.scoring.asked for cell in cells}
    yield "protocol", {suite.protocol}, {cell.protocol for cell in cells}


def _parameters(suite: Suite, cells: Sequence[Cell]) -> Iterator[tuple[str, Any, Any]]:
    """What the suite gives to datasets and models, where no cell of theirs has it. Defaults are not in a suite."""
    datasets: Known = {cell.dataset.text: (cell.dataset.name, cell.dataset.args) for cell in cells}
    models: Known = {cell.model.text: (cell.model.name, {**_choices(cell.model), **cell.model.args}) for cell in cells}
    asked = [(f"datasets.{one.name}", one.name, one.params, datasets) for one in suite.datasets]
    asked += [(f"models.{one.name}", one.name, {**_choices(one), **one.args}, models) for one in suite.models]
    for what, name, given, known in asked:
        used = [args for called, args in known.values() if called == name]
        for key, value in given.items():
            values = [args[key] for args in used if key in args]
            if used and not any(_equal(value, one) for one in values):
                yield what, f"{key}={value}", ", ".join(f"{key}={one}" for one in values) or f"no {key}"


def _choices(model: ModelEntry | ModelSpec) -> dict[str, Any]:
    """What a suite chooses of a network beside its arguments."""
    return {"stem": model.stem, "zeros": model.zeros, "init": model.init}


def _place(cell: Cell) -> str:
    return f"{cell.dataset.label} / {cell.model.label}"


def _equal(given: Any, used: Any) -> bool:
    """Whether a parameter is what was given for it: 200 is 200.0, and True is not 1."""
    if isinstance(given, list) and isinstance(used, list):
        return len(given) == len(used) and all(map(_equal, given, used))
    return given == used and isinstance(given, bool) == isinstance(used, bool)


def _told(value: Any) -> str:
    return ", ".join(map(str, sorted(value))) if isinstance(value, list | set) else str(value)


def _numbers(values: Iterable[float]) -> set[str]:
    """Numbers as text: suite and cells may give one number as 1 and 1.0, and nobody gives 12 digits."""
    return {f"{float(value):.12g}" for value in values}
