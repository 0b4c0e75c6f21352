"""Is the outcome a function of the network, the images and the seed, and does nothing else change?"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from pabench.criterion import ScoreContext, ScoreCriterion
from pabench.law import Law, Outcome, inapplicable, judged, relative_error
from pabench.selection import Tensors
from pabench.specimen import CONVOLUTIONAL
from pabench.subject import Subject
from pabench.trace import State, changed, of_module, of_process, of_tensors, seed_process


def determinism(subject: Subject) -> Outcome:
    """Two runs under different global random states, bit for bit."""
    runs = []
    for number in (1, 2):
        seed_process(number)
        scores, masks = subject.result(CONVOLUTIONAL), subject.masks(CONVOLUTIONAL, 0.1)
        runs.append([*scores.values(), *masks.values()])
    different = sum(_different(a, b) for a, b in zip(*runs, strict=True))
    figure = f"{different} values differ"
    return judged(not different, figure, "its outcome depends on something besides network, images and seed")


def seed(subject: Subject) -> Outcome:
    """Another seed of the cell gives another mask if and only if noise or a number of a generator was drawn."""
    first, second = (subject.masks(CONVOLUTIONAL, 0.1, seed=number) for number in (0, 1))
    moved = sum(_different(first[n], second[n]) for n in first)
    figure = f"{moved} places of the mask differ"
    if subject.random:
        return judged(moved > 0, figure, "it draws on the seed, and its masks do not depend on it")
    return judged(not moved, figure, "its masks depend on the seed otherwise than by ctx.noise and ctx.generator")


def no_trace(subject: Subject) -> Outcome:
    """Model, its scored copy, images, masks, noise and the state of the process are as before scoring and pruning."""
    rule = subject.brief
    module = CONVOLUTIONAL.module().train()
    x, y = CONVOLUTIONAL.batches(2, 1, seed=3)[0]
    nn.functional.cross_entropy(module(x), y).backward()
    before = of_process()
    with subject.session(CONVOLUTIONAL, module=module) as ctx:
        before |= _held(ctx, module)
        rule.doubts(ctx)
        if isinstance(rule, ScoreCriterion):
            rule.score(ctx)
        rule.prune(ctx, 0.1)
        after = _held(ctx, module)
    touched = changed(before, {**after, **of_process()})
    return judged(not touched, f"{len(touched)} of {len(before)} parts changed", ", ".join(touched))


def dtype(subject: Subject) -> Outcome:
    """Scores come in the type of the network: float64 where it is scored in float64, float32 in float32."""
    if not subject.scores_weights:
        return inapplicable("gives masks and no scores")
    found = []
    for asked in (torch.float64, torch.float32):
        found += [s.dtype for s in subject.result(CONVOLUTIONAL, dtype=asked).values() if s.dtype != asked]
    figure = f"{len(found)} layers in another type"
    return judged(not found, figure, f"scores in {found[0] if found else ''}".replace("torch.", ""))


def data(subject: Subject) -> Outcome:
    """A data-free criterion gives the same whether there are images or not; another one sees what the images are."""
    if subject.rule.examples_per_class:
        first = subject.result(CONVOLUTIONAL)
        other = subject.result(CONVOLUTIONAL, batches=subject.batches(CONVOLUTIONAL, seed=1))
        error = relative_error(other, first)
        figure = f"other images move scores by {error:.0%}"
        return judged(error > 0, figure, "it asks for images and does not look at them")
    with subject.session(CONVOLUTIONAL) as ctx:
        without = subject.of(ctx)
    with subject.session(CONVOLUTIONAL) as ctx:
        beside = subject.of(replace(ctx, batches=tuple(CONVOLUTIONAL.batches(2, 1))))
    different = sum(_different(without[n], beside[n]) for n in without)
    return judged(not different, f"{different} values differ", "it looks at images without asking for them")


def _held(ctx: ScoreContext, module: nn.Module) -> State:
    """The state of the model, of the private copy behind `ctx.call`, and of all tensors of the context."""
    copied: nn.Module = ctx.call.__self__._module  # type: ignore[attr-defined]
    tensors: Tensors = {f"mask of {n}": m for n, m in ctx.mask.items()}
    tensors |= {f"noise of {n}": dict.__getitem__(ctx.noise, n) for n in ctx.weights}
    for i, (x, y) in enumerate(ctx.batches):
        tensors |= {f"images of batch {i}": x, f"labels of batch {i}": y}
    return {
        **{f"{part} of the model": value for part, value in of_module(module).items()},
        **{f"{part} while scoring": value for part, value in of_module(copied).items()},
        **of_tensors(tensors),
    }


def _different(a: Tensor, b: Tensor) -> int:
    return int(((a != b) & ~(a.isnan() & b.isnan())).sum())


LAWS = (
    Law("determinism", determinism),
    Law("seed", seed, compares=True),
    Law("no trace", no_trace),
    Law("dtype", dtype),
    Law("data", data, compares=True),
)
