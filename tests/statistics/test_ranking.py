"""Mean ranks, and the bars of a critical-difference diagram."""

from __future__ import annotations

import doctest
import random
from itertools import combinations

import pytest

from pabench.statistics import ranking, ranktest
from pabench.statistics.ranking import cliques, mean_ranks, shared, tie_groups


def test_bars_are_the_largest_runs_and_none_lies_within_another():
    draw = random.Random(0)
    for _ in range(200):
        ranks = {f"c{i}": draw.uniform(1, 8) for i in range(draw.randint(2, 9))}
        bars = cliques(ranks, 1.5)

        spans = [(ranks[bar[0]], ranks[bar[-1]]) for bar in bars]
        together = {frozenset((a, b)) for bar in bars for a in bar for b in bar if a != b}
        assert together == {
            frozenset((a, b)) for a in ranks for b in ranks if a != b and abs(ranks[a] - ranks[b]) < 1.5
        }
        assert not any(x != y and x[0] <= y[0] and y[1] <= x[1] for x in spans for y in spans)


def test_mean_ranks_count_from_the_highest_value():
    assert mean_ranks([{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 2.0}]) == {"a": 1.75, "b": 1.25}


@pytest.mark.parametrize("module", [ranking, ranktest])
def test_doctests_hold(module):
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_equal_accuracies_share_their_mean_rank():
    assert mean_ranks([{"a": 10.0, "b": 10.0, "c": 50.0}]) == {"a": 2.5, "b": 2.5, "c": 1.0}


def test_letters_are_shared_exactly_by_pairs_that_are_not_separated():
    draw = random.Random(1)
    for _ in range(50):
        names = [f"c{i}" for i in range(draw.randint(1, 7))]
        separated = {(a, b): draw.random() < 0.5 for i, a in enumerate(names) for b in names[i + 1 :]}

        letters = tie_groups(names, separated)

        assert all(letters.values())
        assert all(bool(set(letters[a]) & set(letters[b])) != apart for (a, b), apart in separated.items())


def test_letters_of_many_criteria_are_told_at_once():
    """All largest groups of 30 pairs that are apart are 2 ** 30: so many are named as each pair needs to share one."""
    names = [f"c{i}" for i in range(60)]
    separated = {
        (one, other): names.index(one) // 2 == names.index(other) // 2 for one, other in combinations(names, 2)
    }

    letters = tie_groups(names, separated)

    for (one, other), apart in separated.items():
        assert shared(letters[one], letters[other]) is not apart
    assert letters["c0"].startswith("a")
