"""The same function with fewer channels, at initialization and after training, and the way back."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from pabench.errors import DeclinedError
from pabench.networks.compact import compacted
from pabench.networks.compact.dead import dead_units
from pabench.networks.network import prunable_weights

from .random_network import RandomNetwork, random_masks

OPTIMIZERS = [
    lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=1e-2),
    lambda weights: torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=1e-2, nesterov=True),
    # a bias before BatchNorm has rounding for a gradient, which AdamW divides by its size: eps leaves it what it is
    lambda weights: torch.optim.AdamW(weights, lr=1e-2, weight_decay=0.1, eps=1e-3),
]


def trained(module, masks, optimizer, shape=(3, 8, 8), steps=6):
    """Losses of masked training on random images, and what the network gives for others in eval mode."""
    g = torch.Generator().manual_seed(1)
    weights = dict(module.named_parameters())

    def zero():
        with torch.no_grad():
            for name, mask in masks.items():
                weights[name] *= mask

    zero()
    stepping, losses = optimizer(module.train().parameters()), []
    for _ in range(steps):
        x, y = torch.randn(6, *shape, dtype=torch.float64, generator=g), torch.randint(5, (6,), generator=g)
        loss = F.cross_entropy(module(x), y, label_smoothing=0.1)
        stepping.zero_grad()
        loss.backward()
        stepping.step()
        zero()
        losses.append(loss.item())
    with torch.no_grad():
        return torch.tensor(losses, dtype=torch.float64), module.eval()(
            torch.randn(4, *shape, dtype=torch.float64, generator=g)
        )


def same(one, other):
    return bool(((one - other).abs() <= 1e-12 * (1 + one.abs().max())).all())


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_train_to_the_same_numbers(seed):
    """Losses of six steps, outputs in eval mode after them, and those of the full network with the weights put back."""
    module = RandomNetwork(seed)
    masks = random_masks(module, seed)
    small = compacted(module, masks, (3, 8, 8))
    optimizer = OPTIMIZERS[seed % len(OPTIMIZERS)]
    whole = copy.deepcopy(module)

    losses, outputs = trained(whole, masks, optimizer)
    found, given = trained(small.module, small.masks, optimizer)

    assert sum(p.numel() for p in small.module.parameters()) < sum(p.numel() for p in module.parameters())
    assert same(losses, found)
    assert same(outputs, given)
    small.restore(module)
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert same(module.eval()(x), whole(x))


def chain():
    """2 -> 4 -> 4 -> 3 channels; unit 1 of the first layer has no input, unit 2 of the second no user."""
    module = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
    )
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in module.named_parameters() if p.dim() > 1}
    masks["0.weight"][1] = False
    masks["8.weight"][:, 8:12] = False
    return module, masks


def test_all_tensors_of_a_dead_channel_shrink_and_layers_know_their_sizes():
    module, masks = chain()

    small = compacted(module, masks, (2, 6, 6))

    assert {n: tuple(t.shape) for n, t in small.module.state_dict().items()} == {
        **{"0.weight": (3, 2, 3, 3), "3.weight": (3, 3, 3, 3), "8.weight": (3, 12), "8.bias": (3,)},
        **{f"{i}.{name}": (3,) for i in (1, 4) for name in ("weight", "bias", "running_mean", "running_var")},
        **{f"{i}.num_batches_tracked": () for i in (1, 4)},
    }
    first, norm, linear = small.module[0], small.module[1], small.module[8]
    assert (first.in_channels, first.out_channels, norm.num_features, linear.in_features) == (2, 3, 3, 12)
    assert torch.equal(small.module[3].weight, module[3].weight[[0, 1, 3]][:, [0, 2, 3]])
    assert small.masks["8.weight"].shape == (3, 12)
    assert small.masks["8.weight"].all()
    assert small.layers(module)["0.weight"] == [[4, 2, 3, 3], [3, 2, 3, 3]]


def test_a_frozen_network_is_compacted_too():
    module, masks = chain()

    small = compacted(module.requires_grad_(False), masks, (2, 6, 6))

    assert small.module[0].weight.shape == (3, 2, 3, 3)
    assert not any(p.requires_grad for p in small.module.parameters())


def test_a_network_that_lies_channels_last_is_compacted_and_stays_as_it_was():
    """Looking at it in train mode moves the statistics of a copy."""
    module, masks = chain()
    module = module.to(memory_format=torch.channels_last)
    before = copy.deepcopy(module.state_dict())

    small = compacted(module, masks, (2, 6, 6)).module

    assert small[3].weight.shape == (3, 3, 3, 3)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert torch.equal(small[4].running_mean, torch.zeros(3))


@pytest.mark.parametrize(
    ("tensor", "value", "what"),
    [
        ("1.running_mean", -5.0, "its outputs in eval mode would be others"),
        ("1.bias", 5.0, "its outputs in train mode would be others"),
        ("1.bias", 1e-13, "its gradients in train mode would be others"),  # it is trained: its ReLU is open
    ],
)
def test_a_channel_that_only_seems_to_be_without_use_is_found_out(monkeypatch, tensor, value, what):
    """Channel 1 would be 0 if this were 0, as what looks for dead channels is made to believe."""
    module, masks = chain()
    module = module.double()
    module.state_dict()[tensor][1] = value

    def misled(trace, masks, tensors):
        return dead_units(trace, masks, tensors | {tensor: torch.zeros_like(tensors[tensor])})

    assert compacted(module, masks, (2, 6, 6)).module[0].out_channels == 4
    monkeypatch.setattr("pabench.networks.compact.compact.dead_units", misled)
    with pytest.raises(DeclinedError, match=what):
        compacted(module, masks, (2, 6, 6))


def test_the_way_back_leaves_what_was_removed_as_it_was():
    module, masks = chain()
    before = copy.deepcopy(module.state_dict())
    small = compacted(module, masks, (2, 6, 6))
    with torch.no_grad():
        for t in small.module.state_dict().values():
            t.fill_(7)

    small.restore(module.to(memory_format=torch.channels_last))

    after = module.state_dict()
    assert int(after["1.num_batches_tracked"]) == 7
    for name, kept in (("1.running_var", [0, 2, 3]), ("4.bias", [0, 1, 3])):
        (gone,) = {0, 1, 2, 3} - set(kept)
        assert (after[name][kept] == 7).all()
        assert after[name][gone] == before[name][gone]
    assert (after["3.weight"] == 7).sum() == 3 * 3 * 9
    assert torch.equal(after["3.weight"][:, 1], before["3.weight"][:, 1])


def test_a_network_without_any_path_keeps_one_channel_a_layer():
    module, masks = chain()
    masks["3.weight"][:] = False

    small = compacted(module, masks, (2, 6, 6)).module

    assert [tuple(small[i].weight.shape) for i in (0, 3, 8)] == [(1, 2, 3, 3), (1, 1, 3, 3), (3, 4)]


def test_groups_that_are_left_keep_as_many_channels_each():
    """Of two groups of 4, one has 1 live input and the other 3: both keep 3. Of 8 depthwise channels 2 are dead."""
    module = nn.Sequential(
        *(nn.Conv2d(2, 8, 1, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 1, groups=2, bias=False), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, groups=8, bias=False), nn.ReLU(), nn.Conv2d(8, 3, 1)),
    )
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in module.named_parameters() if p.dim() > 1}
    masks["0.weight"][[1, 2, 3, 7]] = False
    masks["4.weight"][[2, 6]] = False

    small = compacted(module, masks, (2, 5, 5)).module

    assert small[2].weight.shape == (6, 3, 1, 1)
    assert (small[2].groups, small[4].groups, small[4].in_channels) == (2, 6, 6)


def test_a_strided_1x1_convolution_keeps_a_multiple_of_8_inputs():
    """`pabench.training.loop.channels_last` says why."""
    module = nn.Sequential(nn.Conv2d(2, 16, 1), nn.ReLU(), nn.Conv2d(16, 3, 1, stride=2))
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in module.named_parameters() if p.dim() > 1}
    masks["2.weight"][:, 5:] = False

    assert compacted(module, masks, (2, 6, 6)).module[2].in_channels == 8


class Own(nn.Module):
    """A linear layer of 4 channels, channel 1 without users, around an operation of one's own."""

    def __init__(self, between):
        super().__init__()
        self.first, self.second, self.between = nn.Linear(6, 4), nn.Linear(4, 3), between

    def forward(self, x):
        return self.second(self.between(self.first(x)))


def written_over(x):
    view = x.view(-1)
    view.mul_(2.0)
    return x


class PassedThrough(torch.autograd.Function):
    """ReLU with the slope 1 everywhere."""

    @staticmethod
    def forward(ctx, x):
        return x.relu()

    @staticmethod
    def backward(ctx, g):
        return g


@pytest.mark.parametrize(
    ("between", "left"),
    [
        (lambda x: x.relu(), 3),
        (lambda x: x.view(-1, x.shape[-1]).relu(), 3),
        (lambda x: F.dropout(x, 0.5), 4),  # with fewer channels others would be dropped
        (lambda x: F.layer_norm(x, (4,)), 4),  # takes the mean over channels
        (lambda x: F.layer_norm(x, x.shape[-1:]), 4),
        (lambda x: x.flip(-1), 4),
        (lambda x: x.view(-1, 4).relu(), 4),  # a size in the network's own code
        (lambda x: x.unflatten(-1, (2, 2)).flatten(1), 4),
        (lambda x: x / x.shape[-1], 4),  # another number with fewer channels
        (written_over, 4),
        (torch.softmax, 4),
    ],
)
def test_what_an_operation_needs_whole_stays_whole(between, left):
    module = Own(between if between is not torch.softmax else lambda x: x.softmax(-1))
    masks = {"second.weight": torch.ones(3, 4, dtype=torch.bool)}
    masks["second.weight"][:, 1] = False

    if left == 3:
        assert len(compacted(module, masks, (6,)).module.first.weight) == 3
    else:
        with pytest.raises(DeclinedError, match="Own is not compacted: "):
            compacted(module, masks, (6,))


def test_a_gradient_of_ones_own_is_found_out():
    """Channel 1 is 0 and its bias would stay 0 behind a ReLU; this one learns."""
    module = Own(PassedThrough.apply)
    module.first.bias.data.zero_()
    masks = {"first.weight": torch.ones(4, 6, dtype=torch.bool)}
    masks["first.weight"][1] = False

    with pytest.raises(DeclinedError, match="not compacted"):
        compacted(module, masks, (6,))


class Decides(nn.Module):
    """Takes one of two layers by what it sees; or both, times the size of what it sees."""

    def __init__(self, decide):
        super().__init__()
        self.first, self.decide = nn.Linear(6, 8), decide
        self.one, self.other = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x):
        taken, size = self.decide(x), x.max().item()
        x = self.first(x).relu()
        if taken is None:
            return (self.one(x) + self.other(x)) * size
        return self.one(x) if taken else self.other(x)


@pytest.mark.parametrize(
    "decide",
    [
        lambda x: bool(x.mean() > 0.5),
        lambda x: x.mean().item() > 0.5,
        lambda x: float(x.mean()) > 0.5,
        lambda x: x.mean().detach().numpy() > 0.5,
        lambda x: [False, True][(x.mean() > 0.5).long()],
        lambda x: torch.equal(x, x + 1),
    ],
)
def test_a_network_that_decides_by_values_which_layer_runs_is_declined(decide):
    """The layer that did not run would have been given fewer channels than it takes, in the middle of a training."""
    module = Decides(decide)
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in module.named_parameters() if n.endswith("weight")}
    masks["first.weight"][:5] = False
    module.first.bias.data[:5] = 0

    with pytest.raises(DeclinedError, match=r"it decides by values what it does, and (one|other).weight had nothing"):
        compacted(module, masks, (6,))

    module.decide = lambda x: None
    assert compacted(module, masks, (6,)).module.first.out_features == 3


def test_a_network_that_does_not_run_is_declined_in_one_sentence():
    with pytest.raises(DeclinedError, match="Linear is not compacted: RuntimeError: mat1 and mat2 shapes cannot"):
        compacted(nn.Linear(4, 3), {}, (5,))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("densenet121", 0.6), ("vit_tiny_patch16_224", 0.9)])
def test_networks_of_timm_train_to_the_same_numbers(name, most):
    """Half of the rows and half of the columns of each weight matrix pruned; `most`: parameters left, in parts."""
    torch.manual_seed(0)
    args = {"img_size": 32} if "vit" in name else {}
    module = timm.create_model(name, num_classes=5, **args).double()
    masks = {n: m for n, m in random_masks(module, 0).items() if n in prunable_weights(module)}
    small = compacted(module, masks, (3, 32, 32))
    left = sum(p.numel() for p in small.module.parameters()) / sum(p.numel() for p in module.parameters())

    losses, outputs = trained(module, masks, OPTIMIZERS[0], (3, 32, 32), steps=3)
    found, given = trained(small.module, small.masks, OPTIMIZERS[0], (3, 32, 32), steps=3)

    assert left < most
    assert same(losses, found)
    assert same(outputs, given)
