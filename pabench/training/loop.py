"""Train and evaluate a masked network."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pabench.data import task
from pabench.data.dataset import loader, steps_per_epoch
from pabench.data.split import Images, Streamed
from pabench.errors import DivergedError
from pabench.networks.layout import overruns
from pabench.scoring.apply import multiplier, zero_pruned
from pabench.scoring.gradual import Gradual
from pabench.store.quality import R2, TOP1
from pabench.suite.specs import Recipe
from pabench.training import graphs
from pabench.training.checkpoint import Checkpoints, Snapshot, random_states, set_random_state
from pabench.training.optimizer import Optimizer, build_optimizer
from pabench.training.sparse import Held

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
    single image, and of infinite logits. Where targets are numbers the loss is the squared error, `r2` says how much
    of their variance it leaves (`store.quality`), no image is right, and there are no classes.
    """

    right: Tensor
    top5: float
    loss: float
    classes: int
    spread: float | None
    r2: float | None = None

    @property
    def top1(self) -> float:
        return 100 * int(self.right.sum()) / len(self.right)

    @property
    def numbers(self) -> dict[str, float]:
        """What a result holds of it: accuracies or R², and the loss."""
        of_task = {"top1": self.top1, "top5": self.top5} if self.r2 is None else {R2.name: self.r2}
        return {**of_task, "loss": self.loss}


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
    sparse: Held | None = None,
    checkpoints: Checkpoints | None = None,
    report: Report = lambda event: None,
) -> dict[str, list[float]]:
    """Train `model` in place; its pruned weights are 0 before the first step and exactly 0 after every one.

    With `dense_epochs` the masks take hold after so many epochs. Until then it is the training of the dense network, of
    which weights, momentum, learning rate and place in the data order stay as they are: rewinding without going back.
    With `gradual` the masks say which weights are pruned, and it says when: they stand at 1 and fall as it goes.
    With `sparse` a method acts before and after each step, and has the masks as they are at the end.
    It begins with the `first_epoch` of the recipe, its learning rate and its place in the data order, without momentum.
    With `checkpoints` it goes on from the newest, by the steps that it would have taken, and keeps some on its way.
    Returns one value an epoch: `loss` (mean over the augmented training images as they came), `top1` (percent, on the
    same; where targets are numbers `r2`), `lr` (at the epoch's end). DivergedError as soon as an epoch's loss is not
    finite; Interrupted: the process was asked to end, and a checkpoint is kept.
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
    if recipe.cuda_graphs and sparse and not declined:
        declined = f"{sparse.method.name} acts between and within steps"
    recording = recipe.cuda_graphs and not declined
    moved: Iterable[nn.Parameter] = model.parameters()
    if sparse:
        by_name = dict(zip(masks, kept, strict=True))
        sparse.begin({n: weights[n] for n in masks}, by_name, steps=recipe.epochs * steps, per_epoch=steps)
        moved = sparse.parameters(model)
    optimizer = build_optimizer(moved, recipe, device, recorded=recording)
    if sparse:
        sparse.optimizer = optimizer
    rate = _Rate(optimizer, lambda step: recipe.lr * lr_factor(recipe, first_epoch + step / steps))
    forward = torch.compile(model) if recipe.compile else model
    made: list[graphs.Recorded] = []
    with _uncounted(model, rate), checkpoints.listening() if checkpoints else nullcontext():
        variance = task.spread(split.labels) if task.is_regression(split.labels) else None
        course = _Course(model, optimizer, rate, checkpoints, first_epoch, variance, sparse)
        if course.resume():
            report({"stage": f"going on in epoch {course.epoch + 1}"})
        begin = course.epoch
        for epoch in range(begin, recipe.epochs):
            masked = pruned if epoch >= dense_epochs else []
            if masked and epoch == max(first_epoch, dense_epochs):
                zero_pruned(masked, kept)  # before the first step: what is pruned has no part in its gradient
            if epoch in (begin, dense_epochs):
                step: graphs.Step = partial(_step, forward, optimizer, masked, kept, recipe, device)
                if sparse:
                    step = partial(_sparse_step, forward, optimizer, sparse, rate, recipe, device)
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
                first_batch=course.step,
                channels_last=nhwc,
                workers=_readers(),
            )
            report({"epoch": epoch + 1, "epochs": recipe.epochs, **course.whole_epoch(batches, step)})
        course.keep()
    if recipe.cuda_graphs:
        declined = next((one.declined for one in made if one.declined), declined)
        report({"cuda_graphs": {"declined": declined} if declined else {"shapes": sum(one.recorded for one in made)}})
    return course.curve


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
    losses, answers = _backward(forward, optimizer, recipe, device, x, y)
    optimizer.step()
    if pruned:
        zero_pruned(pruned, kept)  # after the step: momentum and weight decay move pruned weights, too
    return losses, answers


def _sparse_step(
    forward: Callable[[Tensor], Tensor],
    optimizer: Optimizer,
    sparse: Held,
    rate: _Rate,
    recipe: Recipe,
    device: torch.device,
    x: Tensor,
    y: Tensor,
) -> tuple[Tensor, Tensor]:
    """The same with a method that has a say in it."""
    number = rate.steps - 1  # this step is counted already
    losses, answers = _backward(forward, optimizer, recipe, device, x, y)
    if sparse.method.before(sparse, number):
        optimizer.step()
        sparse.zero()
    sparse.method.after(sparse, number)
    return losses, answers


def _backward(
    forward: Callable[[Tensor], Tensor],
    optimizer: Optimizer,
    recipe: Recipe,
    device: torch.device,
    x: Tensor,
    y: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients of a batch; the sum of the losses of its images, and which of them the network got right."""
    with precision(recipe, device):
        logits = forward(x)
        loss = task.loss(logits, y, smoothing=recipe.label_smoothing)
    optimizer.forget()
    loss.backward()
    return loss.detach() * len(y), task.right(logits.detach(), y)


class _Course:
    """How far a training is: `step` steps into `epoch`, and the curve of the epochs before it.

    It looks between two steps whether a checkpoint is due, and takes up the newest one. `variance` is that of targets
    that are numbers: what the loss leaves of it is the quality of an epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        rate: _Rate,
        checkpoints: Checkpoints | None,
        epoch: int,
        variance: float | None,
        sparse: Held | None = None,
    ) -> None:
        self._sparse = sparse
        self._model, self._optimizer, self._rate, self._checkpoints = model, optimizer, rate, checkpoints
        self.epoch, self.step, self._variance = epoch, 0, variance
        self._quality = TOP1 if variance is None else R2
        self.curve: dict[str, list[float]] = {"loss": [], self._quality.name: [], "lr": []}
        # they stay on the device until the epoch ends: reading one would wait for it, adding one up is a launch more
        self._losses: list[Tensor] = []
        self._right: list[Tensor] = []

    def resume(self) -> bool:
        """Go on from the newest checkpoint; False where there is none."""
        found = self._checkpoints.newest() if self._checkpoints else None
        if found is None:
            return False
        held = self._weights()
        with torch.no_grad():
            for name, tensor in held.items():
                tensor.copy_(found.tensors[name])
        device = next(iter(held.values())).device
        self._optimizer.restore(_under("optimizer", found.tensors))
        if self._sparse:
            self._sparse.restore(_under("sparse", found.tensors))
        for kind, state in _under("random", found.tensors).items():
            set_random_state(kind, state, device)
        self._losses = list(found.tensors["losses"].to(device).unbind())
        self._right = [found.tensors["right"].to(device)]
        self.epoch, self.step, self._rate.steps = (found.numbers[what] for what in ("epoch", "step", "steps"))
        self.curve = dict(found.numbers["curve"])
        return True

    def keep(self) -> None:
        """Write a checkpoint if one is due. Interrupted: the process was asked to end, and it is written."""
        if self._checkpoints is None or not self._checkpoints.due(self._bytes):
            return
        began = time.monotonic()
        held = self._weights()
        device = next(iter(held.values())).device
        tensors = {
            **held,
            **{f"optimizer.{name}": tensor for name, tensor in self._optimizer.state.items()},
            **{f"sparse.{name}": tensor for name, tensor in (self._sparse.state if self._sparse else {}).items()},
            **{f"random.{kind}": state for kind, state in random_states(device).items()},
            "losses": torch.stack(self._losses) if self._losses else torch.empty(0),
            "right": torch.cat(self._right) if self._right else torch.empty(0, dtype=torch.bool),
        }
        numbers = {"epoch": self.epoch, "step": self.step, "steps": self._rate.steps, "curve": self.curve}
        self._checkpoints.write(Snapshot(self._rate.steps, tensors, numbers), began)

    def whole_epoch(self, batches: Iterable[tuple[Tensor, Tensor]], step: graphs.Step) -> dict[str, float]:
        """What is left of an epoch, whose mean loss and quality join the curve; both by their names."""
        for x, y in batches:
            self.keep()
            lr = self._rate.set()
            loss, answers = step(x, y)
            self._losses.append(loss)
            self._right.append(answers)
            self.step += 1
        given = torch.cat(self._right)
        mean = sum(torch.stack(self._losses).tolist()) / len(given)
        quality = 100 * float(given.sum()) / len(given) if self._variance is None else 1 - mean / self._variance
        if not math.isfinite(mean):
            last = self.curve["loss"][-1] if self.curve["loss"] else None
            raise DivergedError(f"the training loss is {mean} in epoch {self.epoch + 1}; last finite loss: {last}")
        told = {"loss": mean, self._quality.name: quality}
        for name, value in {**told, "lr": lr}.items():
            self.curve[name].append(value)
        self.epoch, self.step, self._losses, self._right = self.epoch + 1, 0, [], []
        return told

    @cached_property
    def _bytes(self) -> int:
        """What a checkpoint takes, about: weights, and a momentum or two of each."""
        return 3 * sum(tensor.nbytes for tensor in self._weights().values())

    def _weights(self) -> dict[str, Tensor]:
        """All tensors of the network by name: those that a `state_dict` leaves out, too."""
        named = (*self._model.named_parameters(), *self._model.named_buffers())
        return {f"network.{name}": tensor for name, tensor in named}


@torch.inference_mode()
def evaluate(model: nn.Module, source: Source, recipe: Recipe, *, device: torch.device) -> Evaluation:
    """Accuracy and loss on a whole split, without augmentation, in eval mode; the device is waited for at the end."""
    model.eval()
    numbers = task.is_regression(source.split.labels)
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
        if numbers:
            best = task.right(logits, y)[:, None]
        else:
            ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices
            best = ranked == y[:, None]
            given.append(torch.zeros_like(logits[0], dtype=torch.bool).index_fill_(0, ranked[:, 0], True))
        lowest.append(logits.amin(0))
        highest.append(logits.amax(0))
        hits.append(best)
        losses.append(task.loss(logits, y, reduction="sum"))
    n, best = len(source.split), torch.cat(hits).cpu()
    loss = sum(torch.stack(losses).tolist())
    if not math.isfinite(loss):
        raise DivergedError(f"the test loss is {loss / n} after the last epoch")
    classes = int(torch.stack(given).any(0).sum()) if given else 0
    spread = _spread(torch.stack(lowest).amin(0), torch.stack(highest).amax(0)) if n > 1 else None
    r2 = 1 - loss / n / task.spread(source.split.labels) if numbers else None
    return Evaluation(best[:, 0], 100 * int(best.any(1).sum()) / n, loss / n, classes, spread, r2)


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


def _under(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a part, by the rest of their names."""
    return {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}


def _readers() -> int:
    """Processes that read the files of a streamed split; images in memory need none."""
    return max(1, torch.get_num_threads())
