"""What a criterion must leave as it found it is seen to the bit, and put back."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from pabench.diagnostics import trace


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("weights", lambda m: m[0].weight.data.__setitem__((0, 0), 7.0)),
        ("buffers", lambda m: m[1].running_mean.add_(1)),
        ("modes", lambda m: m[1].eval()),
        ("gradients", lambda m: m(torch.ones(2, 2)).sum().backward()),
        ("requires_grad", lambda m: m[0].weight.requires_grad_(False)),
        ("hooks", lambda m: m[0].register_forward_hook(lambda *_: None)),
    ],
)
def test_a_change_of_a_network_is_named(part, change):
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = trace.of_module(module)
    assert trace.changed(before, trace.of_module(module)) == []

    change(module)

    assert part in trace.changed(before, trace.of_module(module))


def test_a_weight_that_is_no_number_has_not_changed():
    broken = {"w": torch.tensor([float("nan"), 1.0])}

    assert trace.changed(trace.of_tensors(broken), trace.of_tensors(broken)) == []


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("torch's random state", lambda: torch.rand(1)),
        ("numpy's random state", lambda: np.random.rand()),
        ("Python's random state", random.random),
        ("default dtype", lambda: torch.set_default_dtype(torch.float64)),
        ("gradient mode", lambda: torch.set_grad_enabled(False)),
    ],
)
def test_a_change_of_the_process_is_named_and_put_back(part, change):
    before = trace.of_process()

    with trace.restored():
        change()
        assert trace.changed(before, trace.of_process()) == [part]
    assert trace.changed(before, trace.of_process()) == []
