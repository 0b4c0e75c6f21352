"""Whether the cells of a study are a whole grid, and the one that its suite describes: no plugin, no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pabench.cell import Cell, digest, labelled
from pabench.errors import SuiteError
from pabench.suite import Suite, parse


def ambiguous(cells: Iterable[Cell]) -> Iterator[tuple[str, str]]:
    """Names that mean two things, and things with two names: (what, name). A study has neither, whatever its suite."""
    named: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for cell in cells:
        dataset, model = cell.dataset.label, f"{cell.dataset.label} / {cell.model.label}"
        named["dataset"][dataset].add(digest(cell.dataset.identity()))
        named["model"][model].add(digest(cell.model.identity()))
        named["recipe on"][dataset].add(digest(cell.recipe.identity()))
        named["scoring on"][dataset].add(digest([cell.scoring.dtype, cell.scoring.degenerate]))
        if cell.criterion:
            facts = [cell.criterion.identity(), cell.criterion.trains, cell.criterion.reference_line]
            named["criterion"][cell.criterion.label].add(digest(facts))
    for what, names in named.items():
        yield from ((what, name) for name, meanings in names.items() if len(meanings) > 1)
    rules: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        if cell.criterion:
            rules[digest(cell.criterion.identity())].add(cell.criterion.label)
    yield from (("criterion", " and ".join(sorted(labels))) for labels in rules.values() if len(labels) > 1)


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
    rules = {digest(c.criterion.identity()): c.criterion for c in pruned if c.criterion}
    asked = suite.criteria if any(s > 0 for s in suite.sparsities) else ()
    entries = sorted(labelled(entry.name, dict(sorted(entry.params.items()))) for entry in asked)
    yield from _unequal("criteria", entries, sorted(rule.label for rule in rules.values()))
    for rule in rules.values():
        for key, value in rule.given.items():
            if key not in rule.args or not _equal(value, rule.args[key]):
                yield f"criteria.{rule.label}", f"{key}={value}", f"{key}={rule.args.get(key, 'none')} among its args"
    yield from _unequal("datasets", _names(suite, "datasets"), sorted({cell.dataset.name for cell in cells}))
    yield from _unequal("models", _names(suite, "models"), sorted({cell.model.name for cell in cells}))
    recipes = {digest(cell.recipe.identity()): cell.recipe for cell in cells}.values()
    for recipe in recipes:
        # what a dataset and a device decide of a recipe is not in its suite
        expected = suite.recipe.build(augment=recipe.augment, precision=recipe.precision).identity()
        for key, value in recipe.identity().items():
            yield from _unequal(f"recipe.{key}", expected[key], value)
    yield from _unequal("protocol", {suite.protocol}, {cell.protocol for cell in cells})


def _column(cell: Cell) -> str:
    if cell.criterion is None:
        return "dense"
    return f"{cell.criterion.label} {cell.sparsity:g}{f' / {cell.ablation}' if cell.ablation else ''}"


def _unequal(what: str, expected: Any, found: Any) -> Iterator[tuple[str, str, str]]:
    if expected != found:
        yield what, _told(expected), _told(found)


def _equal(given: Any, used: Any) -> bool:
    """Whether a parameter is what was given for it: 200 is 200.0, and True is not 1."""
    if isinstance(given, list | tuple) and isinstance(used, list | tuple):
        return len(given) == len(used) and all(map(_equal, given, used))
    return given == used and isinstance(given, bool) == isinstance(used, bool)


def _told(value: Any) -> str:
    return ", ".join(map(str, sorted(value))) if isinstance(value, list | set) else str(value)


def _numbers(values: Any) -> list[str]:
    return sorted(f"{float(value):.12g}" for value in set(values))


def _names(suite: Suite, axis: str) -> list[str]:
    return sorted({entry.name for entry in getattr(suite, axis)})
