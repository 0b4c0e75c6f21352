"""A criterion under examination: its scores and masks on specimens, and whether it drew on the cell's seed."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pabench.diagnostics.specimens import CONVOLUTIONAL, Specimen, after_training
from pabench.networks.network import Network, Tensors, scoring_mode
from pabench.scoring.context import Batch, ScoreContext, Sources
from pabench.scoring.criterion import Criterion, ScoreCriterion, checked
from pabench.scoring.pruning import SkippedError, context

_GLOBAL_SEEDS = count()
"""Another global random state in each context: a criterion that draws from it gives itself away."""
FEW = 3
"""Rounds of an iterative criterion in an examination: what holds for three holds for a hundred."""


class Noise(UserDict[str, Tensor]):
    """The noise of a context, which notes when a value is looked at: all ways to one lead through `__getitem__`."""

    def __init__(self, noise: Tensors, noted: set[str]) -> None:
        super().__init__(noise)
        self.noted = noted

    def __getitem__(self, name: str) -> Tensor:
        self.noted.add("seed")
        return super().__getitem__(name)

    def __or__(self, other: Any) -> Any:  # UserDict would make another Noise, and not know what to note in
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)


@dataclass(frozen=True)
class Watched(ScoreContext):
    """A context that notes when its randomness or its loss is asked for; the loss is `loss_scale` times as large."""

    noise: Tensors = field(default_factory=dict)  # watched, too
    noted: set[str] = field(default_factory=set)
    generators: list[torch.Generator] = field(default_factory=list)
    loss_scale: float = 1.0

    def generator(self, purpose: str) -> torch.Generator:
        generator = super().generator(purpose)
        self.generators.append(generator)
        return generator

    def redrawn(self, purpose: str) -> Tensors:
        self.noted.add("seed")
        return super().redrawn(purpose)

    def loss(self, weights: Tensors, temperature: float = 1.0) -> Tensor:
        self.noted.add("loss")
        return self.loss_scale * super().loss(weights, temperature)


@dataclass(frozen=True)
class Subject:
    """The criterion `rule` under the name it was asked for by. `reference` holds results of official code, if given."""

    name: str
    rule: Criterion
    reference: Path | None = None

    @property
    def score_rule(self) -> ScoreCriterion:
        """The rule, known to give scores; SkippedError where it gives masks only."""
        if not isinstance(self.rule, ScoreCriterion):
            raise SkippedError("gives masks and no scores")
        return self.rule

    @cached_property
    def random(self) -> bool:
        """Whether it draws on the cell's seed: noise, other weights, or a number of a generator."""
        with self.context(CONVOLUTIONAL) as ctx:
            self.result_in(ctx)
            return "seed" in ctx.noted or any(map(_was_used, ctx.generators))

    def batches(self, specimen: Specimen, *, seed: int = 0) -> list[Batch]:
        """As many scoring batches as it asks for, none where it is data-free."""
        images = self.rule.examples_per_class
        return specimen.batches(images, self.rule.batch_count(), seed=seed) if images else []

    @contextmanager
    def context(
        self,
        specimen: Specimen,
        *,
        module: nn.Module | None = None,
        batches: Sequence[Batch] | None = None,
        dtype: torch.dtype = torch.float64,
        seed: int = 0,
        loss_scale: float = 1.0,
    ) -> Iterator[Watched]:
        """A context as a study would give it, on a network of its own; SkippedError where the criterion declines."""
        bn = self.rule.bn
        network = specimen.network(bn, dtype) if module is None else Network(module, bn=bn, dtype=dtype)
        sources = Sources(
            redraw=lambda other: _all_tensors(specimen.network(bn, dtype, other)),
            trained=lambda: specimen.trained(bn, dtype) if module is None else after_training(network, specimen),
        )
        # clones: a criterion that writes to its images spoils no other check
        given = [(x.clone(), y.clone()) for x, y in (self.batches(specimen) if batches is None else batches)]
        with scoring_mode(network.device, next(_GLOBAL_SEEDS)):
            plain = context(network, self.rule, given, seed=seed, input_shape=specimen.shape, sources=sources)
            if reason := self.rule.declines(plain):  # not watched: what it looks at in order to decline decides nothing
                raise SkippedError(f"declines: {reason}")
            noted: set[str] = set()
            given_to_it = vars(plain) | {"noise": Noise(plain.noise, noted)}
            yield Watched(**given_to_it, noted=noted, loss_scale=loss_scale)

    def result(self, specimen: Specimen, **changes: Any) -> Tensors:
        """Scores of the dense network, or masks at 90 % sparsity of a criterion without. `changes`: see `context`."""
        with self.context(specimen, **changes) as ctx:
            return self.result_in(ctx)

    def result_in(self, ctx: ScoreContext) -> Tensors:
        """The same in a context."""
        if isinstance(self.rule, ScoreCriterion):
            return self.scores_in(ctx)
        return {n: m.to(ctx.weights[n].dtype) for n, m in self.rule.prune(ctx, 0.1).items()}

    def scores_in(self, ctx: ScoreContext) -> Tensors:
        """Scores in a context; SkippedError where the criterion gives masks only."""
        rule = self.score_rule
        return checked(rule.score(ctx), ctx.weights, rule.name)

    def masks(self, specimen: Specimen, density: float, **changes: Any) -> Tensors:
        """Masks (True = kept) as `prune` gives them."""
        with self.context(specimen, **changes) as ctx:
            return self.rule.prune(ctx, density)


def in_few_rounds(rule: Criterion) -> Criterion:
    """The criterion with no more rounds than an examination needs."""
    many = getattr(rule, "steps", 1) > FEW  # one that gives masks of its own may have rounds, too
    return replace(rule, steps=FEW) if many else rule  # type: ignore[call-arg]


def _all_tensors(network: Network) -> Tensors:
    return {**network.rest, **network.weights}


def _was_used(generator: torch.Generator) -> bool:
    fresh = torch.Generator().manual_seed(generator.initial_seed())
    return not torch.equal(generator.get_state(), fresh.get_state())
