"""What float32 moves: the kept weights that it chooses otherwise than float64, criterion by criterion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from pabench.errors import PabenchError
from pabench.networks import models
from pabench.networks.network import Network, Tensors, scoring_mode
from pabench.scoring.context import Batch, Sources
from pabench.scoring.criterion import Criterion, ScoreCriterion, checked, scores_once
from pabench.scoring.pruning import context
from pabench.suite.specs import ModelSpec

SPARSITIES = (0.8, 0.9, 0.95, 0.98, 0.99)
CLASSES, SHAPE = 10, (3, 32, 32)


@dataclass(frozen=True)
class Setting:
    """A network that is scored in both types: with so many noisy images of each class, and so many rounds at most.

    `confirming`: only criteria that say float32 are asked; one network is enough to refuse it.
    """

    model: str
    images: int
    rounds: int
    confirming: bool = False


SETTINGS = (
    Setting("resnet20", images=2, rounds=10),
    Setting("vgg16_cifar", images=1, rounds=1, confirming=True),
)
"""Few images and rounds, as float64 takes minutes on a network of 15 million weights. More rounds move more."""


def moved(rule: Criterion, setting: Setting) -> list[float] | str:
    """Of the weights that float64 keeps the share that float32 does not, at each of SPARSITIES.

    Weights, images and random draws are those of one seed, in float32 to begin with, so that both types score the same
    network. Where one of them has no masks it is named.
    """
    given: dict[str, Any] = {name: value for name, value in rule.quick.items() if name != "inner_steps"}
    if isinstance(rule, ScoreCriterion):
        given["steps"] = min(rule.steps, setting.rounds)
    if rule.examples_per_class:
        given["examples_per_class"] = setting.images
    rule = replace(rule, **given)
    found = []
    for dtype in (torch.float64, torch.float32):
        try:
            found.append(_masks(rule, setting, dtype))
        except PabenchError:  # declined, or scores that are no number
            return f"no masks in {str(dtype).removeprefix('torch.')}"
    return [_lost(one, other) for other, one in zip(*found, strict=True)]


def _masks(rule: Criterion, setting: Setting, dtype: torch.dtype) -> list[Tensors]:
    def network(seed: int) -> Network:
        return Network(models.build(ModelSpec(setting.model), CLASSES, SHAPE, seed), bn=rule.bn, dtype=dtype)

    def redraw(seed: int) -> Tensors:
        other = network(seed)
        return {**other.rest, **other.weights}

    own = network(0)
    sources = Sources(redraw=redraw, trained=lambda: dict(own.weights))
    with scoring_mode(own.device):
        ctx = context(own, rule, _batches(rule), seed=0, input_shape=SHAPE, sources=sources)
        if scores_once(rule):
            scores = checked(rule.score(ctx), ctx.weights, rule.name)
            return [rule.choose(scores, ctx.mask, 1 - s, ctx).masks for s in SPARSITIES]
        return [rule.prune(ctx, 1 - s) for s in SPARSITIES]


def _batches(rule: Criterion) -> list[Batch]:
    """Images of noise around a prototype for each class."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(CLASSES).repeat_interleave(rule.examples_per_class)
    prototypes = torch.randn(CLASSES, *SHAPE, generator=generator)
    count = rule.batch_count() if rule.examples_per_class else 0
    return [(prototypes[y] + torch.randn(len(y), *SHAPE, generator=generator), y) for _ in range(count)]


def _lost(single: Tensors, double: Tensors) -> float:
    kept = sum(int(m.sum()) for m in double.values())
    return sum(int((m & ~single[n]).sum()) for n, m in double.items()) / kept
