"""The interface of a criterion: what it must give, and the rounds, counts and allocations that it inherits."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, TypeGuard

import torch
from torch import Tensor

from pabench.errors import PluginError, SuiteError, did_you_mean
from pabench.networks.flow import Flow
from pabench.networks.network import Tensors
from pabench.parameters import ADDED, NonNegativeFloat, NonNegativeInt, ParameterError, PositiveInt, create
from pabench.scoring.allocation import AS, Allocation
from pabench.scoring.context import ScoreContext
from pabench.scoring.flowing import flow_rounds
from pabench.scoring.gradual import Gradual
from pabench.scoring.pattern import Pattern, formed
from pabench.scoring.selection import Schedule, Scores, Selection, kept_count, round_densities, select

Precision = Literal["float32", "float64"]


@dataclass(frozen=True, kw_only=True)
class Criterion(ABC):
    """A rule that decides which weights of an untrained network stay. Its fields are its parameters.

    `variants` name parameter sets that reproduce what public code does: `grasp@official`. Raise `version` with every
    change that can change a mask.
    """

    kind: ClassVar[str] = "criteria"
    name: ClassVar[str]
    version: ClassVar[int] = 1
    paper: ClassVar[str] = ""
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    trains: ClassVar[bool] = False
    """Whether it looks at `ctx.trained()`: a study trains the dense network first, once for all sparsities."""
    reference_line: ClassVar[str] = ""
    """Why reports show it beside the criteria without ranking it; "" for a criterion that prunes at initialization."""
    precision: ClassVar[Precision] = "float64"
    """What scores are computed in where nobody says: float32 where it gives float64's masks (`docs/conformance.md`)."""
    first_order: ClassVar[bool] = False
    """Whether its scores are made of `ctx.gradient(ctx.kept)`: built-in criteria that score once, by the same images,
    take one gradient together."""
    second_order: ClassVar[bool] = False
    """Whether it derives gradients once more: second derivatives of convolutions are slower channels last on a CPU."""
    laws: ClassVar[tuple[str, ...]] = ()
    """What `pabench criteria test` checks besides what holds for all: `homogeneous` (scores of c L are those of L times
    a constant), `conservation` (the scores of every layer have one sum, and so have those into and out of a unit)."""
    exempt: ClassVar[Mapping[str, str]] = {}
    """Checks of `pabench criteria test` that the definition is at odds with, each with the reason."""
    remedies: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Parameters that `pabench doctor` tries, one after another, where the scores of a network mean little."""
    quick: ClassVar[Mapping[str, Any]] = {}
    """Parameters that `pabench doctor` looks with, unless they are given: cheaper, and 0 where the defaults give 0."""

    bn: Literal["train", "eval"] = "eval"
    """BatchNorm while scoring: statistics of the batch (train) or the stored initial ones (eval)."""
    examples_per_class: NonNegativeInt = 0
    """Scoring images of each class, from training data; 0 for a data-free criterion."""
    batch_split: Literal["whole", "class-halves"] = "whole"
    """One forward pass over the scoring batch, or two: the lower half of the classes, then the upper."""

    bn_warmup: NonNegativeFloat = field(default=0.0, metadata=ADDED)
    """Passes over the training images that update BatchNorm's stored statistics before scoring; in a study alone."""

    def __post_init__(self) -> None:
        if self.bn_warmup and (self.bn == "train" or not self.examples_per_class):
            why = "it is data-free" if not self.examples_per_class else "bn: train looks at no stored statistics"
            raise ParameterError(self.name, [("bn_warmup", f"{why}; expected 0, not {self.bn_warmup:g}")])
        if self.batch_split != "whole" and not self.examples_per_class:
            why = f"it is data-free; expected 'whole', not {self.batch_split!r}"
            raise ParameterError(self.name, [("batch_split", why)])

    def batch_count(self) -> int:
        """How many disjoint scoring batches of `examples_per_class` images of each class it looks at."""
        return 1

    def dense_epochs(self) -> int:
        """Epochs that the network trains unpruned before the masks take hold; 0 for pruning at initialization."""
        return 0

    def resumes_at(self) -> int | None:
        """The epoch of the recipe with which the trained network goes on under its masks, of a criterion that `trains`.

        Learning rate and data order are those of that epoch, the weights are the trained ones. None: training begins
        with the initial weights.
        """
        return None

    def gradual(self, density: float) -> Gradual | None:
        """How masks of this density come about in training, of a criterion that `trains`; None: they stand before it.

        `ctx.trained(density)` are then the weights after the block's network was trained and pruned in this way.
        """
        return None

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
    lowest: ClassVar[bool] = False
    """Whether the lowest scores are kept: never said by a class, only by the copy that `inverted` gives."""

    steps: PositiveInt = 1
    """Rounds of scoring and pruning."""
    schedule: Schedule = "exponential"
    """How the density falls over the rounds."""
    allocation: Allocation = "global"
    """One ranking of all weights, or a density per layer that the scores fill."""
    pattern: Pattern = field(default="", metadata=ADDED)
    """The form of a mask: `2:4` (at most two of four neighbouring inputs), or whole output `channels`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := self.pattern and _patternless(self):
            raise ParameterError(self.name, [("pattern", wrong)])

    @abstractmethod
    def score(self, ctx: ScoreContext) -> Tensors:
        """A score for each weight of `ctx.weights`; the highest are kept. Pure: nothing in place, no own randomness."""

    def quantity(self, ctx: ScoreContext) -> Tensor | None:
        """What the score speaks of as a function of `ctx.mask`, taken as real numbers; None: nothing. SNIP: the loss.

        A scalar, or several values (one an image, say). `pabench criteria test` moves single entries of the mask and
        compares the score with what `predicted` makes of the change.
        """
        return None

    def predicted(self, slope: Tensor, weight: Tensor) -> Tensor:
        """The score of one `weight` (scalar) whose entry of the mask changes the quantity by `slope` (its shape)."""
        return slope.abs()

    def rounds(self, ctx: ScoreContext, density: float) -> Iterator[Round]:
        """Score and prune `steps` times; each round sees the network as the earlier ones left it."""
        for number, target in enumerate(round_densities(density, self.steps, self.schedule)):
            ctx = replace(ctx, round=number)
            scores = checked(self.score(ctx), ctx.weights, self.name)
            selection = self.choose(scores, ctx.mask, target, ctx)
            yield Round(target, scores, selection)
            ctx = replace(ctx, mask={n: m.to(ctx.mask[n].dtype) for n, m in selection.masks.items()})

    def flow(self, ctx: ScoreContext) -> Flow | None:
        """The network as a flow whose products w * dR/dw are the scores, for many rounds; None: there is none."""
        return None

    def ends(self, ctx: ScoreContext, density: float) -> tuple[Scores, Selection]:
        """The scores of the first round and what the last one keeps; by the flow, where there is one, in less time."""
        if self.steps > 1 and _by_scores(self) and (flow := self.flow(ctx)):
            total = len(flow.weights)
            counts = [kept_count(d, total) for d in round_densities(density, self.steps, self.schedule)]
            if found := flow_rounds(flow.copy(), counts):
                return found
        rounds = self.rounds(ctx, density)
        first = last = next(rounds)
        for each in rounds:  # no list: each round holds the scores and masks of a whole network
            last = each
        return first.scores if isinstance(first.scores, Scores) else Scores(first.scores), last.selection

    def choose(self, scores: Tensors, mask: Tensors, density: float, ctx: ScoreContext | None = None) -> Selection:
        """The masks of one round, of exactly the asked count. Allocations that look further ask for the context."""
        kept = kept_count(density, sum(s.numel() for s in scores.values()))
        within = None if self.regrows else mask
        if self.pattern:
            return formed(self.pattern, scores, kept, within, self.lowest)
        weights, layers = (ctx.weights, ctx.sources.layers) if ctx else (None, None)
        taken = layers(self.allocation, density) if layers and self.allocation.startswith(AS) else None
        return select(
            scores, kept, allocation=self.allocation, within=within, lowest=self.lowest, weights=weights, layers=taken
        )

    def inverted(self) -> Self:
        """A copy that keeps the lowest scores instead of the highest, in every round: the ablation `invert`."""
        turned = copy.copy(self)
        object.__setattr__(turned, "lowest", True)  # no field: it is no parameter and enters no hash
        return turned

    def prune(self, ctx: ScoreContext, density: float) -> Tensors:
        return self.ends(ctx, density)[1].masks


def _by_scores(rule: ScoreCriterion) -> bool:
    """Whether its rounds are those of one ranking of what `score` says, and `flow` speaks of that very `score`."""
    own = {method: next(c for c in type(rule).__mro__ if method in vars(c)) for method in ("score", "flow")}
    plain = all(getattr(type(rule), m) is getattr(ScoreCriterion, m) for m in ("rounds", "choose"))
    ranked = rule.allocation == "global" and not rule.pattern and not rule.lowest
    return plain and issubclass(own["flow"], own["score"]) and ranked


def _patternless(rule: ScoreCriterion) -> str:
    """Why a criterion cannot have the pattern that it is given; "" where it can."""
    n, _, m = rule.pattern.partition(":")
    if m and int(n) > int(m):
        return f"{rule.pattern} keeps more than there are; expected n:m with n of at most m"
    if rule.allocation != "global":
        return f"{rule.pattern} goes with allocation: global, not {rule.allocation}"
    own = not ranks(rule) or type(rule).choose is not ScoreCriterion.choose
    return f"{rule.name} chooses weights in a way of its own" if own else ""


def ranks(rule: Criterion) -> TypeGuard[ScoreCriterion]:
    """Whether its masks are the highest of its scores, and not what a `prune` of its own makes of them."""
    return isinstance(rule, ScoreCriterion) and type(rule).prune is ScoreCriterion.prune


def scores_once(rule: Criterion) -> TypeGuard[ScoreCriterion]:
    """Whether one scoring of the dense network serves all densities."""
    return ranks(rule) and rule.steps == 1 and type(rule).rounds is ScoreCriterion.rounds


def checked(scores: Tensors, weights: Tensors, name: str) -> Scores:
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
        if scores[n].is_meta or scores[n].layout is not torch.strided:
            kind = "on the meta device and hold no values" if scores[n].is_meta else f"of layout {scores[n].layout}"
            raise PluginError(f"{name}: {n}: scores are {kind}, expected a dense tensor")
    return Scores({n: scores[n].detach() for n in weights})
