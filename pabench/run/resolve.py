"""What a suite names, made complete: defaults filled in, plugins found, data fingerprinted. Imports torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from pabench import registry
from pabench.data.dataset import Dataset, identity
from pabench.diagnostics.metric import Metric
from pabench.errors import MissingError
from pabench.networks import models as models
from pabench.parameters import ParameterError, create
from pabench.scoring.donor import nature
from pabench.source import source_digest
from pabench.suite.entries import CriterionEntry, DatasetEntry, MetricEntry, ModelEntry, RecipeEntry
from pabench.suite.specs import CriterionSpec, DatasetSpec, MetricSpec, ModelSpec, Recipe
from pabench.training.precision import automatic


@dataclass
class Resolver:
    """Resolves a suite for one device. Datasets that are not there are gathered in `missing` and not refused yet:
    the cells of the others can run. `notes` have what the user should know of those that are."""

    device: torch.device
    decided: Mapping[str, str] = field(default_factory=dict)
    """What a study that has begun computes in, by the label of a dataset: its `precision: auto` is decided for good."""
    missing: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    _datasets: dict[str, Dataset] = field(default_factory=dict)

    @property
    def pixels(self) -> int:
        """The longest side of an image in any dataset that is there."""
        return max((max(d.shape[1:]) for d in self._datasets.values()), default=0)

    def dataset(self, entry: DatasetEntry) -> DatasetSpec:
        cls = registry.plugin("datasets", entry.name)
        dataset: Dataset = create(cls, {**entry.params, "path": entry.path}, entry.name)
        args = {k: v for k, v in asdict(dataset).items() if k != "path"}
        spec = DatasetSpec(entry.name, args, entry.path)
        try:
            gap = dataset.missing()
        except MissingError as error:
            gap = str(error)
        if gap:
            self.missing[spec.label] = gap
            return spec
        self._datasets[spec.label] = dataset
        spec = replace(spec, fingerprint=identity(dataset))
        self.notes[spec.label] = dataset.notes()
        return spec

    def model(self, entry: ModelEntry, dataset: DatasetSpec) -> ModelSpec:
        spec = ModelSpec(entry.name, entry.args, entry.stem, entry.zeros)
        if wrong := models.wrong_arguments(spec):
            raise ParameterError(entry.name, wrong)
        if dataset.label not in self._datasets:
            models.check_words(spec)
            return spec
        data = self._datasets[dataset.label]
        return models.resolve(spec, data.classes, data.shape)

    def criterion(self, entry: CriterionEntry) -> CriterionSpec:
        rule = registry.criterion(entry.name, entry.params)
        return CriterionSpec(entry.name, entry.params, **nature(rule))

    def metric(self, entry: MetricEntry) -> MetricSpec:
        cls: Any = registry.plugin("metrics", entry.name)
        found: Metric = create(cls, entry.params, entry.name)
        return MetricSpec(found.name, asdict(found), cls.version, source_digest(cls), cls.stage, cls.title, cls.unit)

    def metrics(self, entries: Iterable[MetricEntry], skipped: Collection[str] = ()) -> list[MetricSpec]:
        """All cheap metrics that are not skipped, with the suite's parameters where it gives some, and the dear ones it
        lists, by name."""
        classes: dict[str, Any] = registry.group("metrics").classes
        cheap = [name for name, cls in classes.items() if cls.cost == "cheap" and name not in skipped]
        wanted = {name: MetricEntry(name=name) for name in cheap}
        wanted |= {entry.name: entry for entry in entries}
        return [self.metric(wanted[name]) for name in sorted(wanted)]

    def recipe(self, recipe: RecipeEntry, dataset: DatasetSpec) -> Recipe:
        cls = registry.plugin("datasets", dataset.name)
        standard = self._datasets[dataset.label].augment if dataset.label in self._datasets else cls.augment  # type: ignore[attr-defined]
        there = self._datasets.get(dataset.label)
        pixels = max(there.shape[1:]) if there else 0
        return recipe.build(
            augment=standard, precision=self.decided.get(dataset.label) or automatic(self.device, pixels)
        )
