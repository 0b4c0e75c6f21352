"""Layers that write down w * dR/dw."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pabench.networks import scored as module
from pabench.networks.scored import scored


@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation", "pixels"),
    [
        ((3, 3), (1, 1), (1, 1), (1, 1), (2, 2)),
        ((3, 3), (1, 1), (1, 1), (1, 1), (6, 7)),
        ((3, 2), (2, 1), (0, 1), (1, 2), (7, 6)),
        ((1, 1), (1, 1), (0, 0), (1, 1), (4, 4)),
        ((1, 1), (2, 2), (0, 0), (1, 1), (5, 5)),
    ],
)
@pytest.mark.parametrize("biased", [False, True])
def test_a_convolution_scores_as_its_gradient_says(size, stride, padding, dilation, pixels, biased, monkeypatch):
    monkeypatch.setattr(module, "MANY", 1)
    torch.manual_seed(0)
    x = torch.randn(1, 3, *pixels, dtype=torch.float64, requires_grad=True)
    w = torch.randn(5, 3, *size, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64) if biased else None
    args = (x, w, bias, stride, padding, dilation, 1)
    wanted, scores = torch.conv2d(*args), torch.empty_like(w)

    found = scored(torch.conv2d, args, wanted.shape, w, scores)(*args)

    torch.testing.assert_close(found, wanted)
    (gx,) = torch.autograd.grad(found.square().sum(), [x])
    wanted_gx, gw = torch.autograd.grad(wanted.square().sum(), [x, w])
    torch.testing.assert_close(gx, wanted_gx)
    torch.testing.assert_close(scores, w * gw)


def test_a_linear_layer_scores_as_its_gradient_says(monkeypatch):
    """One row: w = (2, 3), x = (5, 7), dR/dy = 1."""
    monkeypatch.setattr(module, "MANY", 1)
    x, w = torch.tensor([[5.0, 7.0]], requires_grad=True), torch.tensor([[2.0, 3.0]], requires_grad=True)
    scores = torch.empty_like(w)

    y = scored(F.linear, (x, w, None), torch.Size((1, 1)), w, scores)(x, w, None)
    (gx,) = torch.autograd.grad(y.sum(), [x])

    assert (y.item(), gx.tolist(), scores.tolist()) == (31.0, [[2.0, 3.0]], [[10.0, 21.0]])


def test_few_weights_and_groups_and_many_places_are_left_to_torch():
    w = torch.empty(256, 256, 1, 1)
    args = (None, w, None, (1, 1), (0, 0), (1, 1), 1)

    assert scored(torch.conv2d, args, torch.Size((1, 256, 8, 8)), w, w)
    assert scored(torch.conv2d, args, torch.Size((1, 256, 9, 8)), w, w) is None
    assert scored(torch.conv2d, (*args[:-1], 2), torch.Size((1, 256, 8, 8)), w, w) is None
    assert scored(torch.conv2d, args, torch.Size((1, 255, 8, 8)), w[:255], w) is None
