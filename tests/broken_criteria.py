"""A sound criterion, and what becomes of it when one thing is wrong: each class says which checks must notice."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch.func import grad
from torch.nn import functional as F

from pabench.parameters import PositiveInt
from pabench.scoring.criterion import Criterion, ScoreCriterion
from pabench.scoring.selection import kept_count


@dataclass(frozen=True, kw_only=True)
class Sound(ScoreCriterion):
    """SNIP without its size: w * dL/dw, signed, with all that can be declared of it."""

    name = "sound"
    laws = ("homogeneous",)
    caught_by: ClassVar[tuple[str, ...]] = ()
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10

    def score(self, ctx):
        w = ctx.kept
        g = grad(ctx.loss)(w)
        return {n: w[n] * g[n] for n in w}

    def quantity(self, ctx):
        return ctx.loss(ctx.kept)

    def predicted(self, slope, weight):
        return slope


class Undeclared(Sound):
    """The base of those whose quantity is none of the loss."""

    def quantity(self, ctx):
        return None


class SignReversed(Sound):
    caught_by = ("finite differences", "removal")

    def score(self, ctx):
        return {n: -s for n, s in super().score(ctx).items()}


class RawLogits(Sound):
    """NLL of logits that are no log-probabilities."""

    caught_by = ("finite differences", "removal")

    def score(self, ctx):
        w = ctx.kept
        g = grad(lambda v: sum(F.nll_loss(ctx.logits(v, x), y) for x, y in ctx.batches))(w)
        return {n: w[n] * g[n] for n in w}


class IgnoresTheMask(Sound):
    """Scores the dense network in every round."""

    caught_by = ("finite differences",)

    def score(self, ctx):
        return super().score(replace(ctx, mask={n: torch.ones_like(m) for n, m in ctx.mask.items()}))


class ClaimsConservation(Undeclared):
    caught_by = ("conservation",)
    laws = ("homogeneous", "conservation")

    def score(self, ctx):
        return {n: s.abs() for n, s in super().score(ctx).items()}


class GlobalTorchNoise(Undeclared):
    caught_by = ("determinism",)

    def score(self, ctx):
        return {n: s + torch.rand_like(s) for n, s in super().score(ctx).items()}


class GlobalNumpyNoise(Undeclared):
    caught_by = ("determinism",)

    def score(self, ctx):
        return {n: s * np.random.rand() for n, s in super().score(ctx).items()}


class OwnEntropy(Undeclared):
    caught_by = ("determinism",)

    def score(self, ctx):
        return {n: s * random.SystemRandom().random() for n, s in super().score(ctx).items()}


class OwnGeneratorFromTheSeed(Undeclared):
    caught_by = ("seed",)

    def score(self, ctx):
        factor = 1 + torch.rand((), generator=torch.Generator().manual_seed(ctx.seed), dtype=torch.float64)
        last = list(ctx.weights)[-1]
        return {n: s * factor.to(s) ** (9 * (n == last)) for n, s in super().score(ctx).items()}


class NoiseForNothing(Undeclared):
    caught_by = ("seed",)

    def score(self, ctx):
        return {n: s + 0 * ctx.noise[n].to(s) for n, s in super().score(ctx).items()}


class MutatesWeights(Undeclared):
    caught_by = ("no trace",)

    def score(self, ctx):
        scores = super().score(ctx)
        next(iter(ctx.weights.values())).mul_(0.5)
        return scores


class MutatesBuffers(Undeclared):
    caught_by = ("no trace",)

    def score(self, ctx):
        scores = super().score(ctx)
        for t in ctx.rest.values():
            t.mul_(2)
        return scores


class MutatesImages(Undeclared):
    caught_by = ("no trace",)

    def score(self, ctx):
        scores = super().score(ctx)
        ctx.batches[0][0].mul_(2)
        return scores


class LeavesTrainingMode(Undeclared):
    caught_by = ("no trace",)

    def score(self, ctx):
        scores = super().score(ctx)
        ctx.call.__self__._module.train(not ctx.call.__self__._module.training)
        return scores


class LeavesHooks(Undeclared):
    caught_by = ("no trace",)

    def score(self, ctx):
        ctx.call.__self__._module.register_forward_hook(lambda *_: None)
        return super().score(ctx)


class LeavesGradients(Undeclared):
    caught_by = ("no trace",)

    def score(self, ctx):
        scores = super().score(ctx)
        for p in ctx.call.__self__._module.parameters():
            p.requires_grad_(True)
            p.grad = torch.ones_like(p)
        return scores


class ChangesTheDefaultType(Undeclared):
    caught_by = ("no trace",)

    def score(self, ctx):
        scores = super().score(ctx)
        torch.set_default_dtype(torch.float64)
        return scores


class ChangesTheThreads(Undeclared):
    caught_by = ("no trace",)

    def doubts(self, ctx):
        torch.set_num_threads(2 if torch.get_num_threads() == 1 else 1)
        return ""


class HalfTheDigits(Undeclared):
    caught_by = ("dtype",)

    def score(self, ctx):
        return {n: s.float() for n, s in super().score(ctx).items()}


class LooksAtNoImage(Undeclared):
    caught_by = ("data",)
    laws = ()

    def score(self, ctx):
        return {n: w.abs() for n, w in ctx.kept.items()}


@dataclass(frozen=True, kw_only=True)
class PeeksAtImages(ScoreCriterion):
    name = "peeks"
    caught_by: ClassVar[tuple[str, ...]] = ("data",)

    def score(self, ctx):
        return {n: w.abs() + len(ctx.batches) * w for n, w in ctx.kept.items()}


@dataclass(frozen=True, kw_only=True)
class OneTooMany(Criterion):
    """Gives masks of its own, and a weight more than asked for."""

    name = "one-too-many"
    caught_by: ClassVar[tuple[str, ...]] = (
        *("exact count", "ties", "zeros"),
        *("without BatchNorm", "with BatchNorm", "residual and grouped", "vision transformer", "linear layer"),
        "not a number",
    )

    def prune(self, ctx, density):
        scores = torch.cat([w.abs().flatten() for w in ctx.weights.values()]).nan_to_num()
        keep = torch.zeros_like(scores, dtype=torch.bool)
        keep[scores.topk(min(len(scores), kept_count(density, len(scores)) + 1)).indices] = True
        parts = keep.split([w.numel() for w in ctx.weights.values()])
        return {n: part.view_as(w) for (n, w), part in zip(ctx.weights.items(), parts, strict=True)}


class Threshold(Undeclared):
    """`score >= threshold` keeps all that are tied with the last one."""

    caught_by = ("ties", "zeros", "infinities")

    def choose(self, scores, mask, density, ctx=None):
        chosen = super().choose(scores, mask, density)
        kept = [s[m] for s, m in zip(scores.values(), chosen.masks.values(), strict=True)]
        threshold = torch.cat(kept).min()
        return replace(chosen, masks={n: (s >= threshold) & mask[n].bool() for n, s in scores.items()})


class FiniteOnly(Undeclared):
    """Infinite scores do not count."""

    caught_by = ("infinities",)

    def choose(self, scores, mask, density, ctx=None):
        chosen = super().choose(scores, mask, density)
        return replace(chosen, masks={n: m & scores[n].isfinite() for n, m in chosen.masks.items()})


class Revives(Undeclared):
    """Every round chooses among all weights: a pruned one scores 0, more than a live one with a negative score."""

    caught_by = ("rounds",)

    def choose(self, scores, mask, density, ctx=None):
        return super().choose(scores, {n: torch.ones_like(m) for n, m in mask.items()}, density)


class OtherRankingByDensity(Undeclared):
    caught_by = ("nesting",)

    def choose(self, scores, mask, density, ctx=None):
        return super().choose({n: s if density > 0.3 else -s for n, s in scores.items()}, mask, density)


class FirstImagesOnly(Undeclared):
    caught_by = ("batch order", "batch splitting")

    def score(self, ctx):
        few = tuple((x[: len(y) // 3], y[: len(y) // 3]) for x, y in ctx.batches)
        return super().score(replace(ctx, batches=few))


class NotHomogeneous(Undeclared):
    caught_by = ("batch splitting", "loss scale")

    def score(self, ctx):
        return {n: s.abs() + ctx.weights[n].abs() * ctx.mask[n] for n, s in super().score(ctx).items()}


class FirstBatchOnly(Undeclared):
    """Right for one batch and wrong for two: the halves of a batch are a batch and a forgotten one."""

    caught_by = ("batch splitting",)

    def score(self, ctx):
        return super().score(replace(ctx, batches=ctx.batches[:1]))


class PositionMatters(Undeclared):
    caught_by = ("channels",)

    def score(self, ctx):
        scores = super().score(ctx)
        return {n: s * torch.linspace(1, 2, s.numel(), dtype=s.dtype).view_as(s) for n, s in scores.items()}


class NothingButConvolutions(Undeclared):
    """Sums over the kernel, and a vision transformer's linear layers have none."""

    caught_by = ("linear layer",)

    def score(self, ctx):
        if len(ctx.weights) == 1:
            raise IndexError("Dimension out of range")
        return super().score(ctx)


class NoAttention(Undeclared):
    """Not a number where there is attention."""

    caught_by = ("vision transformer",)

    def score(self, ctx):
        attention = any("qkv" in n for n in ctx.weights)
        return {n: s / (0 if attention else 1) * (0 if attention else 1) for n, s in super().score(ctx).items()}


class Standardised(Undeclared):
    """Divides by the spread of the labels: none where they are all of one class."""

    caught_by = ("single class",)

    def score(self, ctx):
        spread = torch.stack([y.double().std() for _, y in ctx.batches]).sum()
        return {n: s.abs() / spread.to(s) for n, s in super().score(ctx).items()}


class Inverted(Undeclared):
    """v / v^2, as public code inverts a ranking: 0 becomes NaN."""

    caught_by = ("exact count", "zeros", "rounds", "channels", "without BatchNorm")

    def score(self, ctx):
        return {n: s / s.square() for n, s in super().score(ctx).items()}


class HidesWhatIsNoNumber(Undeclared):
    caught_by = ("not a number",)

    def choose(self, scores, mask, density, ctx=None):
        return super().choose({n: s.nan_to_num() for n, s in scores.items()}, mask, density)


class Wordy(Undeclared):
    """Its error has many lines, and is none that a user can mend."""

    caught_by = ("not a number",)

    def choose(self, scores, mask, density, ctx=None):
        if any(s.isnan().any() for s in scores.values()):
            raise ValueError("see\nabove")
        return super().choose(scores, mask, density)


def every() -> list[type[Criterion]]:
    """The broken ones."""
    return [c for c in globals().values() if isinstance(c, type) and getattr(c, "caught_by", ())]
