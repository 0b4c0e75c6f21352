"""Masks: what they say of themselves, packed bits on disk, and weights that stay pruned in anybody's training loop."""

from __future__ import annotations

import copy
import doctest

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import pabench
from pabench.errors import DataError, SuiteError
from pabench.scoring import masks as masking
from pabench.scoring.masks import pack, unpack

# --- As a dict with a receipt -----------------------------------------------------------------------------------------


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(masking) == (0, 1)


def test_masks_print_as_one_line_with_criterion_sparsity_count_and_flags():
    """48 of 48 scores are 0: the ranking means nothing, and of 5 weights kept none is in the second layer."""
    module = nn.Sequential(nn.Linear(8, 4, bias=False), nn.Linear(4, 4, bias=False))
    for layer in module:
        nn.init.zeros_(layer.weight)

    masks = pabench.prune(module, "magnitude", sparsity=0.9)

    assert repr(masks) == str(masks)
    assert str(masks) == "Masks(magnitude: sparsity 0.895833, 5 of 48 weights kept; degenerate; tied; collapsed)"


def test_masks_that_no_criterion_made_print_without_one_and_count_by_thousands():
    masks = pabench.shuffle({"w": torch.arange(10_000) < 2_500}, seed=0)

    assert str(masks) == "Masks(sparsity 0.75, 2,500 of 10,000 weights kept)"


def test_the_sparsity_is_that_of_the_masks_as_they_are():
    masks = pabench.prune(nn.Linear(5, 2), "magnitude", sparsity=0.55)
    assert masks.sparsity == pytest.approx(0.5) == masks.receipt["sparsity"]

    masks["weight"] = torch.zeros(2, 5, dtype=torch.bool)

    assert masks.sparsity == 1
    assert pabench.Masks({}, {}, []).sparsity == 0


# --- On disk ----------------------------------------------------------------------------------------------------------


def test_masks_come_back_as_they_were_with_their_receipt(tmp_path):
    module = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.Flatten(), nn.Linear(3, 5))
    masks = pabench.prune(module, "random", sparsity=0.5)

    masks.save(tmp_path / "masks.safetensors")
    loaded = pabench.Masks.load(tmp_path / "masks.safetensors")

    assert list(loaded) == ["0.weight", "2.weight"]
    assert all(torch.equal(loaded[n], masks[n]) and loaded[n].dtype == torch.bool for n in masks)
    assert loaded.receipt == masks.receipt
    assert loaded.flags == masks.flags == []


def test_eight_weights_take_one_byte(tmp_path):
    """27 + 15 weights: 4 + 2 bytes, readable by anybody's safetensors."""
    masks = {"a": torch.ones(3, 9, dtype=torch.bool), "b": torch.zeros(15, dtype=torch.bool)}

    (tmp_path / "m").write_bytes(pack(masks, {}))

    assert {n: t.numel() for n, t in load_file(tmp_path / "m").items()} == {"a": 4, "b": 2}


def test_equal_masks_give_equal_bytes():
    masks = {"a": torch.tensor([True, False, True])}

    assert pack(masks, {"b": 1, "a": 2}) == pack({"a": masks["a"].clone()}, {"a": 2, "b": 1})


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:20], lambda b: b"{}" * 50])
def test_a_damaged_file_is_an_error_and_not_a_mask(damage):
    whole = pack({"a": torch.ones(100, dtype=torch.bool)}, {})

    with pytest.raises(DataError):
        unpack(damage(whole))


# --- On live networks -------------------------------------------------------------------------------------------------


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
