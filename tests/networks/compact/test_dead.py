"""Which channels are dead for good: constants of dead channels, and what nothing uses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pabench.errors import DeclinedError
from pabench.networks.compact import compacted


def masks_of(module, **rows_and_columns):
    """All weights kept but channel 1's: `first=0` prunes what comes in (row 1), `second=1` what goes out (column 1)."""
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in module.named_parameters() if p.dim() > 1}
    for name, dim in rows_and_columns.items():
        masks[f"{name}.weight"].select(dim, 1).fill_(False)
    return masks


class Chain(nn.Module):
    """A convolution to 4 channels with BatchNorm and an activation, and one that uses them; `bias` is BatchNorm's."""

    def __init__(self, act, bias=0.0, mean=0.0, shortcut=False):
        super().__init__()
        self.first, self.norm, self.act = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), act
        self.second, self.shortcut = nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(2, 4, 1) if shortcut else None
        self.norm.bias.data.fill_(bias)
        self.norm.running_mean.fill_(mean)

    def forward(self, x):
        out = self.norm(self.first(x))
        return self.second(self.act(out + self.shortcut(x) if self.shortcut else out))


def channels(module, masks):
    """How many of the 4 are left."""
    try:
        return len(compacted(module, masks, (2, 5, 5)).module.first.weight)
    except DeclinedError:
        return 4


@pytest.mark.parametrize(
    "act", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Sequential(nn.MaxPool2d(2), nn.ReLU())]
)
def test_a_channel_without_live_input_is_dead_before_a_relu_if_its_bias_is_0(act):
    """ReLU's slope at 0 is 0, so the bias gets no gradient; with another bias it is a constant, and is trained."""
    module = Chain(act)

    assert channels(module, masks_of(module, first=0)) == 3
    module.norm.bias.data[1] = 0.1
    assert channels(module, masks_of(module, first=0)) == 4


@pytest.mark.parametrize("act", [nn.SiLU(), nn.LeakyReLU(0.1), nn.Hardtanh(), nn.Identity()])
def test_a_bias_that_learns_is_a_constant_that_stays(act):
    """The slope of these is not 0 at 0."""
    module = Chain(act)

    assert channels(module, masks_of(module, first=0)) == 4


def test_a_bias_that_meets_a_shortcut_before_the_relu_is_kept():
    module = Chain(nn.ReLU(), shortcut=True)

    assert channels(module, masks_of(module, first=0)) == 4
    masks = masks_of(module, first=0)
    masks["shortcut.weight"] = torch.ones(4, 2, 1, 1, dtype=torch.bool)
    masks["shortcut.weight"][1] = False
    module.shortcut.bias.data.zero_()
    assert channels(module, masks) == 3  # both terms of the sum are 0, and stay 0


def test_a_running_mean_makes_a_constant_of_a_channel_without_input():
    module = Chain(nn.ReLU(), mean=0.5)

    assert channels(module, masks_of(module, first=0)) == 4


@pytest.mark.parametrize("act", [nn.ReLU(), nn.SiLU(), nn.Sigmoid()])
def test_a_channel_that_nothing_uses_is_dead_whatever_its_value(act):
    module = Chain(act, bias=0.3, mean=0.2)

    assert channels(module, masks_of(module, second=1)) == 3


def test_a_hidden_unit_without_a_bias_is_dead_for_any_activation_that_is_0_at_0():
    module = nn.Sequential(nn.Flatten(), nn.Linear(8, 4, bias=False), nn.GELU(), nn.Linear(4, 3))
    masks = masks_of(module, **{"1": 0})

    assert compacted(module, masks, (2, 2, 2)).module[1].weight.shape == (3, 8)
    module[1].bias = nn.Parameter(torch.zeros(4))
    with pytest.raises(DeclinedError, match="all channels are in use"):
        compacted(module, masks, (2, 2, 2))


def test_what_a_dead_channel_alone_feeds_dies_with_it():
    """Channel 1 of the first layer is all that unit 1 of the second one sees."""
    module = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    module[0].bias.data.zero_()
    module[2].bias.data.zero_()
    masks = masks_of(module, **{"0": 0})
    masks["2.weight"][1, [0, 2, 3]] = False

    small = compacted(module, masks, (2, 3, 3)).module
    assert [layer.weight.shape[:2] for layer in small[::2]] == [(3, 2), (3, 3), (3, 3)]


def test_a_gate_of_a_channel_that_is_0_is_without_use():
    """Squeeze-and-excitation: the sigmoid is 1/2 where nothing comes in, and multiplies 0."""

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 4, 1, bias=False), nn.Conv2d(4, 3, 1)
            self.squeeze, self.excite = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

        def forward(self, x):
            x = self.first(x).relu()
            return self.second(x * self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid())

    module = Gated()
    small = compacted(module, masks_of(module, first=0), (2, 3, 3)).module

    assert [len(small.first.weight), small.squeeze.in_channels, small.excite.out_channels] == [3, 3, 3]
