"""RigL: worked out by hand, its gradient against one of its own, and its schedule."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pabench.data.split import Images
from pabench.suite.specs import Recipe
from pabench.training.loop import Source, train
from pabench.training.sparse import Held, rigl as module
from pabench.training.sparse.rigl import Rigl

CPU = torch.device("cpu")


def test_the_smallest_weights_go_and_those_of_the_largest_gradient_come(small, step, kept):
    """alpha 1 at t = 2 of T_end = 6: 1/2 (1 + cos(pi / 3)) = 0.75, of two kept weights 1 (rounded down)."""
    held = small(Rigl(drop=1.0, every=2, until=0.75), {"w": [[3.0, 0.0, -1.0, 0.0]]}, {"w": [[1, 0, 1, 0]]})

    assert step(held, 2, {"w": [[9.0, -0.5, 0.1, 0.2]]}) is False

    assert kept(held) == {"w": [[1, 1, 0, 0]]}  # -1 goes, and of the gradients 0.5, 0.1, 0.2 the first is largest
    assert held.weights["w"].tolist() == [[3.0, 0.0, 0.0, 0.0]]  # what is new begins at 0, and nothing else moved


def test_what_was_dropped_may_come_back_at_once_and_is_what_it_was(small, step, kept):
    held = small(Rigl(drop=1.0, every=2, until=0.75), {"w": [3.0, 0.0, -1.0, 0.0]}, {"w": [1, 0, 1, 0]})

    step(held, 2, {"w": [9.0, -0.5, 0.7, 0.2]})

    assert kept(held) == {"w": [1, 0, 1, 0]}
    assert held.weights["w"].tolist() == [3.0, 0.0, -1.0, 0.0]


def test_what_is_new_has_no_momentum_and_what_stays_keeps_its_own(small, step):
    """Plain gradients 1 everywhere: momenta of 1 after a step, of pruned weights, too."""
    held = small(Rigl(drop=1.0, every=2, until=0.75), {"w": [3.0, 0.0, -1.0, 0.0]}, {"w": [1, 0, 1, 0]})
    assert step(held, 0, {"w": [1.0, 1.0, 1.0, 1.0]}) is True
    assert held.optimizer.state["0.0"].tolist() == [1.0, 1.0, 1.0, 1.0]

    step(held, 2, {"w": [0.0, 2.0, 0.0, 0.0]})

    assert held.optimizer.state["0.0"].tolist() == [1.0, 0.0, 1.0, 1.0]


def test_the_momenta_of_adam_are_forgotten_and_its_count_of_steps_is_not(small, step):
    recipe = Recipe(optimizer="adamw", lr=0.1, weight_decay=0.0)
    held = small(Rigl(drop=1.0, every=2, until=0.75), {"w": [3.0, 0.0, -1.0]}, {"w": [1, 0, 1]}, recipe=recipe)
    step(held, 0, {"w": [1.0, 1.0, 1.0]})

    step(held, 2, {"w": [0.0, 2.0, 0.0]})

    first, second, steps = (held.optimizer.state[f"0.{slot}"] for slot in range(3))
    assert first.tolist() == pytest.approx([0.1, 0.0, 0.1])
    assert second.tolist() == pytest.approx([0.001, 0.0, 0.001])
    assert steps.item() == 1.0


def test_masks_change_every_so_many_steps_after_the_first_and_before_the_end(small, step):
    held = small(Rigl(drop=0.5, every=3, until=0.75), {"w": [1.0] * 20}, {"w": [1] * 10 + [0] * 10}, steps=16)

    taken = [step(held, number, {"w": [0.0] * 10 + [1.0] * 10}) for number in range(16)]

    # T_end is step 12, which is not before the end
    assert [number for number in range(16) if not taken[number]] == [3, 6, 9]


@pytest.mark.parametrize(("number", "moved"), [(1, 499), (25, 375), (50, 125), (74, 0)])
def test_the_share_that_is_dropped_falls_along_half_a_cosine(small, step, number, moved):
    """Of 1000 kept weights, alpha 0.5 and T_end = 75 of 100 steps: 500 * (1 + cos(pi t / 75)) / 2, rounded down."""
    weights = {"w": torch.arange(1.0, 2001.0).tolist()}
    held = small(Rigl(drop=0.5, every=1, until=0.75), weights, {"w": [1] * 1000 + [0] * 1000}, steps=100)

    step(held, number, {"w": [0.0] * 1000 + torch.arange(1.0, 1001.0).tolist()})

    assert int(held.masks["w"][1000:].sum()) == moved
    assert int(held.masks["w"].sum()) == 1000


LAYERS = {"a": [4.0, 3.0, 0.0, 0.0], "b": [0.1, 0.2, 0.0, 0.0]}
MASKS = {"a": [1, 1, 0, 0], "b": [1, 1, 0, 0]}
GRADIENTS = {"a": [0.0, 0.0, 5.0, 6.0], "b": [0.0, 0.0, 0.1, 0.3]}


def test_layers_keep_their_densities_or_are_compared_with_one_another(small, step, kept):
    """A share of 0.75: of each layer 1 of 2; of both together 3 of 4."""
    alone = small(Rigl(drop=1.0, every=2), LAYERS, MASKS)
    step(alone, 2, GRADIENTS)
    assert kept(alone) == {"a": [1, 0, 0, 1], "b": [0, 1, 0, 1]}

    together = small(Rigl(drop=1.0, every=2, layers="free"), LAYERS, MASKS)
    step(together, 2, GRADIENTS)
    # 0.1, 0.2 and 3 go; 6, 5 and 0.3 come
    assert kept(together) == {"a": [1, 0, 1, 1], "b": [0, 0, 0, 1]}


def test_a_layer_without_a_gradient_grows_none_before_others(small, kept):
    held = small(Rigl(drop=1.0, every=2, layers="free"), LAYERS, MASKS)
    held.weights["a"].grad, held.weights["b"].grad = torch.tensor(GRADIENTS["a"]), None

    held.method.before(held, 2)

    assert kept(held)["a"] == [1, 1, 1, 1]  # 3 was dropped, and of gradients of 0 the first counts
    assert kept(held)["b"] == [0, 0, 0, 0]


def test_growth_looks_at_the_gradient_of_the_dense_network(monkeypatch):
    """By the mask's own gradient: that of a product of mask and weights, computed apart from the loop, in float64."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    masks = {n: torch.rand(net.get_parameter(n).shape) < 0.5 for n in ("1.weight", "3.weight")}
    pixels = torch.randint(0, 255, (8, 3, 2, 2), dtype=torch.uint8)
    source = Source(Images(pixels, torch.arange(8) % 2), (0.0,) * 3, (1.0,) * 3)
    seen = {}

    def exchange(held, group, dropped, attraction):
        (name,) = group.names
        seen[name] = attraction, {n: w.detach().clone() for n, w in held.weights.items()}, copy.deepcopy(net)

    monkeypatch.setattr(module, "exchange", exchange)
    monkeypatch.setattr("pabench.training.loop.loader", doubled)
    recipe = Recipe(epochs=4, batch_size=8, lr=0.1, precision="float32", channels_last=False)
    held = Held(Rigl(every=2, until=0.75), seed=0)

    train(net, masks, source, recipe, device=CPU, order_seed=0, augment_seed=0, sparse=held)

    assert set(seen) == {"1.weight", "3.weight"}
    for name, (attraction, weights, then) in seen.items():
        full = {n: torch.nn.init.uniform_(torch.empty_like(w)) for n, w in weights.items()}
        full = {n: torch.where(masks[n], weights[n], full[n]) for n in masks}
        other = {n: p.detach() for n, p in then.named_parameters() if n not in masks}
        # of the effective weights mask * full, by every one of them
        effective = {n: (masks[n] * full[n]).requires_grad_() for n in masks}
        x = pixels.double() / 255
        loss = F.cross_entropy(torch.func.functional_call(then, {**other, **effective}, (x,)), torch.arange(8) % 2)
        gradient = torch.autograd.grad(loss, effective[name])[0].abs().flatten()
        assert torch.allclose(attraction, gradient, rtol=1e-5, atol=1e-9)  # images are normalised in float32
        assert (gradient[~masks[name].flatten()] > 0).any()


def doubled(*args, **options):
    from pabench.data.dataset import loader

    return ((x.double(), y) for x, y in loader(*args, **options))
