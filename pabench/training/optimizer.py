"""SGD and AdamW as a recipe has them, by the functions under `torch.optim`.

Its classes are not used: the first one that is made imports torch's compiler, which takes longer than many a short
training, in every process that trains.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from pabench.suite.specs import Recipe

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""torch's defaults, those of the paper of Adam (Kingma & Ba 2014, arXiv:1412.6980)."""


class Optimizer(ABC):
    """Moves all parameters by their gradients; one without a gradient stays as it is.

    `lr` is the learning rate of the next step. For steps that are `recorded` it is a tensor, in float32, as the fused
    kernels take it.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], recipe: Recipe, device: torch.device, *, recorded: bool
    ) -> None:
        self.lr: float | Tensor = torch.tensor(recipe.lr, device=device) if recorded else recipe.lr
        self._parameters = list(parameters)
        self._recipe = recipe
        self._capturable = recorded and device.type == "cuda"
        self._state: dict[Tensor, tuple[Tensor, ...]] = {}
        self._fused = True if device.type in ("cpu", "cuda") else None

    def forget(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        if moved := [p for p in self._parameters if p.grad is not None]:
            self._move([*moved], [p.grad for p in moved if p.grad is not None])

    @property
    def state(self) -> dict[str, Tensor]:
        """What it remembers of its steps, by the numbers of parameter and tensor; changed by the next step."""
        held = enumerate(self._state.get(p, ()) for p in self._parameters)
        return {f"{number}.{slot}": tensor for number, tensors in held for slot, tensor in enumerate(tensors)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`; its tensors are copied."""
        for number, parameter in enumerate(self._parameters):
            if f"{number}.0" in state:
                self._state[parameter] = self._fresh(parameter)
                for slot, tensor in enumerate(self._state[parameter]):
                    tensor.copy_(state[f"{number}.{slot}"])

    @torch.no_grad()
    def reset(self, parameter: Tensor, where: Tensor) -> None:
        """Forget what it remembers of the weights of a parameter that are true in a mask of its shape."""
        for tensor in self._state.get(parameter, ()):
            if tensor.shape == parameter.shape:  # not the count of steps
                tensor.masked_fill_(where, 0)

    @abstractmethod
    def _fresh(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """The state of a parameter that has not been moved."""

    @abstractmethod
    def _move(self, moved: list[Tensor], gradients: list[Tensor]) -> None: ...


class Sgd(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov's where the recipe says so."""

    def _fresh(self, parameter: Tensor) -> tuple[Tensor, ...]:
        return (torch.zeros_like(parameter),)

    def _move(self, moved: list[Tensor], gradients: list[Tensor]) -> None:
        momenta = [self._state[p][0] if p in self._state else None for p in moved]
        sgd(
            moved,
            gradients,
            momenta,  # filled in place
            fused=self._fused,
            weight_decay=self._recipe.weight_decay,
            momentum=self._recipe.momentum,
            lr=self.lr,
            dampening=0,
            nesterov=self._recipe.nesterov,
            maximize=False,
        )
        self._state.update({p: (m,) for p, m in zip(moved, momenta, strict=True) if m is not None})


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    def _fresh(self, parameter: Tensor) -> tuple[Tensor, ...]:
        steps = torch.zeros((), device=parameter.device if self._fused else None)
        return torch.zeros_like(parameter), torch.zeros_like(parameter), steps

    def _move(self, moved: list[Tensor], gradients: list[Tensor]) -> None:
        for p in moved:
            if p not in self._state:
                self._state[p] = self._fresh(p)
        first, second, steps = (list(of_all) for of_all in zip(*map(self._state.__getitem__, moved), strict=True))
        adamw(
            moved,
            gradients,
            first,
            second,
            [],
            steps,
            capturable=self._capturable,
            fused=self._fused,
            has_complex=any(map(torch.is_complex, moved)),
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.lr,
            weight_decay=self._recipe.weight_decay,
            eps=EPSILON,
            maximize=False,
        )


def build_optimizer(
    parameters: Iterable[nn.Parameter], recipe: Recipe, device: torch.device, *, recorded: bool = False
) -> Optimizer:
    """The recipe's own; weight decay is on all parameters, as the code of the papers has it."""
    return {"sgd": Sgd, "adamw": AdamW}[recipe.optimizer](parameters, recipe, device, recorded=recorded)
