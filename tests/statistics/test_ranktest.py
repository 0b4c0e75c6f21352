"""Tests of ranks: Friedman's, Wilcoxon's, and the critical difference, against scipy and published tables."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from pabench.statistics import ranktest
from pabench.statistics.ranktest import critical_difference, friedman, smallest_p, wilcoxon


def made(blocks: int, names: int, seed: int, step: float = 0.0) -> list[dict[str, float]]:
    """Values on a grid of `step`, so that some are equal; later names are higher."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(blocks, names)) + 0.4 * np.arange(names)
    values = np.round(values / step) * step if step else values
    return [{f"c{i}": float(v) for i, v in enumerate(row)} for row in values]


@pytest.mark.parametrize("step", [0.0, 0.5])
@pytest.mark.parametrize(("blocks", "names"), [(3, 3), (6, 5), (20, 16)])
def test_friedmans_statistic_equals_scipys_with_and_without_ties(blocks, names, step):
    rows = made(blocks, names, seed=blocks, step=step)

    found = friedman(rows)

    assert found.statistic == pytest.approx(scipys(rows).statistic)


def scipys(rows: list[dict[str, float]]):
    return stats.friedmanchisquare(*([row[name] for row in rows] for name in rows[0]))


@pytest.mark.parametrize(
    ("ranks", "statistic", "p"),
    [
        ([(1, 2, 3)] * 3, 6.0, 1 / 36),  # all agree: 6 of 6^3
        ([(1, 2, 3)] * 3 + [(2, 1, 3)], 6.5, 0.042),
        ([(1, 2, 3)] * 2 + [(1, 3, 2)] * 2, 6.0, 0.069),
        ([(1, 2, 3, 4)] * 2 + [(2, 1, 4, 3)], 7.4, 0.033),
    ],
)
def test_friedmans_p_of_few_blocks_is_that_of_the_published_exact_tables(ranks, statistic, p):
    """Friedman 1937, as any table of his test has it; chi squared gives 0.0498 for both 1 / 36 and 0.069."""
    found = friedman([dict(zip("abcd", row, strict=False)) for row in ranks])

    assert (found.statistic, found.method) == (pytest.approx(statistic), "exact")
    assert found.p == pytest.approx(p, abs=6e-4)


@pytest.mark.parametrize(("blocks", "names", "step"), [(4, 3, 0.0), (3, 4, 0.0), (4, 3, 1.5), (3, 4, 1.5)])
def test_friedmans_exact_p_is_the_share_of_all_orders_with_scipys_statistic_as_large(blocks, names, step):
    rows = made(blocks, names, seed=7, step=step)
    found = friedman(rows)

    orders = [list(permutations(row.values())) for row in rows[1:]]
    there = [rows[0], *([dict(zip(rows[0], order, strict=True)) for order in one] for one in orders)]
    all_of_them = [scipys([there[0], *others]).statistic for others in product(*there[1:])]
    assert found.p == pytest.approx(np.mean(np.array(all_of_them) >= found.statistic - 1e-9))
    assert found.least == pytest.approx(np.mean(np.array(all_of_them) >= max(all_of_them) - 1e-9))


def test_friedmans_drawn_p_is_close_to_the_exact_one(monkeypatch):
    rows = made(5, 4, seed=2)
    exact = friedman(rows)
    monkeypatch.setattr(ranktest, "ENUMERATED", 0)

    drawn = friedman(rows)

    assert (exact.method, drawn.method) == ("exact", "by permutations")
    assert drawn.p == pytest.approx(exact.p, abs=4 * (exact.p / ranktest.DRAWN) ** 0.5)
    assert friedman(rows) == drawn


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_friedmans_p_of_many_blocks_is_scipys_and_that_of_random_orders(step, monkeypatch):
    rows = made(ranktest.MANY, 5, seed=25, step=step)
    found = friedman(rows)

    assert (found.method, found.p) == ("by chi squared", pytest.approx(scipys(rows).pvalue))
    agreed = friedman([dict(zip("abcde", range(5), strict=True))] * ranktest.MANY)
    assert agreed.p == agreed.least < found.p
    monkeypatch.setattr(ranktest, "MANY", 1000)
    assert friedman(rows).p == pytest.approx(found.p, abs=0.006)  # four standard errors, and what chi squared is off


@pytest.mark.parametrize(
    ("k", "n", "possible"), [(2, 5, False), (2, 6, True), (3, 2, False), (3, 3, True), (4, 2, True)]
)
def test_blocks_too_few_for_any_ranks_to_differ_are_known(k, n, possible):
    """All agree by chance in one of (k!)^(n - 1) cases: 1/16, 1/32, 1/6, 1/36, 1/24."""
    found = friedman([{f"c{i}": float(i) for i in range(k)}] * n)

    assert found.p == found.least == pytest.approx(np.prod(np.arange(1, k + 1.0)) ** (1 - n))
    assert (found.possible, found.rejects) == (possible, possible)


def test_ties_leave_fewer_orders_and_may_leave_too_few():
    """Three blocks in which two of three are equal: one of 3^2 orders agrees with the first block, p = 1/9."""
    found = friedman([{"a": 2.0, "b": 1.0, "c": 1.0}] * 3)

    assert (found.p, found.possible) == (pytest.approx(1 / 9), False)


def test_means_that_only_the_order_of_their_sum_tells_apart_have_one_rank():
    """(90.1 + 80.3 + 70.2) / 3 and (70.2 + 90.1 + 80.3) / 3 differ in the last bit."""
    a, b = (90.1 + 80.3 + 70.2) / 3, (70.2 + 90.1 + 80.3) / 3
    assert a != b

    found = friedman([{"a": a, "b": b}] * 6)

    assert (found.ranks, found.p) == ({"a": 1.5, "b": 1.5}, None)
    assert (wilcoxon([a - b] * 6).p, wilcoxon([1e-15] * 6).n) == (None, 0)


def test_bars_join_exactly_the_pairs_that_scikit_posthocs_nemenyi_does_not_separate():
    rows = made(12, 5, seed=1)

    found = friedman(rows)

    theirs = scikit_posthocs.posthoc_nemenyi_friedman(pd.DataFrame(rows))
    apart = {(a, b) for a in found.ranks for b in found.ranks if theirs.loc[a, b] < 0.05}
    joined = {(a, b) for bar in found.groups for a in bar for b in bar}
    assert found.rejects
    assert apart
    assert apart == {(a, b) for a in found.ranks for b in found.ranks if a != b} - joined


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
    """Drawn until Friedman's p was just above 5 % and the outermost ranks 3.57 apart, where Nemenyi asks for 3.40."""
    rng = np.random.default_rng(78)
    k, n = int(rng.integers(5, 9)), int(rng.integers(4, 12))
    values = np.round(rng.normal(size=(n, k)) + 0.7 * (np.arange(k) == 0) - 0.7 * (np.arange(k) == 1), 2)

    found = friedman([{f"c{i}": float(v) for i, v in enumerate(row)} for row in values])

    assert 0.05 < found.p < 0.06
    assert max(found.ranks.values()) - min(found.ranks.values()) > found.critical
    assert [len(bar) for bar in found.groups] == [k]


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
    from pabench.statistics.intervals import holm

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


def test_models_count_the_same_in_friedmans_ranks():
    """a is first in three blocks of one model and last in one of another: (1 + 3) / 2, and b has 2 in every block."""
    blocks = [{"a": 3.0, "b": 2.0, "c": 1.0}] * 3 + [{"a": 1.0, "b": 2.0, "c": 3.0}]

    found = friedman(blocks, ["m", "m", "m", "n"])

    assert found.ranks == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert (found.n, found.worth) == (4, pytest.approx(1 / (3 * (1 / 6) ** 2 + 1 / 4)))
    assert found.p == 1.0  # no order has ranks that are more alike


def test_its_p_with_models_of_unlike_size_is_the_share_of_all_orders():
    """Ranks of a, b, c: 1 2 3 in three blocks, 1 3 2 in a fourth that counts three times: sums of 6, 15 and 15."""
    blocks = [{"a": 3.0, "b": 2.0, "c": 1.0}] * 3 + [{"a": 3.0, "b": 1.0, "c": 2.0}]
    every = product(permutations((1, 2, 3)), repeat=4)
    sums = [[sum(w * order[i] for w, order in zip((1, 1, 1, 3), orders, strict=True)) for i in range(3)]
            for orders in every]  # fmt: skip
    as_far = [sum(x**2 for x in row) >= 6**2 + 15**2 + 15**2 for row in sums]

    assert friedman(blocks, ["m", "m", "m", "n"]).p == pytest.approx(sum(as_far) / 6**4)


def test_equal_numbers_of_blocks_change_nothing_in_friedmans_test():
    rng = np.random.default_rng(0)
    blocks = [dict(zip("abc", rng.normal(size=3), strict=True)) for _ in range(6)]

    assert friedman(blocks, ["m", "n"] * 3).p == friedman(blocks).p
    assert friedman(blocks, ["m", "n"] * 3).statistic == pytest.approx(friedman(blocks).statistic)
