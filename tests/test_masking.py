"""Pruned weights stay pruned, in anybody's training loop."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import pabench
from pabench.errors import SuiteError

OPTIMIZERS = {
    "sgd with momentum and weight decay": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "fused adamw": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.9),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1),
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    batch = (torch.randn(12, 1, 4, 4), torch.arange(12) % 3)
    return module, batch, pabench.prune(module, "magnitude", sparsity=0.8)


def revived(module, masks):
    return sum(int((module.get_parameter(n)[~m] != 0).sum()) for n, m in masks.items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_are_zero_after_every_step_of_any_optimizer(network, name):
    """Momentum built up before pruning revives weights where only gradients are masked."""
    module, (x, y), masks = network
    optimizer = OPTIMIZERS[name](module.parameters())

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    pabench.apply(module, masks)
    before = module[4].weight.clone()
    for _ in range(3):
        optimizer.step(closure)
        assert revived(module, masks) == 0
    assert not torch.equal(before, module[4].weight)  # the others go on learning


def test_pruned_weights_are_zero_under_autocast_and_loss_scaling(network):
    module, (x, y), masks = network
    pabench.apply(module, masks)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    scaler = torch.amp.GradScaler("cpu")

    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(module(x).float(), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        assert revived(module, masks) == 0


def test_a_loaded_state_is_pruned_again(network):
    """Resume: the state of a dense network, or one saved before, cannot bring weights back."""
    module, _, masks = network
    dense = copy.deepcopy(module.state_dict())
    pabench.apply(module, masks)

    module.load_state_dict(dense)

    assert revived(module, masks) == 0


def test_the_state_dict_keeps_its_names(network):
    module, _, masks = network
    names = list(module.state_dict())

    pabench.apply(module, masks)

    assert list(module.state_dict()) == names


def test_a_weight_set_by_hand_is_zero_in_the_next_forward_pass(network):
    module, (x, _), masks = network
    pabench.apply(module, masks)
    expected = module.eval()(x)

    module[4].weight.data[~masks["4.weight"]] = 100.0

    assert torch.equal(module(x), expected)


def test_a_deep_copy_stays_pruned_through_its_own_training(network):
    module, (x, y), masks = network
    twin = copy.deepcopy(pabench.apply(module, masks))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.1, weight_decay=0.1)

    nn.functional.cross_entropy(twin(x), y).backward()
    optimizer.step()

    assert revived(twin, masks) == 0


def test_two_forward_passes_before_one_backward_work(network):
    """Zeroing in the second pass must not look like a change to the weights that the first one saved."""
    module, (x, y), masks = network
    pabench.apply(module, masks)

    (nn.functional.cross_entropy(module(x), y) + nn.functional.cross_entropy(module(x), y)).backward()

    assert module[4].weight.grad.abs().sum() > 0


def test_applying_again_replaces_the_masks(network):
    module, _, masks = network
    pabench.apply(module, masks)
    fewer = {n: torch.zeros_like(m) for n, m in masks.items()}

    pabench.apply(module, fewer)

    assert revived(module, fewer) == 0
    assert len(module[4]._forward_pre_hooks) == 1


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"9.weight": torch.ones(1, dtype=torch.bool)}, "9.weight: the model has no prunable weight of this name"),
        ({"4.weight": torch.ones(2, 2, dtype=torch.bool)}, r"4.weight: mask is \(2, 2\), the weight is \(3, 16\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused_by_name(network, masks, message):
    with pytest.raises(SuiteError, match=message):
        pabench.apply(network[0], masks)
