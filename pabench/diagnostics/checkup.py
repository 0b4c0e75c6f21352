"""A checkup: which criteria can score a model, which cannot, why, and what to write in the suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from pabench import registry
from pabench.diagnostics.diagnosis import standardised, unprunable
from pabench.diagnostics.remedy import Parameters, Patient, Treatment, flow, model_entry
from pabench.networks import models
from pabench.networks.network import Network
from pabench.scoring.context import Batch
from pabench.scoring.criterion import Criterion
from pabench.store.verdict import DEGENERATE, DOUBTFUL, UNSUPPORTED
from pabench.suite.specs import ModelSpec

IMAGES = 10
"""Of a scoring batch, where the classes allow."""


@dataclass(frozen=True)
class Row:
    """A criterion before and after: with the model as given, and with the remedy that was found."""

    before: Treatment
    after: Treatment

    @property
    def name(self) -> str:
        return self.before.name

    @property
    def better(self) -> bool:
        return self.before.finding.worse_than(self.after.finding)

    def to_json(self) -> dict[str, Any]:
        remedy = {**self.after.entries, "after": self.after.finding.to_json()} if self.better else None
        given = {"criterion": self.name, "given": dict(self.before.given)}
        return {**given, **self.before.finding.to_json(), "remedy": remedy}


@dataclass(frozen=True)
class Checkup:
    """What was found on a model: a row a criterion, and the weights that no criterion can prune.

    `by_run` is the model as `pabench run` would build it when the suite says no more than `model`; `prescribed` the
    model that the remedies ask for. `include` is what was asked to be prunable besides convolutions and linear layers,
    `dense` has the sizes of the weight matrices that stay dense, by kind and name.
    """

    model: ModelSpec
    by_run: ModelSpec
    prescribed: ModelSpec
    shape: tuple[int, int, int]
    classes: int
    dtype: str
    family: str
    weights: Mapping[str, int]
    include: Sequence[str]
    unprunable: Mapping[str, Mapping[str, int]]
    dense: Mapping[str, Mapping[str, int]]
    standardised: Sequence[str]
    rows: Sequence[Row]

    @property
    def exit_code(self) -> int:
        """0 healthy, 3 a criterion is degenerate or doubtful, 5 one is unsupported; all without remedies."""
        found = {row.before.finding.verdict for row in self.rows}
        if found & {DEGENERATE, DOUBTFUL}:
            return 3
        return 5 if UNSUPPORTED in found else 0

    @property
    def improved(self) -> list[Row]:
        """The rows that the remedy makes better."""
        return [row for row in self.rows if row.better]

    @property
    def suite(self) -> list[str]:
        """The remedies as lines of a suite, for the criteria that they make better; [] where there is nothing to do."""
        told = [row.after.entries for row in self.improved]
        if not told:
            return []
        models = dict.fromkeys(f"  - {entry['model']}" for entry in told)
        criteria = [f"  - {entry['criterion']}" for entry in told]
        include: dict[str, Any] = {"include": list(self.include)} if self.include else {}
        precise = {"dtype": "float64"} if any(entry["scoring"] for entry in told) else {}
        scoring = [f"scoring: {flow({**include, **precise})}"] if include or precise else []
        return ["models:", *models, "criteria:", *criteria, *scoring]

    def to_json(self) -> dict[str, Any]:
        return {
            "model": model_entry(self.model),
            "by_run": model_entry(self.by_run),
            "shape": list(self.shape),
            "classes": self.classes,
            "dtype": self.dtype,
            "prunable": {"weights": sum(self.weights.values()), "layers": len(self.weights)},
            "include": list(self.include),
            "unprunable": {kind: dict(names) for kind, names in self.unprunable.items()},
            "dense": {kind: dict(names) for kind, names in self.dense.items()},
            "standardised": list(self.standardised),
            "criteria": [row.to_json() for row in self.rows],
            "suite": "\n".join(self.suite),
            "exit_code": self.exit_code,
        }


def check_up(
    spec: ModelSpec,
    shape: tuple[int, int, int],
    criteria: Sequence[tuple[str, Parameters]],
    *,
    classes: int = 10,
    dtype: torch.dtype = torch.float64,
    include: Sequence[str] = (),
    seconds: float = 0.0,
) -> Checkup:
    """A checkup of a model, as timm builds it with what `spec` says, on random images (C, H, W) = `shape`.

    `criteria` are (name, parameters), none: all that are installed; `include` as in `prunable_weights`. `seconds` are
    what the rounds after the first of each may take, and as many with the remedy. SuiteError: an unknown model,
    criterion or kind of weights, or images that the model does not take.
    """
    classes_by_name: dict[str, Any] = registry.group("criteria").classes
    named = list(criteria) or [(name, {}) for name, cls in sorted(classes_by_name.items()) if not cls.reference_line]
    patient = Patient(classes, shape, random_images(classes, shape), dtype=dtype, include=include)
    module = patient.module(spec)
    network = Network(module, dtype=dtype, include=include)
    before = [patient.examined(Treatment(name, given, spec)) for name, given in named]
    before = [patient.seen_through(found, seconds) for found in before]
    after = [patient.treat(ill) for ill in before]
    # A suite is easiest read with one model for all its criteria: the one that needed most.
    prescribed = max((healed.model for healed in after), key=lambda model: _changes(spec, model))
    after = [_shared(patient, healed, prescribed) for healed in after]
    # what is told heals in every round, as far as they are looked at
    after = [
        ill if healed is ill else patient.seen_through(healed, seconds)
        for ill, healed in zip(before, after, strict=True)
    ]
    return Checkup(
        model=spec,
        by_run=models.resolve(spec, classes, shape),
        prescribed=prescribed,
        shape=shape,
        classes=classes,
        dtype=str(dtype).removeprefix("torch."),
        family=type(module).__name__,
        weights={n: w.numel() for n, w in network.weights.items()},
        include=include,
        unprunable={
            kind: {n: module.get_parameter(n).numel() for n in names}
            for kind, names in unprunable(module, include).items()
        },
        dense=network.dense,
        standardised=standardised(network, torch.zeros(1, *shape)),
        rows=[Row(*both) for both in zip(before, after, strict=True)],
    )


def _changes(spec: ModelSpec, other: ModelSpec) -> int:
    """How many changes lead from one model to another."""
    args = sum(spec.args.get(k) != v for k, v in other.args.items())
    return args + (spec.stem != other.stem) + (spec.zeros != other.zeros)


def _shared(patient: Patient, found: Treatment, prescribed: ModelSpec) -> Treatment:
    """The treatment on the model that all criteria of the suite would share, unless it is worse there."""
    if found.model == prescribed:
        return found
    shared = patient.examined(replace(found, model=prescribed))
    return found if shared.finding.worse_than(found.finding) else shared


def random_images(classes: int, shape: tuple[int, int, int]) -> Callable[[Criterion], list[Batch]]:
    """Normal noise, the same number of each class, disjoint batches; from a seed of its own."""

    def batches(rule: Criterion) -> list[Batch]:
        if not rule.examples_per_class:
            return []
        per_class = max(1, min(rule.examples_per_class, IMAGES // classes))
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(classes).repeat_interleave(per_class)
        return [(torch.randn(len(y), *shape, generator=generator), y) for _ in range(rule.batch_count())]

    return batches
