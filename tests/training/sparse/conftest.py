"""What the tests of sparse trainings share: one linear layer whose loss and gradient a human can work out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pabench.scoring.apply import multiplier
from pabench.suite.specs import Recipe
from pabench.training.optimizer import build_optimizer
from pabench.training.sparse import Held

CPU = torch.device("cpu")


@pytest.fixture
def small():
    """Held(weights by name, masks by name): no network, the gradients are given by hand."""

    def make(method, weights, masks, *, steps=8, per_epoch=2, seed=0, recipe=None):
        named = {name: nn.Parameter(torch.tensor(value)) for name, value in weights.items()}
        bits = {name: multiplier(torch.tensor(masks[name], dtype=torch.bool), w.detach()) for name, w in named.items()}
        held = Held(method, seed)
        held.begin(named, bits, steps=steps, per_epoch=per_epoch)
        moved = held.parameters(SimpleNamespace(named_parameters=lambda: named.items()))
        held.optimizer = build_optimizer(moved, recipe or Recipe(lr=0.1, momentum=0.9, weight_decay=0.0), CPU)
        return held

    return make


@pytest.fixture
def step():
    """One step of a method with gradients given by hand; whether the optimizer took it."""

    def take(held, number, gradients):
        held.optimizer.forget()
        for name, weight in held.weights.items():
            weight.grad = torch.tensor(gradients[name])
        taken = held.method.before(held, number)
        if taken:
            held.optimizer.step()
            held.zero()
        held.method.after(held, number)
        return taken

    return take


@pytest.fixture
def kept():
    return lambda held: {name: mask.tolist() for name, mask in held.masks.items()}
