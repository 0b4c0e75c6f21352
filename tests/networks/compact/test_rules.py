"""How channels pass through operations: where the channels of a result come from, and what must stay whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pabench.networks.compact.trace import Flow, Layer, Product, Trace

from .test_follow import followed


class Between(nn.Module):
    """A layer of 4 channels, an operation, and nothing behind it."""

    def __init__(self, first, operation):
        super().__init__()
        self.first, self.operation = first, operation

    def forward(self, x):
        return self.operation(self.first(x))


def passed(operation, *, training=False, conv=True):
    """What is written down of an operation on 4 channels of 6 x 6 pixels (or 4 features)."""
    trace = Trace()
    module = Between(nn.Conv2d(2, 4, 1) if conv else nn.Linear(2, 4), operation).train(training)
    followed(module, torch.randn(3, 2, 6, 6) if conv else torch.randn(3, 2), trace)
    return trace


def step(trace):
    """The step behind the layer; None where the operation has no rule for what it was given."""
    (found,) = [s for s in trace.steps if isinstance(s, Flow | Product)] or [None]
    return found


def sources(trace):
    """For each channel of the result the channel of the layer that it is made of."""
    units = trace.units["first.weight", 0].tolist()
    return [units.index(unit) for unit in step(trace).output.units.tolist()]


@pytest.mark.parametrize(
    ("operation", "made_of"),
    [
        (F.relu, [0, 1, 2, 3]),
        (lambda x: F.max_pool2d(x, 2), [0, 1, 2, 3]),
        (lambda x: F.adaptive_avg_pool2d(x, 1), [0, 1, 2, 3]),
        (lambda x: x.mean((2, 3)), [0, 1, 2, 3]),
        (lambda x: x.amax((2, 3), keepdim=True), [0, 1, 2, 3]),
        (lambda x: F.pad(x, (1, 1, 1, 1)), [0, 1, 2, 3]),
        (lambda x: F.interpolate(x, scale_factor=2), [0, 1, 2, 3]),
        (lambda x: x.permute(0, 2, 3, 1), [0, 1, 2, 3]),
        (lambda x: x[:, :, ::2, 1:], [0, 1, 2, 3]),
        (lambda x: x.reshape(3, 4 * 36), [c for c in range(4) for _ in range(36)]),
    ],
)
def test_the_channels_of_a_result_are_followed(operation, made_of):
    assert sources(passed(operation)) == made_of


@pytest.mark.parametrize(
    ("operation", "dim"),
    [
        (F.relu, 1),
        (lambda x: x.permute(0, 2, 3, 1), 3),
        (lambda x: x.mean(0), 0),
        (lambda x: x.mean(0, keepdim=True), 1),
    ],
)
def test_the_dimension_of_the_channels_is_followed(operation, dim):
    assert step(passed(operation)).output.dim == dim


@pytest.mark.parametrize(
    ("operation", "zero", "flat"),
    [
        (F.relu, True, True),
        (F.relu6, True, True),
        (lambda x: F.hardtanh(x, 0, 1), True, True),
        (lambda x: F.hardtanh(x, -1, 1), True, False),
        (F.silu, True, False),
        (torch.sigmoid, False, False),
        (lambda x: F.pad(x, (1, 1), value=2.0), False, False),
        (lambda x: x + 1, False, False),
    ],
)
def test_what_an_operation_makes_of_zeros_and_its_slope_there(operation, zero, flat):
    """`zero`: of zeros zeros; `flat`: no gradient passes there, so a constant stays one."""
    found = step(passed(operation))

    assert (found.zero, found.flat) == (zero, flat)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.softmax(1),
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: x.mean(1),
        lambda x: x.flip(1),
        lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)),
        lambda x: x[:, :2],
        lambda x: x.reshape(x.shape[0], 2, 2, 6, 6).transpose(1, 2).flatten(1, 2),
        lambda x: 1 / x,
        lambda x: x @ torch.ones(6, 6),
    ],
)
def test_what_sees_or_mixes_channels_keeps_them(operation):
    trace = passed(operation)

    assert step(trace) is None
    assert set(trace.units["first.weight", 0].tolist()) <= trace.pinned


def test_active_dropout_keeps_its_channels_and_one_at_rest_does_not():
    """It draws for the whole tensor: with fewer numbers, others would fall out."""
    dropout = nn.Dropout(0.5)
    active, resting = (passed(dropout, training=training) for training in (True, False))
    units = set(active.units["first.weight", 0].tolist())

    assert units <= active.pinned
    assert sources(resting) == [0, 1, 2, 3]


def test_joined_tensors_stand_behind_each_other():
    found = step(passed(lambda x: torch.cat([x, x], 1)))

    assert [place.tolist() for place in found.places] == [[0, 1, 2, 3, -1, -1, -1, -1], [-1, -1, -1, -1, 0, 1, 2, 3]]


def test_a_factor_of_one_a_channel_is_a_product():
    assert isinstance(step(passed(lambda x: x * torch.rand(1, 4, 1, 1).shape[0])), Product)
    assert step(passed(lambda x: x * torch.rand(1, 4, 1, 1))) is None  # a tensor of its width would no longer fit


def test_a_grouped_convolution_has_inputs_of_its_own():
    """8 rows in 4 groups, each of one input: the weight's second dimension has 1 column, and the layer 4 inputs."""
    module = Between(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 3, groups=4))
    trace = Trace()
    followed(module, torch.randn(1, 2, 5, 5), trace)

    (layer,) = [s for s in trace.steps if isinstance(s, Layer) and s.groups == 4]
    columns = trace.columns["operation.weight"]
    assert trace.roots(columns).tolist() == trace.roots(trace.units["first.weight", 0]).tolist()
    assert len(layer.output) == 8


def test_a_strided_1x1_convolution_is_told():
    module = nn.Sequential(nn.Conv2d(2, 4, 1, stride=2), nn.Conv2d(4, 4, 3, stride=2, padding=1))
    trace = Trace()
    followed(module, torch.randn(1, 2, 8, 8), trace)

    assert [s.strided for s in trace.steps if isinstance(s, Layer)] == [True, False]
