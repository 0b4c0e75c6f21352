"""What a suite names, made complete: defaults filled in, plugins found, data fingerprinted. Imports torch.

What this process has is made here; what is a plugin of others, in a process apart (`discovery`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError

from pabench import registry
from pabench.data.dataset import PARTS, Dataset, InMemory, identity
from pabench.diagnostics.metric import Metric
from pabench.errors import DataError, MissingError, SuiteError
from pabench.networks import models as models
from pabench.parameters import ParameterError, create, told
from pabench.run.discovery import Foreign, LeftOutError
from pabench.run.engine import Inline, Report
from pabench.scoring.allocation import AS
from pabench.scoring.donor import nature
from pabench.source import source_digest
from pabench.suite.cell import Cell
from pabench.suite.entries import (
    CriterionEntry,
    DatasetEntry,
    Entry,
    MetricEntry,
    ModelEntry,
    RecipeEntry,
    TrainEntry,
)
from pabench.suite.specs import PLAIN, Augment, CriterionSpec, DatasetSpec, MetricSpec, ModelSpec, Recipe, TrainSpec
from pabench.training.precision import automatic
from pabench.training.sparse import method
from pabench.words import one_line

Made = TypeVar("Made")


@dataclass(frozen=True)
class Data:
    """A dataset as a study must know it; what is missing or broken (`gap`) has neither classes nor shape."""

    spec: DatasetSpec
    augment: Augment = field(default_factory=Augment)
    gap: str = ""
    notes: tuple[str, ...] = ()
    classes: int = 0
    shape: tuple[int, int, int] = (0, 0, 0)


def data(entry: DatasetEntry) -> Data:
    cls = registry.plugin("datasets", entry.name)
    dataset: Dataset = create(cls, {**entry.params, "path": entry.path}, entry.name)
    args = {k: v for k, v in asdict(dataset).items() if k != "path"}
    spec = DatasetSpec(entry.name, args, entry.path)
    try:
        gap = dataset.missing()
    except MissingError as error:
        gap = str(error)
    if gap:
        return Data(spec, dataset.augment, gap)
    try:
        found = replace(spec, fingerprint=identity(dataset), coding=str(dataset.coding))
        coded = f"pictures are {found.remark}, those of {found.public} itself are not: it is called so"
        notes = [*dataset.notes(), *([coded] if found.remark else [])]
    except DataError as error:  # files that are there and broken: the cells of other datasets can run
        return Data(spec, dataset.augment, str(error))
    _enough(dataset)
    return Data(found, dataset.augment, "", tuple(notes), dataset.classes, dataset.shape)


def _enough(dataset: Dataset) -> None:
    """SuiteError: a class has fewer images than the suite wants of it, and every cell would fail."""
    if isinstance(dataset, InMemory) and dataset.is_subset:
        try:
            for part in PARTS:
                dataset.chosen(part)
        except DataError as error:
            raise SuiteError(str(error)) from None


def criterion(entry: CriterionEntry) -> CriterionSpec:
    rule = registry.criterion(entry.name, entry.params)
    return CriterionSpec(entry.name, entry.params, **nature(rule))


def metric(entry: MetricEntry) -> MetricSpec:
    cls: Any = registry.plugin("metrics", entry.name)
    found: Metric = create(cls, entry.params, entry.name)
    return MetricSpec(found.name, asdict(found), cls.version, source_digest(cls), cls.stage, cls.title, cls.unit)


MAKERS: Mapping[str, tuple[Any, type[Entry], type]] = {
    "criteria": (criterion, CriterionEntry, CriterionSpec),
    "datasets": (data, DatasetEntry, Data),
    "metrics": (metric, MetricEntry, MetricSpec),
}
"""By kind of plugin what makes an entry of a suite complete, the entry's type and that of the result."""


def make(payload: Mapping[str, Any], report: Report) -> None:
    """In a process apart: make an entry of a suite complete, and report it, or what is wrong with the entry."""
    registry.expect(payload["plugins"], lenient=True)
    maker, entry, _ = MAKERS[payload["kind"]]
    try:
        report({"made": asdict(maker(entry.model_validate(payload["entry"])))})
    except ParameterError as error:
        report({"problems": error.problems})
    except (SuiteError, MissingError) as error:
        report({"error": str(error)})
    except BaseException as error:  # of a plugin, which may raise whatever it likes
        report({"error": registry.complaint(error)})


@dataclass
class Resolver:
    """Resolves a suite for one device. Datasets that are not there, or broken, are gathered in `missing` and not
    refused yet: the cells of the others can run. `notes` have what the user should know of those that are."""

    device: torch.device
    decided: Mapping[str, str] = field(default_factory=dict)
    """What a study that has begun computes in, by the title of a dataset: its `precision: auto` is decided for good."""
    foreign: Foreign = field(default_factory=lambda: Foreign(Inline()))
    missing: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Labels of criteria, and metrics, that are left out; why, where the files of `--plugin` do not tell."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    _datasets: dict[str, Data] = field(default_factory=dict)
    _augments: dict[str, Augment] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        """The longest side of an image in any dataset that is there."""
        return max((max(d.shape[1:]) for d in self._datasets.values()), default=0)

    def has(self, cell: Cell) -> bool:
        """Whether the data and the criterion of a cell are there."""
        rule = cell.criterion
        return cell.dataset.label not in self.missing and (rule is None or rule.label not in self.left_out)

    def dataset(self, entry: DatasetEntry) -> DatasetSpec:
        try:
            source = self.foreign.source("datasets", entry.name)
            found = self._made(Data, "datasets", entry) if source else data(entry)
            found = replace(found, spec=replace(found.spec, name=entry.name, path=entry.path))
        except LeftOutError as error:
            found = Data(DatasetSpec(entry.name, entry.params, entry.path), gap=str(error))
        spec = found.spec
        self._augments[spec.label] = found.augment
        if found.gap:
            self.missing[spec.label] = found.gap
        else:
            self._datasets[spec.label] = found
            self.notes[spec.label] = list(found.notes)
        return spec

    def model(self, entry: ModelEntry, dataset: DatasetSpec) -> ModelSpec:
        spec = ModelSpec(entry.name, entry.args, entry.stem, entry.zeros, entry.init, entry.checkpoint)
        if wrong := models.wrong_arguments(spec):
            raise ParameterError(entry.name, wrong)
        if dataset.label not in self._datasets:
            models.check_words(spec)
            return spec
        data = self._datasets[dataset.label]
        return models.resolve(spec, data.classes, data.shape)

    def criterion(self, entry: CriterionEntry) -> CriterionSpec:
        try:
            sources = [self.foreign.source("criteria", entry.name.partition("@")[0]), self._donor(entry)]
        except LeftOutError:
            found = CriterionSpec(entry.name, entry.params)
            self.left_out[found.label] = ""
            return found
        if not any(sources):
            return criterion(entry)
        return replace(self._made(CriterionSpec, "criteria", entry), name=entry.name, given=entry.params)

    def _donor(self, entry: CriterionEntry) -> str:
        """The source of the criterion whose layer densities an entry takes over."""
        allocation = entry.params.get("allocation")
        if not isinstance(allocation, str) or not allocation.startswith(AS):
            return ""
        try:
            return self.foreign.source("criteria", allocation.removeprefix(AS))
        except LeftOutError:
            raise
        except (SuiteError, MissingError) as error:
            raise ParameterError(entry.name, [("allocation", str(error))]) from None

    def metric(self, entry: MetricEntry) -> MetricSpec:
        try:
            source = self.foreign.source("metrics", entry.name)
        except LeftOutError:
            self.left_out[entry.name] = ""
            return MetricSpec(entry.name)
        if not source:
            return metric(entry)
        return replace(self._made(MetricSpec, "metrics", entry), name=entry.name)

    def train(self, entry: TrainEntry) -> TrainSpec:
        if entry.name == PLAIN.name and not entry.params:
            return PLAIN
        made = method(entry.name, entry.params)
        return TrainSpec(entry.name, entry.params, told(made), made.version)

    def _made(self, result: type[Made], kind: str, entry: Entry) -> Made:
        """An entry made complete by a process that may import plugins, and whose word may be anything."""
        what = {"kind": kind, "entry": entry.model_dump()}
        answer = self.foreign.ask("pabench.run.resolve:make", what, entry.name)
        if "problems" in answer:
            raise ParameterError(entry.name, [(str(key), one_line(problem)) for key, problem in answer["problems"]])
        if "error" in answer:
            raise SuiteError(one_line(answer["error"]))
        try:
            return TypeAdapter(result).validate_python(answer.get("made"))
        except ValidationError:
            raise SuiteError(f"{entry.name}: what its code says of it is no description") from None

    def metrics(self, entries: Iterable[MetricEntry], skipped: Collection[str] = ()) -> list[MetricSpec]:
        """All cheap metrics that are not skipped, with the suite's parameters where it gives some, and the dear ones it
        lists, by name."""
        group = registry.at_hand("metrics")
        built_in: dict[str, Any] = {name: group.classes[name] for name in group.built_in}
        cheap = [name for name, cls in built_in.items() if cls.cost == "cheap"]
        cheap += self.foreign.found.cheap if self.foreign.wanted else []
        wanted = {name: MetricEntry(name=name) for name in cheap if name not in skipped}
        wanted |= {entry.name: entry for entry in entries}
        found = []
        for name in sorted(wanted):
            try:
                found.append(self.metric(wanted[name]))
            except (SuiteError, MissingError) as error:  # of a plugin that nobody asked for by its name
                self.left_out[name] = one_line(f"{name}: {error}")
        return [spec for spec in found if spec.name not in self.left_out]

    def recipe(self, recipe: RecipeEntry, dataset: DatasetSpec) -> Recipe:
        there = self._datasets.get(dataset.label)
        pixels = max(there.shape[1:]) if there else 0
        return recipe.build(
            augment=self._augments[dataset.label],
            precision=self.decided.get(dataset.title) or automatic(self.device, pixels),
        )
