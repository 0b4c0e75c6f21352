"""A checkup: which criteria can score a model, which cannot, why, and what to write in the suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from pabench import model as models
from pabench import registry
from pabench.cell import ModelSpec
from pabench.criterion import Batch, Criterion
from pabench.diagnosis import standardised, unprunable
from pabench.network import prunable_weights
from pabench.remedy import PRECISE, Parameters, Patient, Treatment, criterion_entry, model_entry
from pabench.verdict import DEGENERATE, DOUBTFUL, UNSUPPORTED

IMAGES = 10
"""Of a scoring batch, where the classes allow."""
UNHEALTHY, NOT_SUPPORTED = 3, 5


@dataclass(frozen=True)
class Row:
    """A criterion before and after: with the model as given, and with the remedy that was found."""

    name: str
    before: Treatment
    after: Treatment

    @property
    def better(self) -> bool:
        return self.before.finding.worse_than(self.after.finding)


@dataclass(frozen=True)
class Checkup:
    """What was found on a model: a row a criterion, and the weights that no criterion can prune.

    `by_run` is the model as `pabench run` would build it when the suite says no more than `model`; `prescribed` the
    model that the remedies ask for.
    """

    model: ModelSpec
    by_run: ModelSpec
    prescribed: ModelSpec
    shape: tuple[int, int, int]
    classes: int
    dtype: str
    family: str
    weights: Mapping[str, int]
    unprunable: Mapping[str, Mapping[str, int]]
    standardised: Sequence[str]
    rows: Sequence[Row]

    @property
    def exit_code(self) -> int:
        """0 healthy, 3 a criterion is degenerate or doubtful, 5 one is unsupported; all without remedies."""
        found = {row.before.finding.verdict for row in self.rows}
        if found & {DEGENERATE, DOUBTFUL}:
            return UNHEALTHY
        return NOT_SUPPORTED if UNSUPPORTED in found else 0

    @property
    def improved(self) -> list[Row]:
        """The rows that the remedy makes better."""
        return [row for row in self.rows if row.better]

    @property
    def suite(self) -> list[str]:
        """The remedies as lines of a suite, for the criteria that they make better; [] where there is nothing to do."""
        if not self.improved:
            return []
        entries = dict.fromkeys(model_entry(row.after.model) for row in self.improved)
        criteria = [criterion_entry(row.name, row.after.given) for row in self.improved]
        scoring = [PRECISE] if any(row.after.dtype for row in self.improved) else []
        return ["models:", *(f"  - {e}" for e in entries), "criteria:", *(f"  - {e}" for e in criteria), *scoring]

    def to_json(self) -> dict[str, Any]:
        rows = [
            {
                "criterion": row.name,
                "given": dict(row.before.given),
                **row.before.finding.to_json(),
                "remedy": _remedy(row),
            }
            for row in self.rows
        ]
        return {
            "model": model_entry(self.model),
            "by_run": model_entry(self.by_run),
            "shape": list(self.shape),
            "classes": self.classes,
            "dtype": self.dtype,
            "prunable": {"weights": sum(self.weights.values()), "layers": len(self.weights)},
            "unprunable": {kind: dict(names) for kind, names in self.unprunable.items()},
            "standardised": list(self.standardised),
            "criteria": rows,
            "suite": "\n".join(self.suite),
            "exit_code": self.exit_code,
        }


def examine(
    spec: ModelSpec,
    shape: tuple[int, int, int],
    criteria: Sequence[tuple[str, Parameters]],
    *,
    classes: int = 10,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Checkup:
    """A checkup of a model, as timm builds it with what `spec` says, on random images (C, H, W) = `shape`.

    `criteria` are (name, parameters), none: all that are installed. SuiteError: an unknown model or criterion, or
    images that the model does not take.
    """
    classes_by_name: dict[str, Any] = registry.group("criteria").classes
    named = list(criteria) or [(name, {}) for name, cls in sorted(classes_by_name.items()) if not cls.reference_line]
    ill = patient(classes, shape, dtype=dtype, seed=seed)
    module = ill.module(spec)
    network = ill.network(spec, "eval")
    before = [Treatment(spec, given, ill.examine(spec, name, given)) for name, given in named]
    after, prescribed = list(before), spec
    # The cheap ones first: the model that heals one is likely to heal the others.
    for i in sorted(range(len(named)), key=lambda i: before[i].finding.seconds):
        after[i] = ill.treat(before[i], named[i][0], prescribed if prescribed != spec else None)
        if _grown(spec, after[i].model) > _grown(spec, prescribed):
            prescribed = after[i].model
    after = [_together(ill, name, t, prescribed) for (name, _), t in zip(named, after, strict=True)]
    return Checkup(
        model=spec,
        by_run=models.resolve(spec, classes, shape),
        prescribed=prescribed,
        shape=shape,
        classes=classes,
        dtype=str(dtype).removeprefix("torch."),
        family=type(module).__name__,
        weights={n: w.numel() for n, w in prunable_weights(module).items()},
        unprunable={k: {n: module.get_parameter(n).numel() for n in names} for k, names in unprunable(module).items()},
        standardised=standardised(network, torch.zeros(1, *shape)),
        rows=[Row(name, b, a) for (name, _), b, a in zip(named, before, after, strict=True)],
    )


def patient(classes: int, shape: tuple[int, int, int], *, dtype: torch.dtype = torch.float64, seed: int = 0) -> Patient:
    """Networks for random images (C, H, W) = `shape` of some classes."""
    return Patient(classes, shape, _random_images(classes, shape), seed, seed, dtype)


def _remedy(row: Row) -> dict[str, Any] | None:
    if not row.better:
        return None
    return {
        "model": model_entry(row.after.model),
        "criterion": criterion_entry(row.name, row.after.given),
        "scoring": PRECISE if row.after.dtype else "",
        "after": row.after.finding.to_json(),
    }


def _grown(spec: ModelSpec, other: ModelSpec) -> int:
    """How many changes lead from one model to another."""
    args = sum(spec.args.get(k) != v for k, v in other.args.items())
    return args + (spec.stem != other.stem) + (spec.zeros != other.zeros)


def _together(patient: Patient, name: str, found: Treatment, prescribed: ModelSpec) -> Treatment:
    """The treatment on the model that all criteria of the suite would share, unless it is worse there."""
    if found.model == prescribed:
        return found
    shared = replace(found, model=prescribed, finding=patient.examine(prescribed, name, found.given, found.dtype))
    return found if shared.finding.worse_than(found.finding) else shared


def _random_images(classes: int, shape: tuple[int, int, int]) -> Any:
    """Normal noise, the same number of each class, disjoint batches; from a seed of its own."""

    def batches(rule: Criterion) -> list[Batch]:
        if not rule.examples_per_class:
            return []
        per_class = max(1, min(rule.examples_per_class, IMAGES // classes))
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(classes).repeat_interleave(per_class)
        return [(torch.randn(len(y), *shape, generator=generator), y) for _ in range(rule.batch_count())]

    return batches
