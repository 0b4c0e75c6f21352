"""Train and evaluate a masked network."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from pabench.data.dataset import loader, steps_per_epoch
from pabench.data.split import Images, Streamed
from pabench.errors import DivergedError
from pabench.networks.layout import overruns
from pabench.scoring.apply import multiplier, zero_pruned
from pabench.scoring.gradual import Gradual
from pabench.suite.specs import Recipe
from pabench.training import graphs
from pabench.training.optimizer import Optimizer, build_optimizer

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Source:
    """A split and what turns its pixels into the network's input: mean and standard deviation of each channel."""

    split: Images | Streamed
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """Top-1 and top-5 accuracy in percent (top-5 of fewer than five classes is 100) and mean cross-entropy.

    `right`: which images top-1 counts, bool (N,) in the order of the split, on the CPU. `classes` are given to at least
    one image. `spread`: the most that a logit differs between two images, in parts of the largest logit; None of a
    single image, and of infinite logits.
    """

    right: Tensor
    top5: float
    loss: float
    classes: int
    spread: float | None

    @property
    def top1(self) -> float:
        return 100 * int(self.right.sum()) / len(self.right)


def train(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    source: Source,
    recipe: Recipe,
    *,
    device: torch.device,
    order_seed: int,
    augment_seed: int,
    dense_epochs: int = 0,
    first_epoch: int = 0,
    gradual: Gradual | None = None,
    report: Report = lambda event: None,
) -> dict[str, list[float]]:
    """Train `model` in place; its pruned weights are 0 before the first step and exactly 0 after every one.

    With `dense_epochs` the masks take hold after so many epochs. Until then it is the training of the dense network, of
    which weights, momentum, learning rate and place in the data order stay as they are: rewinding without going back.
    With `gradual` the masks say which weights are pruned, and it says when: they stand at 1 and fall as it goes.
    It begins with the `first_epoch` of the recipe, its learning rate and its place in the data order, without momentum.
    Returns one value an epoch: `loss` (mean over the augmented training images as they came), `top1` (percent, on the
    same), `lr` (at the epoch's end). DivergedError as soon as an epoch's loss is not finite.
    """
    nhwc = channels_last(model, recipe, device)
    # before the optimizer is built, which would go on with the tensors of another device
    model.to(device=device, memory_format=torch.channels_last if nhwc else torch.preserve_format)
    model.train()
    weights = dict(model.named_parameters())
    pruned = [weights[n] for n in masks]
    kept = [multiplier(torch.ones_like(m) if gradual else m, weights[n]) for n, m in masks.items()]
    split = source.split.to(device)
    steps = steps_per_epoch(len(split), recipe.batch_size)
    declined = graphs.declines(recipe, device) if recipe.cuda_graphs else ""
    recording = recipe.cuda_graphs and not declined
    optimizer = build_optimizer(model.parameters(), recipe, device, recorded=recording)
    rate = _Rate(optimizer, lambda step: recipe.lr * lr_factor(recipe, first_epoch + step / steps))
    forward = torch.compile(model) if recipe.compile else model
    curve: dict[str, list[float]] = {"loss": [], "top1": [], "lr": []}
    made: list[graphs.Recorded] = []
    with _uncounted(model, rate):
        for epoch in range(first_epoch, recipe.epochs):
            masked = pruned if epoch >= dense_epochs else []
            if masked and epoch == max(first_epoch, dense_epochs):
                zero_pruned(masked, kept)  # before the first step: what is pruned has no part in its gradient
            if epoch in (first_epoch, dense_epochs):
                step: graphs.Step = partial(_step, forward, optimizer, masked, kept, recipe, device)
                if recording:
                    step = graphs.Recorded(step)
                    made.append(step)
                if gradual:
                    step = _Pruning(gradual, step, rate, recipe.epochs * steps, {n: weights[n] for n in masks}, kept)
            batches = loader(
                split,
                batch_size=recipe.batch_size,
                mean=source.mean,
                std=source.std,
                device=device,
                order_seed=order_seed,
                augment=recipe.augment,
                augment_seed=augment_seed,
                epoch=epoch,
                channels_last=nhwc,
                workers=_readers(),
            )
            loss, top1, lr = _epoch(batches, step, rate)
            if not math.isfinite(loss):
                last = curve["loss"][-1] if curve["loss"] else None
                raise DivergedError(f"the training loss is {loss} in epoch {epoch + 1}; last finite loss: {last}")
            for name, value in (("loss", loss), ("top1", top1), ("lr", lr)):
                curve[name].append(value)
            report({"epoch": epoch + 1, "epochs": recipe.epochs, "loss": loss, "top1": top1})
    if recipe.cuda_graphs:
        declined = next((one.declined for one in made if one.declined), declined)
        report({"cuda_graphs": {"declined": declined} if declined else {"shapes": sum(one.recorded for one in made)}})
    return curve


@contextmanager
def _uncounted(model: nn.Module, rate: _Rate) -> Iterator[None]:
    """Inside, BatchNorm counts no batches; afterwards its counters have gone on by the steps that were made.

    Counting is a launch for each layer and step, and the number is read only where statistics are plain averages
    (momentum None): those layers go on counting.
    """
    counting = [
        (layer, layer.num_batches_tracked)
        for layer in model.modules()
        if isinstance(layer, _BatchNorm) and layer.momentum is not None and layer.num_batches_tracked is not None
    ]
    for layer, _ in counting:
        layer.num_batches_tracked = None
    try:
        yield
    finally:
        for layer, counted in counting:
            layer.num_batches_tracked = counted + rate.steps


class _Rate:
    """The learning rate of each step, by the number of `steps` that were made."""

    def __init__(self, optimizer: Optimizer, of: Callable[[int], float]) -> None:
        self._optimizer, self._of = optimizer, of
        self.steps = 0

    def set(self) -> float:
        """Give the next step its learning rate."""
        lr = self._of(self.steps)
        self.steps += 1
        if isinstance(self._optimizer.lr, Tensor):
            self._optimizer.lr.fill_(lr)
        else:
            self._optimizer.lr = lr
        return lr


class _Pruning:
    """A step before which weights are pruned, where its number says so; the `multipliers` are changed in place."""

    def __init__(
        self,
        gradual: Gradual,
        step: graphs.Step,
        rate: _Rate,
        total: int,
        weights: Mapping[str, Tensor],
        multipliers: Sequence[Tensor],
    ) -> None:
        self._gradual, self._step, self._rate, self._last = gradual, step, rate, max(1, total - 1)
        self._weights, self._multipliers = dict(weights), multipliers
        self._density = 1.0

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        density = self._gradual.at((self._rate.steps - 1) / self._last)  # this step is counted already
        if density != self._density:
            masks = self._gradual.masks(self._weights, density)
            for multiplied, (name, weight) in zip(self._multipliers, self._weights.items(), strict=True):
                multiplied.copy_(multiplier(masks[name], weight))
            zero_pruned(list(self._weights.values()), self._multipliers)
            self._density = density
        return self._step(x, y)


def _step(
    forward: Callable[[Tensor], Tensor],
    optimizer: Optimizer,
    pruned: Sequence[Tensor],
    kept: Sequence[Tensor],
    recipe: Recipe,
    device: torch.device,
    x: Tensor,
    y: Tensor,
) -> tuple[Tensor, Tensor]:
    """One step of the optimizer: the sum of the losses of its images, and which of them the network got right."""
    with precision(recipe, device):
        logits = forward(x)
        loss = F.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
    optimizer.forget()
    loss.backward()
    optimizer.step()
    if pruned:
        zero_pruned(pruned, kept)  # after the step: momentum and weight decay move pruned weights, too
    return loss.detach() * len(y), logits.detach().argmax(1) == y


def _epoch(batches: Iterable[tuple[Tensor, Tensor]], step: graphs.Step, rate: _Rate) -> tuple[float, float, float]:
    """One pass over the training images: mean loss, accuracy in percent, and the learning rate of the last step."""
    # they stay on the device until the epoch ends: reading one would wait for it, adding one up is a launch more
    losses: list[Tensor] = []
    right: list[Tensor] = []
    for x, y in batches:
        lr = rate.set()
        loss, answers = step(x, y)
        losses.append(loss)
        right.append(answers)
    given = torch.cat(right)
    return sum(torch.stack(losses).tolist()) / len(given), 100 * float(given.sum()) / len(given), lr


@torch.inference_mode()
def evaluate(model: nn.Module, source: Source, recipe: Recipe, *, device: torch.device) -> Evaluation:
    """Accuracy and loss on a whole split, without augmentation, in eval mode; the device is waited for at the end."""
    model.eval()
    given, lowest, highest, hits, losses = [], [], [], [], []
    for x, y in loader(
        source.split,
        # a GPU is filled by no fewer; a CPU's caches hold no more
        batch_size=max(recipe.batch_size, 1024 if device.type == "cuda" else 256),
        mean=source.mean,
        std=source.std,
        device=device,
        channels_last=channels_last(model, recipe, device),
        workers=_readers(),
    ):
        with precision(recipe, device):
            logits = model(x)
        logits = logits.float()
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices
        best = ranked == y[:, None]
        given.append(torch.zeros_like(logits[0], dtype=torch.bool).index_fill_(0, ranked[:, 0], True))
        lowest.append(logits.amin(0))
        highest.append(logits.amax(0))
        hits.append(best)
        losses.append(F.cross_entropy(logits, y, reduction="sum"))
    n, best = len(source.split), torch.cat(hits).cpu()
    loss = sum(torch.stack(losses).tolist())
    if not math.isfinite(loss):
        raise DivergedError(f"the test loss is {loss / n} after the last epoch")
    classes = int(torch.stack(given).any(0).sum())
    spread = _spread(torch.stack(lowest).amin(0), torch.stack(highest).amax(0)) if n > 1 else None
    return Evaluation(best[:, 0], 100 * int(best.any(1).sum()) / n, loss / n, classes, spread)


def _spread(lowest: Tensor, highest: Tensor) -> float | None:
    """The largest difference of a class's logits in parts of the largest logit; None where one is infinite."""
    largest = float(torch.maximum(highest.abs(), lowest.abs()).max())
    widest = float((highest - lowest).max())
    return (widest / largest if largest else 0.0) if math.isfinite(widest) and math.isfinite(largest) else None


def channels_last(model: nn.Module, recipe: Recipe, device: torch.device) -> bool:
    """Whether images and weights lie channels last: as the recipe says, but where a CPU would go beyond its buffers."""
    return recipe.channels_last and not (device.type == "cpu" and overruns(model))


def lr_factor(recipe: Recipe, epoch: float) -> float:
    """The learning rate at a moment (in epochs, fractions included) as a multiple of the recipe's.

    Linear warm-up from 0, then constant, divided at milestones, or one half cosine down to 0 at the last epoch.

    >>> [lr_factor(Recipe(epochs=4, schedule="step", milestones=(2, 3)), e) for e in (0, 1.9, 2, 3)]
    [1.0, 1.0, 0.1, 0.010000000000000002]
    >>> [round(lr_factor(Recipe(epochs=3, schedule="cosine", warmup=1), e), 3) for e in (0.5, 1, 2, 3)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if epoch < recipe.warmup:
        return epoch / recipe.warmup
    if recipe.schedule == "step":
        return recipe.gamma ** bisect_right(recipe.milestones, epoch)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (epoch - recipe.warmup) / (recipe.epochs - recipe.warmup)))
    return 1.0


def precision(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where the recipe says so; its range is that of float32, so no loss scaling is needed."""
    if recipe.precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def _readers() -> int:
    """Processes that read the files of a streamed split; images in memory need none."""
    return max(1, torch.get_num_threads())
