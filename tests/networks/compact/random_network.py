"""Random networks of what networks are made of, and random masks that leave many channels without use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZES = (4, 6, 8)


class RandomNetwork(nn.Module):
    """A chain of random stages on 8 x 8 images, pooled or flattened into a linear layer or two, in float64."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.pick = lambda n: int(torch.randint(n, (1,), generator=g))
        channels, stages = 3, []
        for kind in [Plain, *(KINDS[self.pick(len(KINDS))] for _ in range(2 + self.pick(3)))]:
            stage = kind(channels, self.pick)
            channels = stage.channels
            stages.append(stage)
        self.stages = nn.Sequential(*stages)
        self.flat = self.pick(2) == 0
        self.hidden = nn.Linear(channels * (16 if self.flat else 1), 8)
        self.head = nn.Linear(8, 5)
        self.act = activation(self.pick)
        del self.pick
        with torch.no_grad():
            for layer in self.modules():
                for name, p in layer.named_parameters(recurse=False):
                    p.copy_(torch.randn(p.shape, generator=g) * 0.5)
                    if name == "bias" and torch.rand((), generator=g) < 0.7:
                        p.zero_()  # as most are at initialization
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.stages(x), 4)
        x = x.flatten(1) if self.flat else x.mean((2, 3))
        return self.head(self.act(self.hidden(x)))


def activation(pick) -> nn.Module:
    return (nn.ReLU(), nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.SiLU(), nn.LeakyReLU(0.1))[pick(6)]


class Plain(nn.Sequential):
    def __init__(self, inputs: int, pick) -> None:
        self.channels = SIZES[pick(len(SIZES))]
        bias = pick(2) == 0
        layers = [nn.Conv2d(inputs, self.channels, (1, 3)[pick(2)], 1 + pick(2), padding=1, bias=bias)]
        layers += [nn.BatchNorm2d(self.channels)] if pick(4) else []
        layers += [(nn.MaxPool2d, nn.AvgPool2d)[pick(2)](3, 1, 1)] if pick(3) == 0 else []
        super().__init__(*layers, activation(pick))


class Residual(nn.Module):
    """Two convolutions and a shortcut, which is normalised or not."""

    def __init__(self, inputs: int, pick) -> None:
        super().__init__()
        self.channels = SIZES[pick(len(SIZES))] if pick(2) else inputs
        self.first = Plain(inputs, lambda n: 0 if n == 2 else pick(n))  # 1 x 1, stride 1, with a bias
        self.second = nn.Conv2d(self.first.channels, self.channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(self.channels) if pick(2) else nn.Identity()
        same = self.channels == inputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, self.channels, 1, bias=False)
        self.act, self.size = activation(pick), None

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.second(self.first(x)))
        out += F.adaptive_avg_pool2d(self.shortcut(x), out.shape[-1])
        return self.act(out)


class Depthwise(nn.Module):
    """Wide, depthwise, gated as in squeeze-and-excitation, narrow."""

    def __init__(self, inputs: int, pick) -> None:
        super().__init__()
        self.channels = SIZES[pick(len(SIZES))]
        times = 1 + pick(2)
        self.wide = nn.Sequential(nn.Conv2d(inputs, 8, 1, bias=False), nn.BatchNorm2d(8), activation(pick))
        self.depth = nn.Conv2d(8, 8 * times, 3, padding=1, groups=8, bias=False)
        self.norm, self.act = nn.BatchNorm2d(8 * times), activation(pick)
        self.gate = nn.Sequential(nn.Conv2d(8 * times, 4, 1), nn.ReLU(), nn.Conv2d(4, 8 * times, 1), nn.Sigmoid())
        self.narrow = nn.Conv2d(8 * times, self.channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.depth(self.wide(x))))
        return self.narrow(x * self.gate(x.mean((2, 3), keepdim=True)))


class Grouped(nn.Module):
    """A convolution in two groups of four, between two plain ones."""

    def __init__(self, inputs: int, pick) -> None:
        super().__init__()
        self.channels = 8
        self.before = nn.Sequential(nn.Conv2d(inputs, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=(2, 4)[pick(2)], bias=False)
        self.after = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.grouped(self.before(x)))


class Dense(nn.Module):
    """New channels beside the old ones."""

    def __init__(self, inputs: int, pick) -> None:
        super().__init__()
        self.new = Plain(inputs, lambda n: 0 if n in (2, 3) else pick(n))
        self.channels = inputs + self.new.channels

    def forward(self, x: Tensor) -> Tensor:
        new = self.new(x)
        return torch.cat([F.interpolate(x, size=new.shape[-2:]), new], 1)


KINDS = (Plain, Residual, Depthwise, Grouped, Dense)


def random_masks(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Of each weight matrix half of the rows and half of the columns are pruned, and half of what is left."""
    g = torch.Generator().manual_seed(seed)
    masks = {}
    for name, w in module.named_parameters():
        if w.dim() > 1:
            rows = (torch.rand(len(w), generator=g) < 0.5).view(-1, *[1] * (w.dim() - 1))
            columns = (torch.rand(w.shape[1], generator=g) < 0.5).view(1, -1, *[1] * (w.dim() - 2))
            masks[name] = (torch.rand(w.shape, generator=g) < 0.7) & rows & (columns | (w.shape[1] == 1))
    return masks
