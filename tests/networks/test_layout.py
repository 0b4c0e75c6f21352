"""Channels last: which networks are scored so on a CPU, and that it changes no score beyond rounding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pabench
from pabench import registry
from pabench.networks.network import Network
from pabench.scoring.batch import on_network
from pabench.scoring.pruning import context


class Views(nn.Module):
    """Flattens by `view`, which takes feature maps in one order only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8 * 64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).view(len(x), -1))


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 4))


X, Y = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4


def lies_channels_last(model: nn.Module, dtype: torch.dtype) -> bool:
    x, _ = on_network((X, Y), Network(model, dtype=dtype))
    return x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("model", "dtype", "expected"),
    [
        (convolutional(), torch.float32, True),
        (convolutional(), torch.float64, False),
        (Views(), torch.float32, False),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), torch.float32, False),
        (nn.Sequential(nn.Conv2d(3, 4, 1, stride=2), nn.Flatten(), nn.Linear(64, 4)), torch.float32, False),
    ],
    ids=["convolutions in float32", "float64", "a view of feature maps", "no convolution", "1 x 1 with a stride"],
)
def test_images_lie_channels_last_where_it_is_faster_and_safe(model, dtype, expected):
    """oneDNN has no float64 convolution, and its 1 x 1 convolution with a stride writes past 3 channels on AVX2."""
    assert lies_channels_last(model, dtype) == expected


@pytest.mark.parametrize("model", [convolutional(), Views()], ids=["convolutional", "views"])
def test_scores_are_those_of_float64_within_rounding(model):
    """Float32 has 7 digits; the sums here are of at most 512 products."""
    fast, exact = (pabench.score(model, "snip", batch=(X, Y), dtype=d) for d in (torch.float32, torch.float64))

    for n, s in exact.items():
        assert fast[n].double().sub(s).abs().max() < 1e-5 * s.max()


@pytest.mark.parametrize(("criterion", "last"), [("snip", True), ("grasp", False), ("hutchinson", False)])
def test_what_derives_a_gradient_once_more_sees_images_as_they_come(criterion, last):
    """Second derivatives of convolutions are slower channels last."""
    network = Network(convolutional(), dtype=torch.float32)

    ctx = context(network, registry.criterion(criterion), [(X, Y)], seed=0, input_shape=X.shape[1:])

    assert ctx.batches[0][0].is_contiguous(memory_format=torch.channels_last) == last
