"""Is the outcome a function of the network, the images and the seed, and does nothing else change?"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from pabench.diagnostics.laws.law import CheckOutcome, Law, judged, relative_error
from pabench.diagnostics.specimens import CONVOLUTIONAL
from pabench.diagnostics.subject import Subject
from pabench.diagnostics.trace import State, changed, of_module, of_process, of_tensors, seed_process
from pabench.networks.network import Tensors
from pabench.scoring.context import ScoreContext
from pabench.scoring.criterion import ScoreCriterion


def determinism(subject: Subject) -> CheckOutcome:
    """Two runs under different global random states, bit for bit."""
    seed_process(1)
    first = subject.result(CONVOLUTIONAL), subject.masks(CONVOLUTIONAL, 0.1)
    seed_process(2)
    second = subject.result(CONVOLUTIONAL), subject.masks(CONVOLUTIONAL, 0.1)
    different = sum(_different(a, b) for a, b in zip(first, second, strict=True))
    figure = f"{different} values differ"
    return judged(not different, figure, "its outcome depends on something besides network, images and seed")


def seed(subject: Subject) -> CheckOutcome:
    """Another seed of the cell gives another mask if and only if noise or a number of a generator was drawn."""
    first, second = (subject.masks(CONVOLUTIONAL, 0.1, seed=number) for number in (0, 1))
    moved = _different(first, second)
    figure = f"{moved} places of the mask differ"
    if subject.random:
        return judged(moved > 0, figure, "it draws on the seed, and its masks do not depend on it")
    return judged(not moved, figure, "its masks depend on the seed otherwise than by ctx.noise and ctx.generator")


def no_trace(subject: Subject) -> CheckOutcome:
    """Model, its scored copy, images, masks, noise and the state of the process are as before scoring and pruning."""
    rule = subject.rule
    module = CONVOLUTIONAL.module().train()
    x, y = CONVOLUTIONAL.batches(2, 1, seed=3)[0]
    nn.functional.cross_entropy(module(x), y).backward()  # gradients that a criterion could touch
    before = of_process()
    with subject.context(CONVOLUTIONAL, module=module) as ctx:
        before |= _held(ctx, module)
        rule.doubts(ctx)
        if isinstance(rule, ScoreCriterion):
            rule.score(ctx)
        # looked at here, too: what a score turns over, a second one in the same pruning may turn back
        touched = changed(_held(ctx, module), before)
        rule.prune(ctx, 0.1)
        after = _held(ctx, module)
    touched = list(dict.fromkeys([*touched, *changed(before, {**after, **of_process()})]))
    return judged(not touched, f"{len(touched)} of {len(before)} parts changed", ", ".join(touched))


def dtype(subject: Subject) -> CheckOutcome:
    """Scores come in the type of the network: float64 where it is scored in float64, float32 in float32."""
    wrong = []
    for wanted in (torch.float64, torch.float32):
        with subject.context(CONVOLUTIONAL, dtype=wanted) as ctx:
            wrong += [s.dtype for s in subject.scores_in(ctx).values() if s.dtype != wanted]
    reason = f"scores in {wrong[0]}".replace("torch.", "") if wrong else ""
    return judged(not wrong, f"{len(wrong)} layers in another type", reason)


def data(subject: Subject) -> CheckOutcome:
    """A data-free criterion gives the same whether there are images or not; another one sees what the images are."""
    if subject.rule.examples_per_class:
        first = subject.result(CONVOLUTIONAL)
        other = subject.result(CONVOLUTIONAL, batches=subject.batches(CONVOLUTIONAL, seed=1))
        error = relative_error(other, first)
        figure = f"other images move scores by {error:.0%}"
        return judged(error > 0, figure, "it asks for images and does not look at them")
    without = subject.result(CONVOLUTIONAL)
    with subject.context(CONVOLUTIONAL) as ctx:
        beside = subject.result_in(replace(ctx, batches=tuple(CONVOLUTIONAL.batches(2, 1))))
    different = _different(without, beside)
    return judged(not different, f"{different} values differ", "it looks at images without asking for them")


def _held(ctx: ScoreContext, module: nn.Module) -> State:
    """The state of the model, of the private copy behind `ctx.call`, and of all tensors of the context."""
    copied: nn.Module = ctx.call.__self__._module  # type: ignore[attr-defined]
    tensors: Tensors = {f"mask of {n}": m for n, m in ctx.mask.items()}
    tensors |= {f"noise of {n}": u for n, u in ctx.noise.items()}
    for i, (x, y) in enumerate(ctx.batches):
        tensors |= {f"images of batch {i}": x, f"labels of batch {i}": y}
    held = of_tensors(tensors)
    held |= {f"{part} of the model": value for part, value in of_module(module).items()}
    held |= {f"{part} while scoring": value for part, value in of_module(copied).items()}
    return held


def _different(a: Tensors, b: Tensors) -> int:
    """How many values differ; two that are not a number do not."""
    return sum(int(((a[n] != b[n]) & ~(a[n].isnan() & b[n].isnan())).sum()) for n in a)


LAWS = (Law(determinism), Law(seed, compares=True), Law(no_trace), Law(dtype), Law(data, compares=True))
