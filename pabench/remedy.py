"""Remedies of a network and of a criterion, found by trying: what is told heals, because it did."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
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
    """A model and the parameters of a criterion, as a suite would name them, and what was found with them."""

    model: ModelSpec
    given: Parameters
    finding: Finding


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

    def module(self, spec: ModelSpec) -> nn.Module:
        key = repr(spec)
        if key not in self._modules:
            while len(self._modules) >= 3:
                self._modules.pop(next(iter(self._modules)))
            self._modules[key] = models.build(spec, self.classes, self.shape, self.weights_seed)
        return self._modules[key]

    def network(self, spec: ModelSpec, bn: str) -> Network:
        return Network(self.module(spec).to(self.device), bn=bn, dtype=self.dtype)

    def examine(self, spec: ModelSpec, name: str, given: Parameters) -> Finding:
        """One scoring pass of the criterion `name` (or `name@variant`) with these parameters."""
        rule = registry.criterion(name, given)

        def redraw(seed: int) -> Tensors:
            module = models.build(spec, self.classes, self.shape, seed).to(self.device)
            other = Network(module, bn=rule.bn, dtype=self.dtype)
            return {**other.rest, **other.weights}

        return examine(
            self.network(spec, rule.bn),
            rule,
            self.batches(rule),
            seed=self.seed,
            input_shape=self.shape,
            sources=Sources(redraw=redraw),
        )

    def treat(self, start: Treatment, name: str, hint: ModelSpec | None = None) -> Treatment:
        """The least change of model and parameters that makes the criterion healthy, or better where none does.

        Each remedy is tried alone; the first that heals is taken, else the best one, and the others on top of it. A
        change that turns out to add nothing is taken back. A `hint` is a model that healed another criterion.
        """
        now = start
        if hint is not None and now.finding.verdict not in (HEALTHY, UNSUPPORTED):
            hinted = Treatment(hint, now.given, self.examine(hint, name, now.given))
            now = hinted if now.finding.worse_than(hinted.finding) else now
        while now.finding.verdict != HEALTHY:
            tried = []
            for changed, parameters in self._candidates(now, name):
                tried.append(Treatment(changed, parameters, self.examine(changed, name, parameters)))
                if tried[-1].finding.verdict == HEALTHY:
                    break
            better = [t for t in tried if now.finding.worse_than(t.finding)]
            if not better:
                break
            now = next(t for t in better if not any(t.finding.worse_than(other.finding) for other in better))
        return self._without_needless(start, now, name)

    def _candidates(self, now: Treatment, name: str) -> list[tuple[ModelSpec, Parameters]]:
        remedies = registry.plugin("criteria", name.partition("@")[0]).remedies  # type: ignore[attr-defined]
        own = [(now.model, {**now.given, **r}) for r in remedies if {**now.given, **r} != dict(now.given)]
        if now.finding.verdict == UNSUPPORTED:
            return own
        return [(changed, now.given) for changed in self._changes(now.model)] + own

    def _changes(self, spec: ModelSpec) -> list[ModelSpec]:
        """What can be changed of a model: what starts at 0, and a stem that is too coarse for the images."""
        found = []
        if models.zeros(self.module(spec)):
            if spec.args.get("zero_init_last", True):
                found.append(replace(spec, args={**spec.args, "zero_init_last": False}))
            found.append(replace(spec, zeros="redrawn"))
        if not spec.stem and max(self.shape[1:]) <= SMALL:
            found.append(replace(spec, stem="cifar"))
        return [changed for changed in found if self._fits(changed)]

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
                finding = self.examine(spec, name, given)
                if not finding.worse_than(found.finding):
                    parts, found = fewer, Treatment(spec, given, finding)
        return found


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


def _entry(name: str, keys: Mapping[str, Any]) -> str:
    return _flow({"name": name, **keys}) if keys else name


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    plain = isinstance(value, str) and value.replace("_", "").replace("@", "").replace("-", "").isalnum()
    return value if plain and not value[0].isdigit() else json.dumps(value)
