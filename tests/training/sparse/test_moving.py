"""Which weights are the highest, and that their count is exact whatever they are."""

from __future__ import annotations

import doctest

import pytest
import torch
from hypothesis import given, settings, strategies as st

from pabench.training.sparse import moving
from pabench.training.sparse.moving import groups, highest
from pabench.training.sparse.rigl import Rigl


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(moving).failed == 0


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, -1.0, float("nan"), float("inf"), -float("inf")]), st.booleans())))
def test_there_are_exactly_as_many_as_asked_and_all_are_of_those_that_count(rows):
    scores, among = torch.tensor([s for s, _ in rows]), torch.tensor([a for _, a in rows], dtype=torch.bool)
    for count in range(int(among.sum()) + 1):
        found = highest(scores, among, count)
        assert int(found.sum()) == count
        assert not (found & ~among).any()
        assert torch.equal(found, highest(scores, among, torch.tensor(count)))


@pytest.mark.parametrize(("layers", "names"), [("kept", [["a"], ["b"]]), ("free", [["a", "b"]])])
def test_a_row_of_a_group_is_taken_apart_as_it_was_put_together(small, layers, names):
    shapes = {"a": torch.randn(2, 3, 2, 2).tolist(), "b": torch.randn(4).tolist()}
    held = small(Rigl(), shapes, {"a": torch.ones(2, 3, 2, 2).tolist(), "b": [1, 0, 0, 1]})
    held.weights["a"].data = held.weights["a"].data.contiguous(memory_format=torch.channels_last)

    found = groups(held, layers)

    assert [list(group.names) for group in found] == names
    assert sum(group.kept for group in found) == 26
    for group in found:
        for name, tensor in group.layers(group.row(held.weights), held.weights).items():
            assert torch.equal(tensor, held.weights[name])
