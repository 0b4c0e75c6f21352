"""A criterion under examination: its scores and masks on specimens, and whether it drew on the cell's seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pabench.criterion import Batch, Criterion, ScoreContext, ScoreCriterion, Sources, checked
from pabench.network import Network, scoring_mode
from pabench.pruning import SkippedError, context
from pabench.selection import Tensors
from pabench.specimen import CONVOLUTIONAL, Specimen

FEW = 3
"""Rounds of an iterative criterion in an examination: what holds for three holds for a hundred."""


@dataclass(frozen=True)
class Watched(ScoreContext):
    """A context that notes when its randomness or its loss is asked for; its loss can be `scale` times as large."""

    noted: set[str] = field(default_factory=set)
    generators: list[torch.Generator] = field(default_factory=list)
    scale: float = 1.0

    @property
    def drew(self) -> bool:
        """Whether anything was drawn from the seed so far: noise, other weights, or a number of a generator."""
        fresh = (torch.Generator().manual_seed(g.initial_seed()) for g in self.generators)
        states = zip(self.generators, fresh, strict=True)
        return "seed" in self.noted or any(not torch.equal(g.get_state(), f.get_state()) for g, f in states)

    def generator(self, purpose: str) -> torch.Generator:
        generator = super().generator(purpose)
        self.generators.append(generator)
        return generator

    def redrawn(self, purpose: str) -> Tensors:
        self.noted.add("seed")
        return super().redrawn(purpose)

    def loss(self, weights: Tensors, temperature: float = 1.0) -> Tensor:
        self.noted.add("loss")
        return self.scale * super().loss(weights, temperature)


class Noise(dict[str, Tensor]):
    """The noise of a context, which notes when it is looked at."""

    def __init__(self, noise: Tensors, noted: set[str]) -> None:
        super().__init__(noise)
        self.noted = noted

    def __getitem__(self, name: str) -> Tensor:
        self.noted.add("seed")
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self.noted.add("seed")
        return super().__iter__()

    def get(self, name: str, default: Any = None) -> Any:
        self.noted.add("seed")
        return super().get(name, default)

    def items(self) -> Any:
        self.noted.add("seed")
        return super().items()

    def values(self) -> Any:
        self.noted.add("seed")
        return super().values()


@dataclass(frozen=True)
class Subject:
    """The criterion `rule` under the name it was asked for by. `reference` holds results of official code, if given."""

    name: str
    rule: Criterion
    reference: Path | None = None

    @property
    def brief(self) -> Criterion:
        """The criterion with few rounds."""
        steps = getattr(self.rule, "steps", 1)
        return replace(self.rule, steps=FEW) if steps > FEW else self.rule  # type: ignore[call-arg]

    @property
    def scores_weights(self) -> bool:
        """Whether it gives scores; if not, its masks are compared in their stead."""
        return isinstance(self.rule, ScoreCriterion)

    @cached_property
    def random(self) -> bool:
        """Whether it draws on the cell's seed."""
        with self.session(CONVOLUTIONAL) as ctx:
            self.of(ctx)
            return ctx.drew

    def batches(self, specimen: Specimen, *, seed: int = 0) -> list[Batch]:
        """As many scoring batches as it asks for, none where it is data-free."""
        images = self.rule.examples_per_class
        return specimen.batches(images, self.rule.batch_count(), seed=seed) if images else []

    @contextmanager
    def session(
        self,
        specimen: Specimen,
        *,
        rule: Criterion | None = None,
        module: nn.Module | None = None,
        batches: Sequence[Batch] | None = None,
        dtype: torch.dtype = torch.float64,
        seed: int = 0,
        scale: float = 1.0,
    ) -> Iterator[Watched]:
        """A context as a study would give it, on a network of its own; SkippedError where the criterion declines."""
        rule = rule or self.brief
        # a Network scores float64 weights in float64: those that are to be scored in float32 come in float32
        module = (specimen.module() if module is None else module).to(dtype)
        network = Network(module, bn=rule.bn, dtype=dtype)

        def redraw(other: int) -> Tensors:
            drawn = Network(specimen.module(other).to(dtype), bn=rule.bn, dtype=dtype)
            return {**drawn.rest, **drawn.weights}

        sources = Sources(redraw=redraw, trained=lambda: specimen.trained(network))
        given = [(x.clone(), y.clone()) for x, y in (self.batches(specimen) if batches is None else batches)]
        with scoring_mode(network.device):
            plain = context(network, rule, given, seed=seed, input_shape=specimen.shape, sources=sources)
            values = {f.name: getattr(plain, f.name) for f in fields(plain)}
            noted: set[str] = set()
            ctx = Watched(**values | {"noise": Noise(plain.noise, noted)}, noted=noted, scale=scale)
            if reason := rule.declines(ctx):
                raise SkippedError(f"declines: {reason}")
            noted.clear()  # what it looks at in order to decline decides nothing
            ctx.generators.clear()
            yield ctx

    def result(self, specimen: Specimen, **changes: Any) -> Tensors:
        """Scores of the dense network, or masks at 90 % sparsity of a criterion without. `changes`: see `session`."""
        with self.session(specimen, **changes) as ctx:
            return self.of(ctx, changes.get("rule"))

    def masks(self, specimen: Specimen, density: float, **changes: Any) -> Tensors:
        """Masks (True = kept) as `prune` gives them."""
        with self.session(specimen, **changes) as ctx:
            return (changes.get("rule") or self.brief).prune(ctx, density)

    def masks_at(self, specimen: Specimen, densities: Sequence[float]) -> list[tuple[float, Tensors]]:
        """Masks at several densities; a one-shot criterion scores once for all of them, as in a study."""
        rule = self.brief
        with self.session(specimen) as ctx:
            if isinstance(rule, ScoreCriterion) and rule.steps == 1 and not _rounds_of_its_own(rule):
                scores = self.of(ctx)
                return [(d, rule.choose(scores, ctx.mask, d).masks) for d in densities]
            return [(d, rule.prune(ctx, d)) for d in densities]

    def of(self, ctx: ScoreContext, rule: Criterion | None = None) -> Tensors:
        """The same in a context."""
        rule = rule or self.brief
        if isinstance(rule, ScoreCriterion):
            return checked(rule.score(ctx), ctx.weights, rule.name)
        return {n: m.to(ctx.weights[n].dtype) for n, m in rule.prune(ctx, 0.1).items()}


def _rounds_of_its_own(rule: ScoreCriterion) -> bool:
    return type(rule).prune is not ScoreCriterion.prune or type(rule).rounds is not ScoreCriterion.rounds
