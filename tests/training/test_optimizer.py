"""Steps of the recipe's optimizer are those of torch's class of that name, bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pabench.suite.specs import Recipe
from pabench.training.optimizer import build_optimizer

CPU, STEPS = torch.device("cpu"), 4
RECIPES = {
    "plain": Recipe(lr=0.01, momentum=0.0, weight_decay=0.0),
    "momentum": Recipe(lr=0.01, momentum=0.9, weight_decay=1e-2),
    "nesterov": Recipe(lr=0.01, momentum=0.8, nesterov=True, weight_decay=5e-4),
    "adamw": Recipe(optimizer="adamw", lr=0.01, weight_decay=1e-2),
}


def torchs_own(module: nn.Module, recipe: Recipe, recorded: bool) -> torch.optim.Optimizer:
    lr = torch.tensor(0.01) if recorded else 0.01
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=recipe.weight_decay, fused=True)
    settings = {"momentum": recipe.momentum, "nesterov": recipe.nesterov, "weight_decay": recipe.weight_decay}
    return torch.optim.SGD(module.parameters(), lr=lr, **settings, fused=True)


def network() -> nn.Module:
    """Its last layer gets no gradient before the third step."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2), nn.Linear(2, 2)
    )


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", ["plain", "nesterov", "momentum", "adamw"])
def test_steps_are_those_of_torchs_class(name, recorded):
    """Where they are recorded, of its class with the learning rate in a tensor."""
    recipe, whole = RECIPES[name], name in ("plain", "adamw")  # torch's fused momentum wants all gradients at once
    wanted = network()
    found = copy.deepcopy(wanted)
    theirs, ours = (
        torchs_own(wanted, recipe, recorded),
        build_optimizer(found.parameters(), recipe, CPU, recorded=recorded),
    )
    for step in range(STEPS):
        x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        theirs.zero_grad()
        ours.forget()
        for module in (wanted, found):
            (module if whole and step > 1 else module[:5])(x).square().sum().backward()
        theirs.step()
        ours.step()

    assert all(
        torch.equal(a, b) for a, b in zip(wanted.state_dict().values(), found.state_dict().values(), strict=True)
    )
    assert not torch.equal(found[0].weight, network()[0].weight)


def test_a_forgotten_gradient_moves_nothing():
    module = nn.Linear(2, 1)
    optimizer = build_optimizer(module.parameters(), RECIPES["plain"], CPU)
    module(torch.ones(1, 2)).sum().backward()
    before = module.weight.clone()

    optimizer.forget()
    optimizer.step()

    assert torch.equal(module.weight, before)


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_what_is_reset_goes_on_as_if_it_had_never_moved(name):
    """Momenta of some weights are 0 and of others not; a parameter that never moved has nothing to forget."""
    module = nn.Linear(3, 1)
    optimizer = build_optimizer(module.parameters(), RECIPES[name], CPU)
    where = torch.tensor([[True, False, True]])
    optimizer.reset(module.weight, where)
    assert optimizer.state == {}
    module(torch.ones(2, 3)).sum().backward()
    optimizer.step()

    optimizer.reset(module.weight, where)

    state = optimizer.state
    assert (state["0.0"] == 0).tolist() == where.tolist()
    assert (state["1.0"] != 0).all()
    if name == "adamw":
        assert (state["0.1"] == 0).tolist() == where.tolist()
        assert state["0.2"] == 1  # steps are counted for the parameter as a whole
