"""The interface of a sparse training: what it does with a mask and the weights under it while a network learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from pabench.scoring.apply import zero_pruned
from pabench.training.optimizer import Optimizer


class Method(ABC):
    """A frozen dataclass whose fields are its parameters; what changes in a training is all in `Held`.

    `version` is raised by whoever changes what it does. `moves`: the mask
    ends elsewhere than it begins, and then it has a parameter `layers` (`moving.Layers`), as verification expects.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    version: ClassVar[int] = 1
    moves: ClassVar[bool]

    def begin(self, held: Held) -> None:
        """Before the first step, pruned weights being 0; put into `held.more` what is to be kept by checkpoints, and
        into `held.moved` what the optimizer is to move in place of a weight."""
        del held

    def before(self, held: Held, step: int) -> bool:
        """After the backward pass of a step, counted from 0, with gradients of all weights, pruned ones too; whether
        the optimizer is to take the step."""
        del held, step
        return True

    @abstractmethod
    def after(self, held: Held, step: int) -> None:
        """After the optimizer's step, pruned weights being 0 again."""


class Held:
    """One training by a method: `weights` and `masks` by name (1 kept, 0 pruned: `scoring.apply.multiplier`), both
    changed in place, on the device of the training.

    `seed` is for what the method draws. `kept` counts the weights of each layer that its mask keeps at the beginning;
    `steps` are those of the whole training, `per_epoch` those of an epoch.
    """

    weights: Mapping[str, nn.Parameter]
    masks: Mapping[str, Tensor]
    kept: Mapping[str, int]
    steps: int
    per_epoch: int
    optimizer: Optimizer

    def __init__(self, method: Method, seed: int) -> None:
        self.method, self.seed = method, seed
        self.more: dict[str, Tensor] = {}
        self.moved: dict[str, tuple[nn.Parameter, ...]] = {}

    def begin(
        self, weights: Mapping[str, nn.Parameter], masks: Mapping[str, Tensor], *, steps: int, per_epoch: int
    ) -> None:
        """Take up a network before its first step; pruned weights become 0."""
        self.weights, self.masks, self.steps, self.per_epoch = weights, masks, steps, per_epoch
        self.kept = {name: int(mask.sum()) for name, mask in masks.items()}
        self.zero()
        self.method.begin(self)

    def parameters(self, model: nn.Module) -> Iterable[nn.Parameter]:
        """What the optimizer moves: all parameters, or what stands in their place, in their order."""
        for name, parameter in model.named_parameters():
            yield from self.moved.get(name, (parameter,))

    def zero(self) -> None:
        """Set pruned weights to 0."""
        zero_pruned(list(self.weights.values()), list(self.masks.values()))

    @property
    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs besides weights and optimizer."""
        return {**{f"mask.{name}": mask for name, mask in self.masks.items()}, **self.more}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`; its tensors are copied."""
        for name, tensor in self.state.items():
            tensor.copy_(state[name])

    @property
    def final(self) -> dict[str, Tensor]:
        """The mask as it is now: bool, by name, on the CPU."""
        return {name: mask.bool().cpu() for name, mask in self.masks.items()}
