"""A suite as plain cells: counted by arithmetic, made one at a time, picked with `--only`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any, Protocol

from pabench import registry
from pabench.errors import MissingError, SuiteError, did_you_mean
from pabench.parameters import ParameterError
from pabench.suite.cell import DENSE, Cell
from pabench.suite.digest import digest
from pabench.suite.entries import (
    CriterionEntry,
    DatasetEntry,
    Entry,
    MetricEntry,
    ModelEntry,
    RecipeEntry,
    TrainEntry,
)
from pabench.suite.provenance import spoken
from pabench.suite.specs import (
    AUTO,
    PLAIN,
    CriterionSpec,
    DatasetSpec,
    MetricSpec,
    ModelSpec,
    Recipe,
    Scoring,
    TrainSpec,
    ordered,
)
from pabench.suite.suite import Suite

MANY = 10_000
"""More cells than this are rather a slip of the pen than a study."""


class Resolving(Protocol):
    """What turns what a suite names into what a cell records; asked once for each distinct thing.

    An invalid entry is a `SuiteError` about the entry alone: `cells` adds file, line and column. `missing` says by the
    label of a dataset why it is not there, which is no error while nothing else is wrong.
    """

    missing: dict[str, str]

    def dataset(self, entry: DatasetEntry) -> DatasetSpec: ...

    def model(self, entry: ModelEntry, dataset: DatasetSpec) -> ModelSpec: ...

    def criterion(self, entry: CriterionEntry) -> CriterionSpec: ...

    def metric(self, entry: MetricEntry) -> MetricSpec: ...

    def train(self, entry: TrainEntry) -> TrainSpec: ...

    def recipe(self, recipe: RecipeEntry, dataset: DatasetSpec) -> Recipe: ...


def count(suite: Suite) -> int:
    """The number of cells, none of them made."""
    blocks = len(suite.datasets) * len(suite.models) * len(suite.seed_values)
    pruned = len(suite.criteria) * sum(sparsity > 0 for sparsity in suite.sparsities)
    return blocks * (pruned * (1 + len(suite.ablations)) * len(suite.train) + (0 in suite.sparsities))


def refuse_many(suite: Suite) -> None:
    """SuiteError where a suite has more cells than somebody means who does not say so."""
    if (cells := count(suite)) > MANY:
        raise SuiteError(f"{suite.file}: {cells:,} cells; --yes to go ahead with more than {MANY:,}")


def cells(suite: Suite, resolving: Resolving) -> Iterator[Cell]:
    """The cells of a suite: seeds outermost, then datasets, models, the dense baseline, criteria, sparsities.

    The ablations of a block follow its plain cells, one ablation after the other; of several trainings each has all of
    these, one training after the other.

    Everything is resolved before the first cell; all that is wrong with the suite, what its draft knew included, is in
    one `SuiteError`. The dense baseline of a
    block (criterion None) is there if the suite lists the sparsity 0.
    """
    criteria = _resolved(suite.criteria, resolving.criterion)
    trainings = _resolved(suite.train, resolving.train)
    _check_metrics(suite.metrics, resolving)
    _check_skipped(suite, resolving)
    networks: list[tuple[DatasetSpec, Recipe, list[Any]]] = []
    datasets = _resolved(suite.datasets, resolving.dataset)
    for dataset in filter(None, datasets):
        models = _resolved(suite.models, resolving.model, dataset)
        try:
            if suite.recipe:  # a draft may have none
                networks.append((dataset, resolving.recipe(suite.recipe, dataset), models))
        except SuiteError as error:
            suite.find(str(error), "recipe")
    if not any(datasets):
        _resolved(suite.models, resolving.model, DatasetSpec(""))
    if suite.findings:
        for entry, spec in zip(suite.datasets, datasets, strict=True):
            if spec and spec.label in resolving.missing:
                entry.find(resolving.missing[spec.label])
    suite.raise_findings()
    return _expanded(suite, networks, criteria, trainings)


def select(cells: Iterable[Cell], only: Sequence[str]) -> list[Cell]:
    """The cells that every `--only` key agrees with, e.g. `criterion=snip,dense` and `sparsity=0,0.9`.

    Several values of one key, in one `--only` or in several, widen it. A value is a bare name or a full label; dense
    cells have the criterion `dense`, plain ones the ablation `none`. A value that no cell has is an error.
    """
    asked = _asked(only)
    named = [(cell, {key: _NAMES[key](cell) for key in asked}) for cell in cells]
    known = {key: set[str]().union(*(names[key] for _, names in named)) for key in asked}
    wanted = {
        key: {value for text in texts for value in _values(key, text, known[key])} for key, texts in asked.items()
    }
    picked = [cell for cell, names in named if all(names[key] & wanted[key] for key in wanted)]
    unknown = [
        f"--only {key}={value}: no cell has it; {did_you_mean(value, known[key])}"
        for key in wanted
        for value in sorted(wanted[key] - known[key])
    ]
    if unknown:
        raise SuiteError("\n".join(unknown))
    if not picked:
        raise SuiteError(f"no cell is left by {' '.join(f'--only {o}' for o in only)}; dense cells have sparsity 0")
    return picked


def _asked(only: Sequence[str]) -> dict[str, list[str]]:
    """By key of `--only` what it is given."""
    asked: dict[str, list[str]] = {}
    for option in only:
        key, _, text = option.partition("=")
        if key not in _NAMES:
            raise SuiteError(f"--only {option}: no key {key!r}; {did_you_mean(key, _NAMES)}")
        if not text.strip():
            raise SuiteError(f"--only {option}: expected KEY=VALUE, as in --only criterion=snip")
        asked.setdefault(key, []).append(text.strip())
    return asked


def _values(key: str, text: str, known: Collection[str]) -> set[str]:
    """The values of one `--only`, each in the one way of writing it."""
    written = _WRITTEN.get(key, str)
    if written(text) in known:  # a title may have commas
        return {written(text)}
    # so may a label, between parentheses
    return {written(value.strip()) for value in re.split(r",(?![^(]*\))", text)}


def _expanded(
    suite: Suite,
    networks: Iterable[tuple[DatasetSpec, Recipe, list[ModelSpec]]],
    criteria: Iterable[CriterionSpec],
    trainings: Iterable[TrainSpec],
) -> Iterator[Cell]:
    asked = suite.scoring
    include = tuple(sorted(asked.include))
    stated = Scoring(dtype=asked.dtype, degenerate=asked.degenerate, include=include, batch=asked.batch)
    pruned = [sparsity for sparsity in suite.sparsities if sparsity > 0]
    dense = [(PLAIN, "", (None, 0.0))] if 0 in suite.sparsities else []
    variants = [*dense, *product(trainings, ("", *suite.ablations), product(criteria, pruned))]
    for seed in suite.seed_values:
        for dataset, recipe, models in networks:
            for model, (train, ablation, (criterion, sparsity)) in product(models, variants):
                scoring = _needed(stated, criterion) if asked.dtype == AUTO else stated
                yield Cell(dataset, model, criterion, sparsity, seed, recipe, scoring, suite.protocol, ablation, train)


def _needed(scoring: Scoring, criterion: CriterionSpec | None) -> Scoring:
    """With the type that a criterion is scored in where the suite leaves it open, and who says so."""
    if criterion is None:
        return _scored(scoring, "float64", "dense")
    return _scored(scoring, criterion.precision, "criterion")


@lru_cache
def _scored(scoring: Scoring, dtype: str, because: str) -> Scoring:
    """One for all cells that are scored alike."""
    return replace(scoring, dtype=dtype, because=because)


def _resolved(entries: Sequence[Entry], resolve: Callable[..., Any], *args: Any) -> list[Any]:
    """What each entry resolves to, None for an invalid one.

    Two entries that mean the same cells, or that reports could not tell apart, are findings, too.
    """
    specs = [_told(entry, resolve, *args) for entry in entries]
    seen: dict[str, str] = {}
    for entry, spec in zip(entries, specs, strict=True):
        if spec is None:
            continue
        identity = digest(spec.identity())
        if identity in seen:
            entry.find(f"the same as {seen[identity]} once defaults are filled in; remove one")
        elif isinstance(spec, DatasetSpec) and spoken(spec.label) in map(spoken, seen.values()):
            entry.find(f"reports would call two things {spec.label!r}; give it a title")
        elif spec.label in seen.values():
            entry.find(f"reports would call two things {spec.label!r}; compare them in two suites")
        seen.setdefault(identity, spec.label)
    return specs


def _told(entry: Entry, resolve: Callable[..., Any], *args: Any) -> Any:
    """What an entry resolves to, or None, and findings at their places."""
    try:
        return resolve(entry, *args)
    except ParameterError as error:
        for key, problem in error.problems:
            entry.find(problem, *key.split("."))
    except (SuiteError, MissingError) as error:
        for line in str(error).splitlines():
            entry.find(line)
    except Exception as error:
        if not registry.place(error):
            raise
        entry.find(registry.complaint(error))  # a plugin may raise whatever it likes
    return None


def _check_metrics(entries: Sequence[MetricEntry], resolving: Resolving) -> None:
    """A metric is measured with one set of parameters, so that its name says which number a report shows."""
    names: set[str] = set()
    for entry in entries:
        _told(entry, resolving.metric)
        if entry.name in names:
            entry.find(f"{entry.name} a second time; name each metric once")
        names.add(entry.name)


def _check_skipped(suite: Suite, resolving: Resolving) -> None:
    asked = {entry.name for entry in suite.metrics}
    for i, name in enumerate(suite.skip_metrics):
        try:
            resolving.metric(MetricEntry(name=name))
        except SuiteError as error:
            suite.find(str(error), "skip_metrics", i)
        if name in asked:
            suite.find(f"{name} is listed under metrics as well; leave it out of one of the two", "skip_metrics", i)


def _number(text: str) -> str:
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text


_NAMES: Mapping[str, Callable[[Cell], set[str]]] = {
    "dataset": lambda cell: {cell.dataset.name, cell.dataset.title, cell.dataset.label},
    "model": lambda cell: {cell.model.name, ordered(cell.model.label)},
    "criterion": lambda cell: {cell.criterion.name, ordered(cell.criterion.label)} if cell.criterion else {DENSE},
    "sparsity": lambda cell: {f"{cell.sparsity:.12g}"},
    "ablation": lambda cell: {cell.ablation or "none"},
    "seed": lambda cell: {str(cell.seed)},
    "train": lambda cell: {cell.train.name, ordered(cell.train.label)},
}
_WRITTEN: Mapping[str, Callable[[str], str]] = {
    "sparsity": _number,
    "model": ordered,
    "criterion": ordered,
    "train": ordered,
}
"""What makes two ways of writing a value one: 0.90 is 0.9, and parameters may stand in any order."""
