"""An image of equal pixels on fewer of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

from pabench.networks.tape import recorded
from pabench.networks.uniform import shrunk


class Branches(nn.Module):
    """A sum, a gate of the whole map, a concatenation, strides and pools."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.one, self.other = nn.Conv2d(4, 4, 5, padding=2), nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2)
        self.gate = nn.Conv2d(4, 4, 1)
        self.down = nn.Conv2d(8, 6, 3, 2, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        x = self.one(x) + self.other(x)
        x = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        x = nn.functional.max_pool2d(torch.cat([x, x.relu()], 1), 3, 2, 1)
        return self.head(nn.functional.avg_pool2d(self.down(x), 2).mean((2, 3)))


class Chain(nn.Sequential):
    """Of random filters, some of which do not fit the image."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)

        def drawn(low, high):
            return int(torch.randint(low, high + 1, (1,), generator=generator))

        layers = []
        for _ in range(drawn(1, 4)):
            size = drawn(1, 4)
            geometry = {"stride": drawn(1, 3), "padding": drawn(0, size // 2)}
            pool = nn.MaxPool2d(size, **geometry) if drawn(0, 1) else nn.AvgPool2d(size, **geometry)
            layers += [pool if drawn(0, 3) == 0 else nn.Conv2d(2, 2, size, **geometry, dilation=drawn(1, 2)), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize("make", [Branches, *(lambda seed=seed: Chain(seed) for seed in range(12))])
def test_gives_the_outputs_and_gradients_of_the_whole_image(make):
    torch.manual_seed(0)
    module = make().double()
    tensors = {n: p.detach().requires_grad_() for n, p in module.named_parameters()}
    x = torch.ones(1, 2, 96, 93, dtype=torch.float64)
    tape = recorded(lambda t, given: functional_call(module, t, (given,)), tensors, x)
    smaller, image = shrunk(tape, tensors, x)

    wanted, found = tape.run(tensors, x), smaller.run(tensors, image)

    assert image.numel() < x.numel() or not tensors
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        *(torch.autograd.grad(out.sum(), list(tensors.values())) for out in (found, wanted) if tensors), strict=False
    ):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_three_layers_of_3x3_filters_need_seven_pixels_of_224():
    """Each moves the border by one pixel, from both sides; one pixel is left between them."""
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(3)]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
    tensors, x = {n: p.detach() for n, p in module.named_parameters()}, torch.ones(1, 1, 224, 224)
    tape = recorded(lambda t, given: functional_call(module, t, (given,)), tensors, x)

    _, image = shrunk(tape, tensors, x)

    assert 7 <= image.shape[-1] <= 7 + 224 // 16  # 16 sizes are tried
