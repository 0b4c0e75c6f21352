"""The table of torch's operations: each has one kind, and each exists."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pabench.networks import operations
from pabench.networks.operations import named

KINDS = {kind: names for kind, names in vars(operations).items() if kind.isupper()}


def test_no_operation_is_of_two_kinds():
    """In the rules made of the table the later one would win."""
    names = sorted(name for kind in KINDS.values() for name in kind)

    assert names == sorted(set(names))


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_that_of_a_function_of_torch(kind):
    """A misspelt one would be an operation without a rule. `get` is the reading of an attribute."""
    for name in KINDS[kind] - {"get"}:
        assert any(hasattr(place, spelt) for place in (torch, Tensor, F) for spelt in (name, f"__{name}__")), name


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: x * x, "mul"),
        (lambda x: 1 - x, "rsub"),
        (lambda x: x[0], "getitem"),
        (lambda x: x.data, "get"),
        (lambda x: x.relu_(), "relu"),
        (torch.nn.ReLU6(inplace=True), "hardtanh"),
        (torch.nn.MaxPool1d(1), "max_pool1d"),
    ],
)
def test_an_operation_goes_by_one_name_however_it_is_called(call, name):
    seen = []

    class Noted(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(named(func))
            return func(*args, **(kwargs or {}))

    with Noted():
        call(torch.ones(1, 2))

    assert name in seen
