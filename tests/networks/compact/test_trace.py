"""Units: the channels of several tensors that can only be removed together."""

from __future__ import annotations

import torch

from pabench.networks.compact.trace import Trace


def test_units_are_numbered_on():
    trace = Trace()

    assert trace.fresh(3).tolist() == [0, 1, 2]
    assert trace.fresh(2).tolist() == [3, 4]


def test_a_dimension_of_a_weight_has_its_units_once():
    trace = Trace()
    rows = trace.along("weight", 0, 4)

    assert torch.equal(trace.along("weight", 0, 4), rows)
    assert not set(trace.along("weight", 1, 4).tolist()) & set(rows.tolist())


def test_what_is_joined_has_one_unit_and_joining_passes_on():
    """0-2, 3-5, 6-8: the first with the second, then the second with the third, channel by channel."""
    trace = Trace()
    a, b, c = (trace.fresh(3) for _ in range(3))
    trace.join(b, c)
    trace.join(a, b)

    assert trace.roots(c).tolist() == trace.roots(a).tolist() == [0, 1, 2]


def test_joining_twice_changes_nothing():
    trace = Trace()
    a, b = trace.fresh(2), trace.fresh(2)
    trace.join(a, b)
    trace.join(b, a)

    assert trace.roots(torch.cat([a, b])).tolist() == [0, 1, 0, 1]


def test_channels_of_one_tensor_can_become_one_unit():
    """A layer that a gate of half its width scales: channel i with channel i + 2."""
    trace = Trace()
    wide = trace.fresh(4)
    trace.join(wide[:2], wide[2:])

    assert trace.roots(wide).tolist() == [0, 1, 0, 1]


def test_pinned_units_are_kept_in_mind():
    trace = Trace()
    trace.pin(trace.fresh(4)[1:3])

    assert trace.pinned == {1, 2}
