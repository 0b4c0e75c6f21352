"""Remedies of a network and of a criterion, found by trying: what is told heals, because it did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from pabench import model as models
from pabench import registry
from pabench.cell import ModelSpec
from pabench.criterion import Batch, Criterion, Sources, Tensors
from pabench.diagnosis import examine
from pabench.errors import SuiteError
from pabench.network import Network
from pabench.verdict import HEALTHY, UNSUPPORTED, Finding

SMALL = 64
"""Up to this side of an image a stem for small images is tried."""
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Treatment:
    """A model and the parameters of a criterion, as a suite would name them, and what was found with them.

    `dtype`: what scores must be computed in, "" where the patient's own does.
    """

    model: ModelSpec
    given: Parameters
    finding: Finding
    dtype: str = ""


@dataclass
class Patient:
    """Networks of some classes and image shape (C, H, W), on which criteria are examined.

    `batches(rule)` gives the images that a criterion scores with. Networks are built once.
    """

    classes: int
    shape: tuple[int, int, int]
    batches: Callable[[Criterion], Sequence[Batch]]
    seed: int = 0
    weights_seed: int = 0
    dtype: torch.dtype = torch.float64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _modules: dict[str, nn.Module] = field(default_factory=dict)
    _findings: dict[str, Finding] = field(default_factory=dict)

    def module(self, spec: ModelSpec) -> nn.Module:
        key = repr(spec)
        if key not in self._modules:
            while len(self._modules) >= 3:
                self._modules.pop(next(iter(self._modules)))
            self._modules[key] = models.build(spec, self.classes, self.shape, self.weights_seed)
        return self._modules[key]

    def network(self, spec: ModelSpec, bn: str, dtype: str = "") -> Network:
        return Network(self.module(spec).to(self.device), bn=bn, dtype=self._precision(dtype))

    def examine(self, spec: ModelSpec, name: str, given: Parameters, dtype: str = "") -> Finding:
        """One scoring pass of the criterion `name` (or `name@variant`) with these parameters; made once."""
        key = repr((spec, name, given, dtype))
        if key not in self._findings:
            rule = _quick(name, given)

            def redraw(seed: int) -> Tensors:
                module = models.build(spec, self.classes, self.shape, seed).to(self.device)
                other = Network(module, bn=rule.bn, dtype=self._precision(dtype))
                return {**other.rest, **other.weights}

            self._findings[key] = examine(
                self.network(spec, rule.bn, dtype),
                rule,
                self.batches(rule),
                seed=self.seed,
                input_shape=self.shape,
                sources=Sources(redraw=redraw),
            )
        return self._findings[key]

    def treat(self, start: Treatment, name: str, hint: ModelSpec | None = None) -> Treatment:
        """The least change of model and parameters that makes the criterion healthy, or better where none does.

        Each remedy is tried alone; the first that heals is taken, else the best one, and others on top of it. A change
        that turns out to add nothing is taken back. A `hint`, a model that healed another criterion, is tried first.
        """
        now = start
        if hint is not None and now.finding.verdict not in (HEALTHY, UNSUPPORTED):
            now = self._better(now, [(hint, now.given)], name) or now
            if now.finding.verdict == HEALTHY:
                return now
        while now.finding.verdict != HEALTHY:
            found = (self._better(now, group, name) for group in self._candidates(now, name))
            better = next(filter(None, found), None)
            if better is None:
                break
            now = better
        if now.finding.verdict != HEALTHY and self.dtype != torch.float64:
            now = self._precise(now, [start, now], name) or now
        return self._without_needless(start, now, name)

    def _precision(self, dtype: str) -> torch.dtype:
        return getattr(torch, dtype) if dtype else self.dtype

    def _precise(self, now: Treatment, treatments: Sequence[Treatment], name: str) -> Treatment | None:
        """The first of the treatments that float64 makes healthy, else one that it makes better than `now`."""
        tried = [
            replace(t, finding=self.examine(t.model, name, t.given, "float64"), dtype="float64") for t in treatments
        ]
        healthy = [t for t in tried if t.finding.verdict == HEALTHY]
        return next(iter([*healthy, *(t for t in tried if now.finding.worse_than(t.finding))]), None)

    def _better(
        self, now: Treatment, candidates: Sequence[tuple[ModelSpec, Parameters]], name: str
    ) -> Treatment | None:
        """The first candidate that heals, else the best one, if it is better than `now`."""
        tried: list[Treatment] = []
        for changed, given in candidates:
            if self._fits(changed):
                tried.append(Treatment(changed, given, self.examine(changed, name, given)))
                if tried[-1].finding.verdict == HEALTHY:
                    return tried[-1]
        better = [t for t in tried if now.finding.worse_than(t.finding)]
        return next((t for t in better if not any(t.finding.worse_than(o.finding) for o in better)), None)

    def _candidates(self, now: Treatment, name: str) -> Iterator[list[tuple[ModelSpec, Parameters]]]:
        """Groups of changes: of what starts at 0, which hides all else; of too coarse a stem; of the criterion, one by
        one and, where one only helps beside another, all of them."""
        if now.finding.verdict != UNSUPPORTED:
            yield [(changed, now.given) for changed in self._awake(now.model)]
            if not now.model.stem and max(self.shape[1:]) <= SMALL:
                yield [(replace(now.model, stem="cifar"), now.given)]
        remedies = registry.plugin("criteria", name.partition("@")[0]).remedies  # type: ignore[attr-defined]
        yield [(now.model, {**now.given, **r}) for r in remedies if {**now.given, **r} != dict(now.given)]
        every = {key: value for remedy in remedies for key, value in remedy.items()}
        if len(remedies) > 1 and {**now.given, **every} != dict(now.given):
            yield [(now.model, {**now.given, **every})]

    def _awake(self, spec: ModelSpec) -> list[ModelSpec]:
        """The model without what starts at 0: by its own argument, and where that does not do, by drawing it."""
        asleep = models.zeros(self.module(spec))
        if not asleep:
            return []
        own = replace(spec, args={**spec.args, "zero_init_last": False})
        if own != spec and self._fits(own):
            left = models.zeros(self.module(own))
            if left != asleep:
                return [own, replace(own, zeros="redrawn")] if left else [own]
        return [replace(spec, zeros="redrawn")]

    def _fits(self, spec: ModelSpec) -> bool:
        try:
            self.module(spec)
        except SuiteError:
            return False
        return True

    def _without_needless(self, start: Treatment, found: Treatment, name: str) -> Treatment:
        """The treatment without those of its changes that it is as good without."""
        parts = _parts(start, found)
        for part in list(parts) if len(parts) > 1 else []:
            fewer = [p for p in parts if p != part]
            spec, given = _applied(start, fewer)
            if self._fits(spec):
                finding = self.examine(spec, name, given, found.dtype)
                if not finding.worse_than(found.finding):
                    parts, found = fewer, Treatment(spec, given, finding, found.dtype)
        return found


PRECISE = "scoring: {dtype: float64}"
"""The remedy of scores that float32 cannot hold, as a line of a suite."""
Part = tuple[str, str, Any]


def _parts(start: Treatment, found: Treatment) -> list[Part]:
    """The single changes from one treatment to another: (kind, key, value)."""
    given = [("given", k, v) for k, v in found.given.items() if start.given.get(k, None) != v]
    args = [("args", k, v) for k, v in found.model.args.items() if start.model.args.get(k, None) != v]
    fields = [("model", k, getattr(found.model, k)) for k in ("zeros", "stem")]
    return [*args, *(f for f in fields if f[2] != getattr(start.model, f[1])), *given]


def _applied(start: Treatment, parts: Sequence[Part]) -> tuple[ModelSpec, Parameters]:
    args = {**start.model.args, **{k: v for kind, k, v in parts if kind == "args"}}
    changed = replace(start.model, args=args, **{k: v for kind, k, v in parts if kind == "model"})
    return changed, {**start.given, **{k: v for kind, k, v in parts if kind == "given"}}


# --- In the syntax of a suite -----------------------------------------------------------------------------------------


def model_entry(spec: ModelSpec) -> str:
    """An item of `models:`.

    >>> model_entry(ModelSpec("resnet18", {"zero_init_last": False}, stem="cifar"))
    '{name: resnet18, stem: cifar, args: {zero_init_last: false}}'
    """
    keys = {k: v for k, v in (("stem", spec.stem), ("zeros", spec.zeros), ("args", dict(spec.args))) if v}
    return _entry(spec.name, keys)


def criterion_entry(name: str, given: Parameters) -> str:
    """An item of `criteria:`.

    >>> criterion_entry("snip", {}), criterion_entry("snip", {"steps": 3})
    ('snip', '{name: snip, steps: 3}')
    """
    return _entry(name, given)


def _quick(name: str, given: Parameters) -> Criterion:
    """The criterion as it is looked at: cheap where the zeros of its scores do not depend on it."""
    rule = registry.criterion(name, given)
    said = {*given, *rule.variants.get(name.partition("@")[2], {})}
    return replace(rule, **{k: v for k, v in rule.quick.items() if k not in said})


def _entry(name: str, keys: Mapping[str, Any]) -> str:
    return flow({"name": name, **keys}) if keys else name


def flow(value: Any) -> str:
    """A value in YAML, in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    plain = isinstance(value, str) and value.replace("_", "").replace("@", "").replace("-", "").isalnum()
    return value if plain and not value[0].isdigit() else json.dumps(value)
