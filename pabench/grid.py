"""Whether the cells of a study are a whole grid, and the one that its suite describes: no plugin, no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pabench.cell import Cell, digest
from pabench.errors import SuiteError
from pabench.suite import Suite, parse


def gaps(cells: Sequence[Cell]) -> Iterator[str]:
    """What is lacking for a whole grid: in each dataset, model and seed the same criteria, sparsities and ablations."""
    columns: dict[tuple[str, int], set[str]] = defaultdict(set)
    seeds: dict[str, set[int]] = defaultdict(set)
    sparsities: dict[str, set[float]] = defaultdict(set)
    for cell in cells:
        place = f"{cell.dataset.label} / {cell.model.label}"
        columns[place, cell.seed].add(_column(cell))
        seeds[place].add(cell.seed)
        if cell.criterion:
            what = f"{cell.criterion.label} / {cell.ablation}" if cell.ablation else cell.criterion.label
            sparsities[what].add(cell.sparsity)
    every_column = set[str]().union(*columns.values())
    every_seed = set[int]().union(*seeds.values())
    every_sparsity = set[float]().union(*sparsities.values())
    for place, found in seeds.items():
        for seed in sorted(every_seed - found):
            yield f"{place}: no cell with seed {seed}, which other cells have"
    for (place, seed), there in columns.items():
        for column in sorted(every_column - there):
            yield f"{place} / {column} / seed {seed}: not in the grid, though other seeds, datasets or models have it"
    for what, reached in sparsities.items():
        for sparsity in sorted(every_sparsity - reached):
            yield f"{what}: not at sparsity {sparsity:g}, where others are"


def departures(manifest: Mapping[str, Any], cells: Sequence[Cell]) -> Iterator[tuple[str, str, str]]:
    """Where the cells are not those of the study's own suite: (what, as in the suite, as in the cells)."""
    try:
        suite = parse(manifest["suite"], "suite", manifest.get("overrides", ()))
    except SuiteError as error:
        yield "suite", "a valid suite", str(error).splitlines()[0]
        return
    pruned = [cell for cell in cells if cell.criterion]
    yield from _unequal("sparsities", _numbers(suite.sparsities), _numbers({cell.sparsity for cell in cells}))
    yield from _unequal("seeds", _numbers(suite.seed_values), _numbers({cell.seed for cell in cells}))
    yield from _unequal("ablations", sorted(suite.ablations), sorted({c.ablation for c in cells if c.ablation}))
    names = sorted({entry.name for entry in suite.criteria}) if any(s > 0 for s in suite.sparsities) else []
    yield from _unequal("criteria", names, sorted({c.criterion.name for c in pruned if c.criterion}))
    entries, rules = len(suite.criteria), {digest(c.criterion.identity()) for c in pruned if c.criterion}
    if names:
        yield from _unequal("number of criteria", entries, len(rules))
    yield from _unequal("datasets", _names(suite, "datasets"), sorted({cell.dataset.name for cell in cells}))
    yield from _unequal("models", _names(suite, "models"), sorted({cell.model.name for cell in cells}))
    recipe = {(c.recipe.epochs, c.recipe.batch_size, c.recipe.optimizer, c.recipe.lr, c.recipe.momentum) for c in cells}
    asked = suite.recipe
    yield from _unequal("recipe", {(asked.epochs, asked.batch_size, asked.optimizer, asked.lr, asked.momentum)}, recipe)
    yield from _unequal("protocol", {suite.protocol}, {cell.protocol for cell in cells})


def _column(cell: Cell) -> str:
    if cell.criterion is None:
        return "dense"
    return f"{cell.criterion.label} {cell.sparsity:g}{f' / {cell.ablation}' if cell.ablation else ''}"


def _unequal(what: str, expected: Any, found: Any) -> Iterator[tuple[str, str, str]]:
    if expected != found:
        yield what, _told(expected), _told(found)


def _told(value: Any) -> str:
    return ", ".join(map(str, sorted(value))) if isinstance(value, list | set) else str(value)


def _numbers(values: Any) -> list[str]:
    return sorted(f"{float(value):.12g}" for value in set(values))


def _names(suite: Suite, axis: str) -> list[str]:
    return sorted({entry.name for entry in getattr(suite, axis)})
