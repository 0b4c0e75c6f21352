"""Remedies of a network and of a criterion, found by trying: what is told heals, because it did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import torch
from torch import nn

from pabench import registry
from pabench.diagnostics.diagnosis import diagnose, rounds_seen
from pabench.errors import SuiteError
from pabench.networks import models
from pabench.networks.network import Network, Tensors
from pabench.scoring.context import Batch, Sources
from pabench.scoring.criterion import Criterion
from pabench.store.verdict import HEALTHY, UNSUPPORTED, Finding
from pabench.suite.specs import ModelSpec

SMALL = 64
"""Up to this side of an image a stem for small images is tried: larger ones have pixels left after the usual stem."""
PRECISE = "scoring: {dtype: float64}"
"""The remedy of scores that float32 cannot hold, as a line of a suite."""
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Treatment:
    """A criterion with its parameters and a model, as a suite would name them, and what was found.

    `dtype`: what scores must be computed in, "" where the patient's own does.
    """

    name: str
    given: Parameters
    model: ModelSpec
    dtype: str = ""
    finding: Finding = field(default_factory=Finding)

    @property
    def entries(self) -> dict[str, str]:
        """What a suite says for it: `model`, `criterion`, and `scoring`, which is "" where it need not say anything."""
        criterion = criterion_entry(self.name, self.given)
        return {"model": model_entry(self.model), "criterion": criterion, "scoring": PRECISE if self.dtype else ""}


@dataclass
class Patient:
    """Networks of some classes and image shape (C, H, W), on which criteria are examined.

    `batches(rule)` gives the images that a criterion scores with, `at_once` so many at most (0: all); `include` is what
    is prunable besides convolutions and linear layers. Networks are built once.
    """

    classes: int
    shape: tuple[int, int, int]
    batches: Callable[[Criterion], Sequence[Batch]]
    seed: int = 0
    weights_seed: int = 0
    dtype: torch.dtype = torch.float64
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    include: Sequence[str] = ()
    at_once: int = 0
    _modules: dict[str, nn.Module] = field(default_factory=dict)

    def module(self, spec: ModelSpec) -> nn.Module:
        key = repr(spec)
        if key not in self._modules:
            if len(self._modules) == 3:  # as given, with a remedy, and one to try; all of a large network fill memory
                self._modules.pop(next(iter(self._modules)))
            self._modules[key] = models.build(spec, self.classes, self.shape, self.weights_seed).to(self.device)
        return self._modules[key]

    def examined(self, treatment: Treatment) -> Treatment:
        """The treatment with what one scoring pass finds."""
        rule = _quick(treatment.name, treatment.given)
        return replace(treatment, finding=diagnose(*self._asked(treatment, rule), **self._given(treatment, rule)))

    def seen_through(self, treatment: Treatment, seconds: float) -> Treatment:
        """The treatment with what the rounds after the first find, as far as the `seconds` last."""
        rule = registry.criterion(treatment.name, treatment.given)
        more = self._given(treatment, rule)
        finding = rounds_seen(treatment.finding, *self._asked(treatment, rule), **more, seconds=seconds)
        return replace(treatment, finding=finding)

    def _asked(self, treatment: Treatment, rule: Criterion) -> tuple[Network, Criterion, Sequence[Batch]]:
        module, dtype = self.module(treatment.model), self._dtype(treatment)
        network = Network(module, bn=rule.bn, dtype=dtype, include=self.include)
        return network, rule, self.batches(rule)

    def _given(self, treatment: Treatment, rule: Criterion) -> dict[str, Any]:
        def redraw(seed: int) -> Tensors:
            module = models.build(treatment.model, self.classes, self.shape, seed).to(self.device)
            other = Network(module, bn=rule.bn, dtype=self._dtype(treatment), include=self.include)
            return {**other.rest, **other.weights}

        sources = Sources(redraw=redraw)
        return {"seed": self.seed, "input_shape": self.shape, "sources": sources, "at_once": self.at_once}

    def _dtype(self, treatment: Treatment) -> torch.dtype:
        return getattr(torch, treatment.dtype) if treatment.dtype else self.dtype

    def treat(self, ill: Treatment) -> Treatment:
        """The remedies in a fixed order, each kept where it makes better, until the criterion is healthy."""
        now = ill
        if ill.finding.verdict != UNSUPPORTED:
            # What starts at 0 comes first: it hides all else. An argument of the model is the smaller change, and
            # redrawing is for what no argument reaches.
            if models.zeros(self.module(now.model)):
                args = {**now.model.args, "zero_init_last": False}
                now = self._best(now, [replace(now, model=replace(now.model, args=args))])
            if models.zeros(self.module(now.model)):
                now = self._best(now, [replace(now, model=replace(now.model, zeros="redrawn"))])
            if not now.model.stem and max(self.shape[1:]) <= SMALL:
                now = self._best(now, [replace(now, model=replace(now.model, stem="cifar"))])
        now = self._best(now, _own_remedies(now))
        if self.dtype != torch.float64:
            # Last, because it costs every scoring of a study twice the time; `ill` first, because it alone may do.
            precise = [ill, now] if now is not ill else [ill]
            now = self._best(now, [replace(t, dtype="float64") for t in precise])
        return now

    def _best(self, now: Treatment, candidates: Iterable[Treatment]) -> Treatment:
        """The first candidate that heals, else the best of all; `now` where none is better."""
        tried = [now]
        for candidate in candidates:
            if tried[-1].finding.verdict == HEALTHY:
                break
            if self._fits(candidate.model):
                tried.append(self.examined(candidate))
        return min(tried, key=lambda t: t.finding.illness)

    def _fits(self, spec: ModelSpec) -> bool:
        try:
            self.module(spec)
        except SuiteError:
            return False
        return True


def _own_remedies(now: Treatment) -> Iterator[Treatment]:
    """With each of the criterion's own remedies, then with two of them, ...: the fewest parameters come first."""
    offered = registry.plugin("criteria", now.name.partition("@")[0]).remedies  # type: ignore[attr-defined]
    new = [remedy for remedy in offered if not remedy.items() <= now.given.items()]
    for size in range(1, len(new) + 1):
        for several in combinations(new, size):
            given = dict(now.given)
            for remedy in several:
                given |= remedy
            yield replace(now, given=given)


def _quick(name: str, given: Parameters) -> Criterion:
    """The criterion as it is looked at: cheap where the zeros of its scores do not depend on it."""
    rule = registry.criterion(name, given)
    said = {*given, *rule.variants.get(name.partition("@")[2], {})}
    return replace(rule, **{k: v for k, v in rule.quick.items() if k not in said})


# --- In the syntax of a suite -----------------------------------------------------------------------------------------


def model_entry(spec: ModelSpec) -> str:
    """An item of `models:`.

    >>> model_entry(ModelSpec("resnet18", {"zero_init_last": False}, stem="cifar"))
    '{name: resnet18, stem: cifar, args: {zero_init_last: false}}'
    """
    init = {"init": spec.init, "checkpoint": spec.checkpoint}
    keys = {"stem": spec.stem, "zeros": spec.zeros, **init, "args": dict(spec.args)}
    return criterion_entry(spec.name, {k: v for k, v in keys.items() if v})


def criterion_entry(name: str, given: Parameters) -> str:
    """An item of `criteria:`.

    >>> criterion_entry("snip", {}), criterion_entry("snip", {"steps": 3})
    ('snip', '{name: snip, steps: 3}')
    """
    return flow({"name": name, **given}) if given else name


def flow(value: Any) -> str:
    """A value in YAML, in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    plain = isinstance(value, str) and value.replace("_", "").replace("@", "").replace("-", "").isalnum()
    return value if plain and not value[0].isdigit() else json.dumps(value)
