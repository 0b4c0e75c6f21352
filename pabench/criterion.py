"""The interface of a criterion: what it may look at, what it must give."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from pabench.cell import derive_seed
from pabench.errors import PluginError, SuiteError, did_you_mean
from pabench.parameters import NonNegativeInt, PositiveFloat, PositiveInt, create
from pabench.selection import Allocation, Schedule, Selection, Tensors, kept_count, round_densities, select

__all__ = [
    "Batch",
    "Criterion",
    "NonNegativeInt",
    "PositiveFloat",
    "PositiveInt",
    "Round",
    "ScoreContext",
    "ScoreCriterion",
    "Sources",
    "Tensors",
]

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Sources:
    """What few criteria ask for, and only a study can give.

    `redraw(seed)`: all tensors of the network at another initialization, in the dtype and on the device of scoring.
    `trained()`: prunable weights by name after training the dense network by the cell's recipe.
    """

    redraw: Callable[[int], Tensors] | None = None
    trained: Callable[[], Tensors] | None = None


@dataclass(frozen=True)
class ScoreContext:
    """All a criterion may look at: no optimizer, no test data, no trained weights.

    `weights` are the prunable weights at initialization by parameter name, in the order of the network; `mask` has
    their names and shapes, 1 kept and 0 pruned; `rest` holds all other parameters and buffers. `call(tensors, x)` is
    the network as a pure function: `tensors` are weights and rest together, `x` is (N, C, H, W), the logits (N, K).
    Buffers are never changed. `batches` are (x, y) pairs, class-balanced, empty for a data-free criterion. `noise` is
    U(0, 1) per weight from the cell's seed; it and `generator` are the only randomness allowed. `round` counts from 0.
    `sources` hold what few criteria ask for.
    """

    weights: Tensors
    mask: Tensors
    rest: Tensors
    call: Callable[[Tensors, Tensor], Tensor]
    batches: tuple[Batch, ...]
    input_shape: tuple[int, ...]
    noise: Tensors
    seed: int = 0
    round: int = 0
    sources: Sources = field(default_factory=lambda: Sources())

    def generator(self, purpose: str) -> torch.Generator:
        """A generator on the CPU that depends on the cell's seed, the round and the purpose, and on nothing else."""
        return torch.Generator().manual_seed(derive_seed(self.seed, purpose, self.round))

    def redrawn(self, purpose: str) -> Tensors:
        """All tensors of the network, weights and rest, at another initialization that depends on seed and purpose.

        A suite draws it by the network's own rules. Where those are not known (the library, with any module), each
        prunable weight is permuted within its tensor, a draw from its own empirical distribution; the rest stays.
        """
        if self.sources.redraw is not None:
            return self.sources.redraw(derive_seed(self.seed, purpose, self.round))
        generator = self.generator(purpose)
        shuffled = {
            n: w.flatten()[torch.randperm(w.numel(), generator=generator).to(w.device)].view_as(w)
            for n, w in self.weights.items()
        }
        return {**self.rest, **shuffled}

    def ones(self) -> Tensor:
        """An all-ones input (1, C, H, W) in the dtype of the weights; SuiteError where the shape is not known."""
        if not self.input_shape:
            raise SuiteError("the shape of the input is not known; give input_shape=(C, H, W)")
        return torch.ones(1, *self.input_shape).to(next(iter(self.weights.values())))

    @property
    def kept(self) -> Tensors:
        """m * w: the weights of the network as it is pruned so far."""
        return {n: w * self.mask[n] for n, w in self.weights.items()}

    def logits(self, weights: Tensors, x: Tensor) -> Tensor:
        """Outputs (N, K) of the network with these prunable weights and everything else as initialized."""
        return self.call({**self.rest, **weights}, x)

    def loss(self, weights: Tensors, temperature: float = 1.0) -> Tensor:
        """Cross-entropy of logits / temperature, the mean of each batch, summed over batches."""
        losses = [F.cross_entropy(self.logits(weights, x) / temperature, y) for x, y in self.batches]
        return sum(losses[1:], losses[0])


@dataclass(frozen=True, kw_only=True)
class Criterion(ABC):
    """A rule that decides which weights of an untrained network stay. Its fields are its parameters.

    `variants` name parameter sets that reproduce what public code does: `grasp@official`. Raise `version` with every
    change that can change a mask.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    paper: ClassVar[str] = ""
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    remedies: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Parameters that `pabench doctor` tries, one after another, where the scores of a network mean little."""

    bn: Literal["train", "eval"] = "eval"
    """BatchNorm while scoring: statistics of the batch (train) or the stored initial ones (eval)."""
    examples_per_class: NonNegativeInt = 0
    """Scoring images of each class, from training data; 0 for a data-free criterion."""
    batch_split: Literal["whole", "class-halves"] = "whole"
    """One forward pass over the scoring batch, or two: the lower half of the classes, then the upper."""

    def batch_count(self) -> int:
        """How many disjoint scoring batches of `examples_per_class` images of each class it looks at."""
        return 1

    def declines(self, ctx: ScoreContext) -> str:
        """Why the criterion is undefined on this network ("" where it is not); the cell is stored as skipped."""
        return ""

    def doubts(self, ctx: ScoreContext) -> str:
        """Why the scores mean little on this network ("" where they mean what they should); the cell is flagged."""
        return ""

    @abstractmethod
    def prune(self, ctx: ScoreContext, density: float) -> Tensors:
        """Masks (True = kept) with exactly N - floor((1 - density) N) ones."""

    @classmethod
    def create(cls, params: Mapping[str, Any], variant: str = "") -> Self:
        """An instance from a suite's parameters, on top of a variant's; SuiteError names what is wrong with them."""
        if variant and variant not in cls.variants:
            raise SuiteError(f"{cls.name} has no variant {variant!r}; {did_you_mean(variant, cls.variants)}")
        return create(cls, {**cls.variants.get(variant, {}), **params}, cls.name)


@dataclass(frozen=True)
class Round:
    """One round of pruning: the scores of the network as it was, and what was kept."""

    density: float
    scores: Tensors
    selection: Selection


@dataclass(frozen=True, kw_only=True)
class ScoreCriterion(Criterion):
    """A criterion given by a score per weight. Write `score`; counts, rounds, ties and allocations are done here."""

    regrows: ClassVar[bool] = False
    """Whether a pruned weight may return in a later round."""

    steps: PositiveInt = 1
    """Rounds of scoring and pruning."""
    schedule: Schedule = "exponential"
    """How the density falls over the rounds."""
    allocation: Allocation = "global"
    """One ranking of all weights, or a density per layer that the scores fill."""

    @abstractmethod
    def score(self, ctx: ScoreContext) -> Tensors:
        """A score for each weight of `ctx.weights`; the highest are kept. Pure: nothing in place, no own randomness."""

    def rounds(self, ctx: ScoreContext, density: float) -> Iterator[Round]:
        """Score and prune `steps` times; each round sees the network as the earlier ones left it."""
        for number, target in enumerate(round_densities(density, self.steps, self.schedule)):
            ctx = replace(ctx, round=number)
            scores = checked(self.score(ctx), ctx.weights, self.name)
            selection = self.choose(scores, ctx.mask, target)
            yield Round(target, scores, selection)
            ctx = replace(ctx, mask={n: m.to(ctx.mask[n].dtype) for n, m in selection.masks.items()})

    def choose(self, scores: Tensors, mask: Tensors, density: float) -> Selection:
        """The masks of one round, of exactly the asked count."""
        kept = kept_count(density, sum(s.numel() for s in scores.values()))
        return select(scores, kept, allocation=self.allocation, within=None if self.regrows else mask)

    def prune(self, ctx: ScoreContext, density: float) -> Tensors:
        *_, last = self.rounds(ctx, density)
        return last.selection.masks


def checked(scores: Tensors, weights: Tensors, name: str) -> Tensors:
    """Scores detached and in the order of the weights, or a PluginError that names the layer."""
    if not isinstance(scores, Mapping):
        raise PluginError(f"{name}: score() gave {type(scores).__name__}, expected a dict of tensors by weight name")
    if missing := [n for n in weights if n not in scores]:
        raise PluginError(f"{name}: no scores for {', '.join(missing[:3])} ({len(missing)} of {len(weights)} weights)")
    if extra := [str(n) for n in scores if n not in weights]:
        raise PluginError(f"{name}: scores for {', '.join(extra[:3])}, which are no prunable weights")
    for n, w in weights.items():
        if not isinstance(scores[n], Tensor) or scores[n].shape != w.shape:
            found = tuple(scores[n].shape) if isinstance(scores[n], Tensor) else type(scores[n]).__name__
            raise PluginError(f"{name}: {n}: scores are {found}, expected a tensor of shape {tuple(w.shape)}")
        if not scores[n].is_floating_point():
            raise PluginError(f"{name}: {n}: scores are {scores[n].dtype}, expected a floating-point type")
    return {n: scores[n].detach() for n in weights}


@cache
def source_digest(cls: type) -> str:
    """SHA-256 of the file that defines a class: part of every record, so that an edited criterion is another one.

    "" for a class that is in no file (typed into a notebook): the library takes it, a suite cannot name it.
    """
    try:
        with open(inspect.getfile(cls), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except (OSError, TypeError):
        return ""
