"""Sign-In: each weight is a product of two, which lets its sign flip (Gadhikar et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pabench.parameters import PositiveFloat, PositiveInt
from pabench.scoring.apply import zero_pruned
from pabench.training.sparse.method import Held, Method


@dataclass(frozen=True, kw_only=True)
class SignIn(Method):
    """A weight w is m * v with m^2 - v^2 = beta; the optimizer moves m and v, and the mask stays.

    Gradient descent then moves w as if its learning rate were m^2 + v^2 = sqrt(beta^2 + 4 w^2), which is `beta` where
    w crosses 0. Gradient flow keeps m^2 - v^2; weight decay and steps of finite length do not, so that every `every`
    epochs m and v are set anew for the same product. Weight decay, momentum and learning rate of the recipe are those
    of m and v. The mask is on v.

    The idea, the product and its invariant are the paper's (arXiv:2504.12801). Its text could be read here in part
    alone and it has no public code: `beta: 1` and `every: 1` are not known to be its constants, and are parameters.
    """

    name = "signin"
    paper = "arXiv:2504.12801"
    moves = False
    beta: PositiveFloat = 1.0
    every: PositiveInt = 1

    def begin(self, held: Held) -> None:
        for name, weight in held.weights.items():
            m, v = map(nn.Parameter, factors(weight.detach(), self.beta))
            held.moved[name] = m, v
            held.more |= {f"m.{name}": m, f"v.{name}": v}

    def before(self, held: Held, step: int) -> bool:
        del step
        for name, weight in held.weights.items():
            gradient, weight.grad = weight.grad, None  # the optimizer drops those of m and v alone
            if gradient is not None:
                m, v = held.moved[name]
                m.grad, v.grad = gradient * v.detach(), gradient * m.detach()
        return True

    @torch.no_grad()
    def after(self, held: Held, step: int) -> None:
        zero_pruned([held.moved[name][1] for name in held.weights], list(held.masks.values()))
        again = (step + 1) % (self.every * held.per_epoch) == 0
        for name, weight in held.weights.items():
            m, v = held.moved[name]
            weight.copy_(m * v)
            if again:
                for factor, new in zip((m, v), factors(weight, self.beta), strict=True):
                    factor.copy_(new)
        held.zero()  # a product with 0 may be -0


def factors(w: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """m > 0 and v with m * v = w and m^2 - v^2 = beta.

    >>> [round(float(factor), 4) for factor in factors(torch.tensor(-6.0), 5.0)]
    [3.0, -2.0]
    """
    m = (((beta**2 + 4 * w**2).sqrt() + beta) / 2).sqrt()
    return m, w / m
