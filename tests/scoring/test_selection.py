"""Counts, rounds, allocations and ties."""

from __future__ import annotations

import doctest
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, strategies as st

from pabench.errors import PluginError
from pabench.scoring import selection
from pabench.scoring.selection import kept_count, kth_highest, round_densities, select


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(selection)

    assert results.attempted == 2
    assert results.failed == 0


@given(st.integers(1, 10**7), st.integers(0, 999))
def test_the_kept_count_is_that_of_exact_arithmetic(total, thousandths):
    """Binary noise in 1 - 0.9 must not cost a weight: five repositories keep five different counts."""
    sparsity = thousandths / 1000

    exact = total - math.floor(Fraction(thousandths, 1000) * total)

    assert kept_count(1 - sparsity, total) == exact


def test_the_last_round_has_the_density_asked_for():
    """Limits of public code start below the target: asked 0.3, got 0.5."""
    for schedule in ("exponential", "linear"):
        densities = round_densities(0.3, 7, schedule)
        assert densities[-1] == 0.3
        assert densities == sorted(densities, reverse=True)


def scores(*values):
    return {"w": torch.tensor(values, dtype=torch.float64)}


def test_ties_are_broken_by_index_and_counted():
    """`score > threshold` would keep 1 of these and `>=` 4, where 3 were asked for."""
    chosen = select(scores(1.0, 1.0, 5.0, 1.0), 3)

    assert chosen.masks["w"].tolist() == [True, True, True, False]
    assert (chosen.tied, chosen.kept_of_tied) == (3, 2)


@pytest.mark.parametrize(
    "values", [[0.0] * 6, [math.inf, math.inf, 0, 0, -math.inf, -math.inf], [-1.0, -0.0, 0.0, 3, 3, 3]]
)
@pytest.mark.parametrize("k", range(7))
def test_the_count_is_exact_with_zeros_infinities_and_ties(values, k):
    assert int(select(scores(*map(float, values)), k).masks["w"].sum()) == k


def test_a_dead_network_is_not_kept_whole():
    """All scores 0: public code returns a mask of ones."""
    assert int(select(scores(*[0.0] * 1000), 1).masks["w"].sum()) == 1


def test_pruned_weights_stay_pruned_whatever_their_score():
    chosen = select(scores(-1.0, 0.0, -3.0), 1, within={"w": torch.tensor([1.0, 0.0, 1.0])})

    assert chosen.masks["w"].tolist() == [True, False, False]


def test_scores_without_an_order_are_refused_by_layer_and_count():
    with pytest.raises(PluginError, match="w: 2 of 3 scores are not a number"):
        select(scores(math.nan, 1.0, math.nan), 1)


def test_layer_allocations_choose_within_each_layer():
    both = {"a": torch.tensor([9.0, 8.0]), "b": torch.tensor([1.0, 2.0])}

    assert select(both, 2).masks["b"].tolist() == [False, False]
    assert select(both, 2, allocation="balanced").masks["b"].tolist() == [False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sorted_scores_choose_what_a_partition_chooses(dtype):
    """Both ways on 600 scores of 20 values, at every count: the same masks and the same ties."""
    scores = {
        n: torch.randint(-10, 10, (30, 10), generator=torch.Generator().manual_seed(i)).to(dtype)
        for i, n in enumerate("ab")
    }
    ordered = selection.Scores(scores)

    for kept in range(0, 601, 7):
        once, anew = selection.select(ordered, kept), selection.select(scores, kept)
        assert all(torch.equal(once.masks[n], anew.masks[n]) for n in scores)
        assert (once.tied, once.kept_of_tied) == (anew.tied, anew.kept_of_tied)
        assert sum(int(m.sum()) for m in once.masks.values()) == kept


def test_several_densities_sort_once(monkeypatch):
    sorted_ = []
    order = selection.Scores.order.func
    monkeypatch.setattr(selection.Scores.order, "func", lambda self: sorted_.append(1) or order(self))
    ordered = selection.Scores({"a": torch.arange(10.0)})

    assert [int(selection.select(ordered, k).masks["a"].nonzero()[0]) for k in (1, 5)] == [9, 5]
    assert len(sorted_) == 1


@pytest.mark.parametrize("kind", ["spread", "tied", "sorted", "periodic"])
def test_the_kth_highest_of_many_values_is_that_of_all(kind):
    """A sample decides which values are looked at; where it misleads, all are."""
    n = 2**20 + 3
    values = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if kind == "tied":
        values = (values * 7).floor()
    elif kind == "sorted":
        values = values.sort().values
    elif kind == "periodic":
        values[:: n // 2**15] = 2.0  # all that is sampled
    highest = values.sort(descending=True).values

    for k in (1, 2, 1000, n // 2, n - 1, n):
        assert kth_highest(values, k) == highest[k - 1]
