"""Ranks, bars of a critical-difference diagram, and tests of ranks."""

from __future__ import annotations

import doctest
import random

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from pabench import ranking, ranktest
from pabench.ranking import cliques, mean_ranks
from pabench.ranktest import critical_difference, friedman, nemenyi, smallest_p, wilcoxon


def made(blocks: int, names: int, seed: int, step: float = 0.0) -> list[dict[str, float]]:
    """Values on a grid of `step`, so that some are equal; later names are higher."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(blocks, names)) + 0.4 * np.arange(names)
    values = np.round(values / step) * step if step else values
    return [{f"c{i}": float(v) for i, v in enumerate(row)} for row in values]


@pytest.mark.parametrize("step", [0.0, 0.5])
@pytest.mark.parametrize(("blocks", "names"), [(3, 3), (6, 5), (20, 16)])
def test_friedman_equals_scipy_with_and_without_ties(blocks, names, step):
    rows = made(blocks, names, seed=blocks, step=step)

    found = friedman(rows)

    statistic, p = stats.friedmanchisquare(*([row[name] for row in rows] for name in rows[0]))
    assert (found.statistic, found.p) == pytest.approx((statistic, p))


def test_friedmans_statistic_of_three_blocks_that_agree_is_as_large_as_it_gets():
    """Ranks 1, 2, 3 in each: 12 n / (k (k + 1)) * ((1 - 2)^2 + 0 + (3 - 2)^2) = 36 / 12 * 2 = 6 = n (k - 1)."""
    found = friedman([{"a": 3.0, "b": 2.0, "c": 1.0}] * 3)

    assert found.statistic == pytest.approx(6.0)
    assert found.p == pytest.approx(np.exp(-3))  # chi squared with 2 degrees of freedom


def test_nemenyis_p_values_equal_those_of_scikit_posthocs():
    rows = made(12, 5, seed=1)

    found = friedman(rows)

    theirs = scikit_posthocs.posthoc_nemenyi_friedman(pd.DataFrame(rows))
    for a in found.ranks:
        for b in found.ranks:
            if a != b:
                assert nemenyi(found, a, b) == pytest.approx(theirs.loc[a, b], abs=1e-6)


def test_the_critical_difference_is_where_nemenyis_p_is_the_level():
    rows = made(9, 4, seed=2)
    found = friedman(rows)
    a, b = "c0", "c1"
    apart = {**found.ranks, a: 1.0, b: 1.0 + found.critical}

    assert nemenyi(ranktest.Friedman(apart, 1.0, 0.01, 9, 0.05), a, b) == pytest.approx(0.05)


def test_critical_values_are_those_of_the_published_table():
    """Demsar 2006, table 5a: q = 1.960, 2.343, 2.569, 2.728 and 3.164 for 2, 3, 4, 5 and 10; k (k + 1) / 6 n = 1."""
    table = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 10: 3.164}

    found = {k: critical_difference(k, 1) / (k * (k + 1) / 6) ** 0.5 for k in table}
    assert found == pytest.approx(table, abs=1e-3)


def test_with_few_blocks_no_difference_of_ranks_is_enough_and_it_says_so():
    """Five names: q sqrt(30 / 6 n) = 6.1 / sqrt(n), and ranks differ by at most 4: three blocks suffice, two do not."""
    rows = [{"a": 5.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 1.0}]

    assert [friedman(rows * n).reachable for n in (2, 3)] == [False, True]


@pytest.mark.parametrize("rows", [[], [{"a": 1.0, "b": 2.0}], [{"a": 1.0}] * 5, [{"a": 1.0, "b": 1.0}] * 5])
def test_friedman_gives_no_p_where_there_is_nothing_to_test(rows):
    found = friedman(rows)

    assert (found.statistic, found.p, found.rejects) == (None, None, False)


def test_one_bar_joins_all_where_friedman_does_not_reject():
    rows = [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 3.0, "b": 2.0, "c": 1.0}]

    assert friedman(rows).groups == [["a", "b", "c"]]


def test_the_bar_stays_where_one_pair_alone_would_be_far_enough_apart():
    """Drawn until Friedman's p was just above 5 % and the outermost ranks 3.1 apart, where Nemenyi asks for 2.85."""
    rng = np.random.default_rng(5)
    k, n = int(rng.integers(5, 9)), int(rng.integers(4, 12))
    values = np.round(rng.normal(size=(n, k)) + 0.7 * (np.arange(k) == 0) - 0.7 * (np.arange(k) == 1), 2)

    found = friedman([{f"c{i}": float(v) for i, v in enumerate(row)} for row in values])

    assert 0.05 < found.p < 0.06
    assert max(found.ranks.values()) - min(found.ranks.values()) > found.critical
    assert [len(bar) for bar in found.groups] == [k]


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


def test_wilcoxon_equals_scipys_exact_test():
    rng = np.random.default_rng(0)
    for n in (2, 5, 8, 20):
        values = rng.normal(0.4, size=n)

        assert wilcoxon(values).p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_wilcoxon_is_exact_with_ties_too():
    """Sizes 1, 1, 2: ranks 1.5, 1.5, 3. Of eight signs two reach W = 6 or 0: p = 2/8; W = 4.5 or more do 3: p = 6/8."""
    assert wilcoxon([1.0, 1.0, 2.0]).p == pytest.approx(2 / 8)
    assert wilcoxon([1.0, -1.0, 2.0]).p == pytest.approx(6 / 8)
    # ranks 1.5, 1.5, 3, 4: of sixteen sums 0, 1.5, 1.5, 3 and 3 are at most the 3 of both negative ones
    assert wilcoxon([-1.0, -1.0, 2.0, 3.0]).p == pytest.approx(10 / 16)


def test_wilcoxons_adjusted_p_values_equal_those_of_scikit_posthocs():
    from pabench.statistics import holm

    rows = pd.DataFrame(made(10, 4, seed=3))
    long = rows.melt(var_name="name", value_name="value")
    pairs = [(a, b) for i, a in enumerate(rows) for b in list(rows)[i + 1 :]]

    ours = holm([wilcoxon(list(rows[a] - rows[b])).p for a, b in pairs])

    theirs = scikit_posthocs.posthoc_wilcoxon(long, "value", "name", p_adjust="holm")
    assert ours == pytest.approx([theirs.loc[a, b] for a, b in pairs])


def test_differences_of_zero_are_left_out_of_wilcoxons_test():
    assert wilcoxon([0.0, 1.0, 2.0, 0.0, 3.0]) == wilcoxon([1.0, 2.0, 3.0])
    assert wilcoxon([0.0, 0.0, 1.0]).p is None


def test_the_smallest_p_is_that_of_differences_that_all_agree():
    assert [smallest_p(n) for n in (1, 2, 5)] == [1.0, 0.5, 0.0625]
    assert wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).p == smallest_p(6)


def test_mean_ranks_count_from_the_highest_value():
    assert mean_ranks([{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 2.0}]) == {"a": 1.75, "b": 1.25}


@pytest.mark.parametrize("module", [ranking, ranktest])
def test_doctests_hold(module):
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
