"""Masks of a network under a criterion, with a receipt that says how they came about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pabench.data.task import as_cross_entropy, is_regression
from pabench.errors import PluginError, SuiteError
from pabench.networks.network import Network, Tensors, scoring_mode
from pabench.networks.rewire import Rewired
from pabench.scoring import dense
from pabench.scoring.batch import on_network, takes_channels_last
from pabench.scoring.context import Batch, ScoreContext, Sources
from pabench.scoring.criterion import Criterion, ScoreCriterion, checked, ranks, scores_once
from pabench.scoring.gradients import Taken
from pabench.scoring.meter import clock
from pabench.scoring.parts import Given, Parted, Some
from pabench.scoring.pattern import CHANNELS, unfit
from pabench.scoring.receipt import Pruned, receipted
from pabench.scoring.selection import Scores, Selection, kept_count
from pabench.suite.ablations import INAPPLICABLE

MIXED = 1e-3
"""Outputs for one image, alone and beside another, differ by rounding: by far less, in parts of the largest output."""


class SkippedError(PluginError):
    """The criterion declines this network, with its reason."""

    kind = "declined"


class InapplicableError(SkippedError):
    """An ablation means nothing to this criterion, with its reason."""

    kind = INAPPLICABLE


def prune_all(
    network: Network,
    rule: Criterion,
    densities: Sequence[float],
    *,
    batches: Sequence[Given],
    seed: int,
    input_shape: Sequence[int],
    sources: Sources | None = None,
    invert: bool = False,
    at_once: int = 0,
    taken: Taken | None = None,
) -> list[Pruned]:
    """Masks at several densities; a one-shot criterion scores once for all of them.

    `at_once` as in `context`. `taken`: a gradient that criteria of one task share, or will.
    `invert` keeps the lowest scores; InapplicableError for a criterion that does not leave the choice to the engine.
    """
    rule = _inverted(rule) if invert else rule
    if wrong := next(filter(None, (misfit(rule, density) for density in densities)), ""):
        raise SkippedError(wrong)
    with scoring_mode(network.device, seed), by_task(batches):
        ctx = context(network, rule, batches, seed=seed, input_shape=input_shape, sources=sources, at_once=at_once)
        ctx = replace(ctx, taken=taken)
        refuse(rule, ctx)
        if wrong := _formless(rule, network, ctx):
            raise SkippedError(f"{rule.name}: {wrong}")
        doubts = rule.doubts(ctx)
        began = clock(network.device)
        shared = checked(rule.score(ctx), ctx.weights, rule.name) if scores_once(rule) else None
        scoring = clock(network.device) - began
        found = []
        for density in densities:
            began = clock(network.device)
            scores, selection = _selected(rule, ctx, density, shared)
            seconds = scoring + clock(network.device) - began
            found.append(receipted(rule, ctx, density, doubts, scores, selection, dense.told(network), seconds))
        return found


def context(
    network: Network,
    rule: Criterion,
    batches: Sequence[Given],
    *,
    seed: int,
    input_shape: Sequence[int],
    sources: Sources | None = None,
    at_once: int = 0,
) -> ScoreContext:
    """What `rule` may look at: the dense network, its batches in the network's dtype, noise from the seed.

    Where there are more images than `at_once`, they are taken in parts (`ScoreContext.parts`); 0: never.
    """
    if rule.examples_per_class and not batches:
        raise SuiteError(f"{rule.name} scores by data: give batch=(x, y)")
    if rule.batch_split == "class-halves" and _on_regression(batches):
        raise SkippedError(f"{rule.name} splits its batch by classes, and regression has none; use batch_split: whole")
    if rule.batch_split == "class-halves" and len(batches) == 1:
        batches = class_halves(batches[0])
    return ScoreContext(
        weights=dict(network.weights),
        mask={n: torch.ones_like(w) for n, w in network.weights.items()},
        rest=dict(network.rest),
        call=network.call,
        batches=_looked_at(network, rule, batches, at_once) if rule.examples_per_class else (),
        input_shape=tuple(input_shape),
        seed=seed,
        sources=sources or Sources(),
        buffers=network.buffers,
    )


def by_task(batches: Sequence[Given]) -> AbstractContextManager[Any]:
    """Within it cross-entropy that a criterion calls itself is the loss of the data, which may be the squared error."""
    return Rewired({"cross_entropy": as_cross_entropy}) if _on_regression(batches) else nullcontext()


def _on_regression(batches: Sequence[Given]) -> bool:
    return bool(batches) and is_regression(batches[0][1])


def _looked_at(network: Network, rule: Criterion, batches: Sequence[Given], at_once: int) -> Sequence[Batch]:
    """The batches on the network, or on their way to it a part at a time."""
    last = False if rule.second_order else None
    if not at_once or sum(len(y) for _, y in batches) <= at_once:
        return tuple(on_network(batch, network, channels_last=last) for batch in batches)
    if last is None:  # found out once, and not for each part
        x, y = batches[0]
        last = takes_channels_last(network, on_network((x[:2], y[:2]), network, channels_last=False)[0])
    if rule.bn == "eval":
        _refuse_mixing(network, on_network((batches[0][0][:2], batches[0][1][:2]), network, channels_last=last)[0])
    return Parted(tuple(batches), at_once, rule.bn == "train", partial(on_network, network=network, channels_last=last))


def _refuse_mixing(network: Network, two: Tensor) -> None:
    """SuiteError: what the network gives for an image depends on which others are beside it."""
    with scoring_mode(network.device), torch.no_grad():
        both, again, alone = (network.call({**network.rest, **network.weights}, x) for x in (two, two, two[:1]))
        random = not torch.equal(both, again)  # a dropout of its own draws for each call
        apart = (both[:1] - alone).abs().max() > MIXED * both.abs().max()
    if apart and not random:
        raise SuiteError(
            f"{network.name}: what it gives for an image depends on the others of its batch, and its parts would have "
            "other scores; leave out at_once (in a suite: scoring.batch)"
        )


def class_halves(batch: Given) -> list[Given]:
    """The batch in two: the images of the lower half of the classes present, then those of the upper half."""
    x, y = batch
    classes = y.unique()
    lower = torch.isin(y, classes[: len(classes) // 2])
    return [(Some(x, part.cpu().nonzero().flatten()), y[part]) for part in (lower, ~lower) if part.any()]


def gradient_norm(
    network: Network, batches: Sequence[Given], masks: Tensors | None = None, *, taken: Taken | None = None
) -> float | None:
    """Euclidean norm of dL/dw over the kept weights, at m * w: what GraSP means to preserve.

    L is the mean of the batches' losses; they are computed one after another. None where the norm is not finite.
    """
    ones = {n: torch.ones_like(w) for n, w in network.weights.items()}
    mask = {n: m.to(ones[n]) for n, m in masks.items()} if masks else ones
    total = {n: torch.zeros_like(w) for n, w in network.weights.items()}
    with scoring_mode(network.device):
        for batch in batches:
            images = on_network(batch, network)
            ctx = ScoreContext(network.weights, mask, network.rest, network.call, (images,), (), taken=taken)
            g = ctx.gradient(ctx.kept)
            total = {n: t + g[n] * mask[n] / len(batches) for n, t in total.items()}
    norm = float(torch.stack([t.square().sum() for t in total.values()]).sum().sqrt())
    return norm if math.isfinite(norm) else None


def _selected(
    rule: Criterion, ctx: ScoreContext, density: float, shared: Scores | None
) -> tuple[Scores | None, Selection]:
    """The scores of the dense network, which are the `shared` ones of a one-shot criterion, and what is kept."""
    if not ranks(rule):
        return None, _by_masks(rule, ctx, density)
    if shared is not None:
        return shared, rule.choose(shared, ctx.mask, density, ctx)
    return rule.ends(ctx, density)


def _by_masks(rule: Criterion, ctx: ScoreContext, density: float) -> Selection:
    masks = rule.prune(ctx, density)
    fits = isinstance(masks, Mapping) and list(masks) == list(ctx.weights)
    if not fits or any(masks[n].shape != w.shape or masks[n].dtype != torch.bool for n, w in ctx.weights.items()):
        raise PluginError(f"{rule.name}: prune() must give a bool mask of the weight's shape for each prunable weight")
    kept, asked = sum(int(m.sum()) for m in masks.values()), kept_count(density, sum(m.numel() for m in masks.values()))
    if kept != asked:
        raise PluginError(f"{rule.name}: {kept} weights kept where {asked} were asked for")
    return Selection(dict(masks), 0, 0)


def _inverted(rule: Criterion) -> Criterion:
    if not ranks(rule):
        raise InapplicableError(f"{rule.name} gives masks and no scores: there is no ranking to invert")
    if type(rule).choose is not ScoreCriterion.choose:
        raise InapplicableError(f"{rule.name} chooses weights in a way of its own: there is no ranking to invert")
    return rule.inverted()


def misfit(rule: Criterion, density: float) -> str:
    """Why a criterion has no mask of this density, whatever the network; "" where it has."""
    return (
        f"{rule.name}: {wrong}" if isinstance(rule, ScoreCriterion) and (wrong := unfit(rule.pattern, density)) else ""
    )


def _formless(rule: Criterion, network: Network, ctx: ScoreContext) -> str:
    """Why the masks of a network cannot have the form that a criterion's `pattern` asks for; "" where they can."""
    pattern = rule.pattern if isinstance(rule, ScoreCriterion) else ""
    if pattern and network.transposed:
        what = f"{network.transposed[0]} of a transposed convolution has them the other way round"
        return f"pattern {pattern} goes by outputs and inputs, and {what}"
    if pattern == CHANNELS and ctx.input_shape:
        *_, (last, weight) = ctx.weights.items()
        with torch.no_grad():  # two inputs: BatchNorm in train mode refuses a single one
            outputs = ctx.logits(ctx.kept, ctx.ones().expand(2, *ctx.input_shape)).shape[1:].numel()
        if outputs % len(weight):
            return (
                f"pattern {pattern} takes the layer that was made last for that of the classes, and {last} has "
                f"{len(weight)} channels where the network has {outputs} outputs; make the classifier last"
            )
    return ""


def refuse(rule: Criterion, ctx: ScoreContext) -> None:
    if reason := rule.declines(ctx):
        raise SkippedError(f"{rule.name} declines this network: {reason}")
