"""Tests that see ranks alone: Friedman's with Nemenyi's critical difference, and Wilcoxon's signed ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pabench.ranking import cliques, mean_ranks
from pabench.statistics import Test


@dataclass(frozen=True)
class Friedman:
    """Whether `k` names rank differently in `n` blocks, and by how much mean ranks must differ to tell two apart.

    `p` is None where there is nothing to test: fewer than two blocks, or equal values in each.
    """

    ranks: dict[str, float]
    statistic: float | None
    p: float | None
    n: int
    level: float

    @property
    def k(self) -> int:
        return len(self.ranks)

    @property
    def critical(self) -> float:
        """Nemenyi's critical difference (Demsar 2006): q sqrt(k (k + 1) / 6 n), q the studentized range over sqrt 2."""
        return critical_difference(self.k, self.n, self.level)

    @property
    def reachable(self) -> bool:
        """Whether the largest difference that mean ranks can have, k - 1, would be enough."""
        return self.critical < self.k - 1

    @property
    def rejects(self) -> bool:
        return self.p is not None and self.p < self.level

    @property
    def groups(self) -> list[list[str]]:
        """The bars of the diagram; one over all names where the test does not reject."""
        return cliques(self.ranks, self.critical if self.rejects else float("inf"))


def friedman(blocks: Sequence[Mapping[str, float]], level: float = 0.05) -> Friedman:
    """Friedman's test over blocks of one value per name, corrected for ties; its p is that of chi squared.

    Blocks must be independent: values of several sparsities of one block are averaged first.
    """
    ranks, n = mean_ranks(blocks), len(blocks)
    k = len(ranks)
    if n < 2 or k < 2:
        return Friedman(ranks, None, None, n, level)
    table = stats.rankdata([[-block[name] for name in ranks] for block in blocks], axis=1)
    # the variance that ranks have within blocks: k (k + 1) / 12 where no two are equal
    within = float(((table - (k + 1) / 2) ** 2).sum()) / (n * (k - 1))
    if within == 0:
        return Friedman(ranks, None, None, n, level)
    between = n * sum((rank - (k + 1) / 2) ** 2 for rank in ranks.values())
    statistic = between / within
    return Friedman(ranks, statistic, float(stats.chi2.sf(statistic, k - 1)), n, level)


def critical_difference(k: int, n: int, level: float = 0.05) -> float:
    """The least difference of mean ranks over `n` blocks that separates two of `k` names; infinite without blocks.

    >>> round(critical_difference(5, 30), 3)  # q = 2.728 for k = 5
    1.114
    """
    if k < 2 or n < 1:
        return float("inf")
    q = float(stats.studentized_range.isf(level, k, np.inf)) / 2**0.5
    return q * (k * (k + 1) / (6 * n)) ** 0.5


def nemenyi(found: Friedman, a: str, b: str) -> float:
    """The p value of two names' mean ranks, corrected for all pairs."""
    error = (found.k * (found.k + 1) / (12 * found.n)) ** 0.5
    return float(stats.studentized_range.sf(abs(found.ranks[a] - found.ranks[b]) / error, found.k, np.inf))


def wilcoxon(differences: Sequence[float]) -> Test:
    """Whether differences are symmetric about 0: Wilcoxon's signed ranks, two-sided and exact, ties included.

    Differences of 0 are left out, as Wilcoxon did; equal sizes share their mean rank. `n` counts what is left.

    >>> wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0]).p  # all signs alike: 2 of 32
    0.0625
    """
    values = np.asarray([x for x in differences if x != 0], dtype=float)
    if len(values) < 2:
        return Test(None, len(values))
    # rounding keeps differences that are equal but for the last bit equal; twice a mean rank is a whole number
    ranks = np.rint(2 * stats.rankdata(np.round(np.abs(values), 9))).astype(int)
    chances = np.ones(1)
    for rank in ranks:
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    positive = int(ranks[values > 0].sum())
    tail = min(chances[: positive + 1].sum(), chances[positive:].sum())
    return Test(float(min(1.0, 2 * tail)), len(values))


def smallest_p(n: int) -> float:
    """The smallest p that `wilcoxon` can give with `n` differences: all of one sign.

    >>> smallest_p(5), smallest_p(6)
    (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - n))
