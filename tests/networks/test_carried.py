"""Networks whose numbers leave the range of their type."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pabench
from pabench.networks.carried import Carried


def chain(depth: int, weight: float) -> nn.Module:
    module = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(depth)))
    for layer in module:
        layer.weight.data.fill_(weight)
    return module


class Branches(nn.Module):
    """Every kind of joint: a sum with the input, a concatenation, a bias, BatchNorm, pooling, an attention product."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.gate, self.head = nn.Conv2d(10, 10, 1), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.stem(x)), inplace=True), 2)
        x = torch.cat([x + self.left(x), self.right(x)], dim=1)
        x = F.silu(x) * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        tokens = x.flatten(2).transpose(1, 2)
        x = (tokens @ tokens.transpose(-2, -1) / 8) @ tokens
        return self.head(x.mean(1))


def branches(gain: float) -> nn.Module:
    torch.manual_seed(3)
    module = Branches()
    with torch.no_grad():
        for layer in (module.stem, module.left, module.right):
            layer.weight.mul_(gain)
    return module


def synflow(module: nn.Module, shape: tuple[int, ...], **more: object) -> dict[str, Tensor]:
    return pabench.score(module, "synflow", input_shape=shape, **more)


@pytest.mark.parametrize("gain", [1e-6, 1.0, 1e6, 1e20])
def test_scores_are_the_plain_ones_divided_by_one_power_of_two(gain):
    """R is gain^6 times that of gain 1, from 1e-36 to 1e120: all of it within float64, so both can be compared."""
    module = branches(gain)

    plain, carried = synflow(module, (3, 8, 8)), synflow(module, (3, 8, 8), range="unlimited")

    factor = float(plain["head.weight"].sum() / carried["head.weight"].sum())
    assert math.log2(factor) == pytest.approx(round(math.log2(factor)), abs=1e-9)
    for n in plain:
        torch.testing.assert_close(carried[n] * 2.0 ** round(math.log2(factor)), plain[n], rtol=1e-9, atol=0)


def test_where_there_is_no_bias_not_one_bit_differs():
    """Forty layers of gain 100: R = 1e80 is 2^-266 times as large in the carried run."""
    module = chain(40, 100.0)
    module[7].weight.data.fill_(1.7)

    plain, carried = synflow(module, (1,)), synflow(module, (1,), range="unlimited")

    mantissa, exponent = math.frexp(plain["0.weight"].item() / carried["0.weight"].item())
    assert mantissa == 0.5
    assert exponent > 200
    assert all(torch.equal(carried[n] * 2.0 ** (exponent - 1), plain[n]) for n in plain)


@pytest.mark.parametrize("middle", [nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0)])
def test_a_bias_keeps_its_share_beside_numbers_that_are_carried(middle):
    """1 -> 2^40 -> + 2^40 -> 1: behind the bias twice as much flows as before it."""
    module = nn.Sequential(nn.Linear(1, 1, bias=False), middle, nn.Linear(1, 1, bias=False))
    module[0].weight.data.fill_(2.0**40)
    middle.weight.data.fill_(1.0)
    middle.bias.data.fill_(2.0**40)
    module[2].weight.data.fill_(1.0)

    scores = synflow(module, (1,), range="unlimited")

    assert scores["0.weight"].item() < 2
    assert scores["2.weight"].item() == 2 * scores["0.weight"].item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight", [100.0, 0.01])
def test_a_chain_far_beyond_the_range_conserves_its_flow(dtype, weight):
    """R = 1e2000 or 1e-2000; every layer's score is R, so all are equal, finite and not 0."""
    module = chain(1000, weight)

    plain = synflow(module, (1,), dtype=dtype)
    carried = synflow(module, (1,), dtype=dtype, range="unlimited")

    assert all(not s.isfinite().all() or not s.any() for s in plain.values())
    values = torch.stack(list(carried.values())).flatten()
    assert values.isfinite().all()
    assert values.min() > 0
    torch.testing.assert_close(
        values, values[:1].expand_as(values), rtol=1e-3 if dtype == torch.float32 else 1e-9, atol=0
    )


def test_float32_ranks_as_float64_does_where_float32_overflows():
    module = branches(1e13)

    wide = synflow(module, (3, 8, 8))
    narrow = synflow(module, (3, 8, 8), dtype=torch.float32)
    carried = synflow(module, (3, 8, 8), dtype=torch.float32, range="unlimited")

    assert not all(s.isfinite().all() for s in narrow.values())
    ratios = torch.cat([(carried[n].double() / wide[n]).flatten() for n in wide if n != "gate.weight"])
    torch.testing.assert_close(ratios / ratios[0], torch.ones_like(ratios), rtol=1e-4, atol=0)


def test_an_operation_it_does_not_know_gets_the_number_itself():
    """2^40 carries; its square root is asked for as it is: 2^20."""
    x, w = torch.tensor([[2.0**20]]), torch.tensor([[2.0**20]])
    with Carried():
        y = F.linear(x, w)
        root = torch.sqrt(y)
        total = y + 2.0**40

    assert (y.item(), y._carried_exponent) == (0.5, 41)
    assert (root.item(), getattr(root, "_carried_exponent", 0)) == (2.0**20, 0)
    assert total.item() * 2.0**total._carried_exponent == 2.0**41


class Beside(nn.Module):
    """Numbers of 2^200, some of them or all 0 by their last layer, and what `join` makes of them and of a plain 1."""

    def __init__(self, last: list[float], join: str) -> None:
        super().__init__()
        self.join, self.up, self.down = join, chain(5, 2.0**40), nn.Linear(1, len(last), bias=join == "bias")
        self.down.weight.data = torch.tensor(last)[:, None]
        self.plain, self.head = chain(1, 1.0), nn.Linear(len(last), 1)
        for tensor in (self.down.bias, self.head.weight, self.head.bias):
            if tensor is not None:
                tensor.data.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        huge, plain = self.down(self.up(x)), self.plain(x)
        if self.join == "epsilon":
            return self.head(huge / (huge + 1e-5)) + plain
        if self.join == "cat":
            return torch.cat([huge, plain], dim=1).sum(1)
        if self.join == "in place":
            huge += plain
            return self.head(huge)
        return self.head(huge + plain if self.join == "sum" else huge) + plain


@pytest.mark.parametrize(
    ("last", "join"),
    [
        ([1.0, 0.0], "epsilon"),  # 0 / 1e-5 where the rest is 2^200 / 2^200
        *[([0.0, 0.0], join) for join in ("epsilon", "sum", "in place", "bias", "cat")],
    ],
)
def test_zeros_take_nothing_from_what_they_meet(last, join):
    """An epsilon, a bias and a branch of size 1 are no more in float32 beside 2^200; beside 0 they are all there is."""
    module = Beside(last, join)

    plain = synflow(module, (1,))
    carried = synflow(module, (1,), dtype=torch.float32, range="unlimited")

    factor = float(plain["plain.0.weight"].sum() / carried["plain.0.weight"].sum())
    assert all(s.isfinite().all() for s in carried.values())
    for n in plain:
        torch.testing.assert_close(carried[n].double() * factor, plain[n], rtol=1e-5, atol=1e-5)


def test_what_is_next_to_nothing_is_brought_into_range_however_small():
    """1e-40 in float32 is moved up by 2^133, a factor that float32 has not."""
    with Carried():
        y = torch.tensor([1e-40]) * torch.tensor([1.0])

    assert y.item() * 2.0**y._carried_exponent == pytest.approx(1e-40, rel=1e-4)
