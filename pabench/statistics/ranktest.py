"""Tests that see ranks alone: Friedman's with Nemenyi's critical difference, and Wilcoxon's signed ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, permutations
from math import factorial, lcm
from typing import Literal

import numpy as np
from scipy import stats

from pabench.statistics.intervals import DIGITS, LEVEL, Test
from pabench.statistics.ranking import cliques, mean_ranks

ENUMERATED = 100_000
"""Sums of ranks up to which Friedman's p is exact, which takes a tenth of a second. Of more, `DRAWN` are drawn."""
DRAWN = 20_000
"""Random orders: a p of 0.05 is then known to 0.0015 (its standard error)."""
MANY = 60
"""Blocks from which on chi squared is as close to the p of all orders as `DRAWN` are: 0.049 for 0.05."""
CHUNK = 200_000
"""Numbers drawn at once: more leave the processor's cache, and take half as long again."""


@dataclass(frozen=True)
class Friedman:
    """Whether `k` names rank differently in `n` blocks, and by how much mean ranks must differ to tell two apart.

    `p` is None where there is nothing to test: fewer than two blocks, or equal values in each. `least` is the smallest
    p that these ranks could give, if all blocks agreed; `method` is how both were found.
    Where models have other numbers of blocks, each model counts the same, and `worth` is what is left of the blocks.
    """

    ranks: dict[str, float]
    statistic: float | None
    p: float | None
    n: int
    least: float = 0.0
    method: Literal["exact", "by permutations", "by chi squared"] = "exact"
    worth: float = 0.0

    @property
    def k(self) -> int:
        return len(self.ranks)

    @property
    def critical(self) -> float:
        """Nemenyi's critical difference (Demsar 2006): q sqrt(k (k + 1) / 6 n), q the studentized range over sqrt 2."""
        return critical_difference(self.k, self.worth or self.n)

    @property
    def possible(self) -> bool:
        """Whether it would reject if all blocks agreed."""
        return self.least < LEVEL

    @property
    def reachable(self) -> bool:
        """Whether the largest difference that mean ranks can have, k - 1, would be enough."""
        return self.critical < self.k - 1

    @property
    def rejects(self) -> bool:
        return self.p is not None and self.p < LEVEL

    @property
    def groups(self) -> list[list[str]]:
        """The bars of the diagram; one over all names where the test does not reject."""
        return cliques(self.ranks, self.critical if self.rejects else float("inf"))


def friedman(blocks: Sequence[Mapping[str, float]], models: Sequence[str] = ()) -> Friedman:
    """Friedman's test over blocks of one value per name, its statistic corrected for ties.

    Its p is that of all orders of the ranks within blocks. Where these are too many it is that of `DRAWN` random ones,
    always the same, or from `MANY` blocks on that of chi squared, its limit, which is too small with few blocks: 0.0498
    for 0.069 (four blocks of three).
    Blocks must be independent: values of several sparsities of one block are averaged first. `models` has the model of
    each block: each counts the same, however many blocks it has, as in every other mean.
    """
    blocks = [{name: round(value, DIGITS) for name, value in block.items()} for block in blocks]
    n, sizes = len(blocks), Counter(models)
    # whole numbers, so that equal sums of ranks are equal
    each = np.array([lcm(*sizes.values()) // sizes[model] for model in models] or [1] * n, dtype=np.int64)
    ranks, k = mean_ranks(blocks, each), len(blocks[0]) if blocks else 0
    if n < 2 or k < 2:
        return Friedman(ranks, None, None, n)
    table = stats.rankdata([[block[name] for name in ranks] for block in blocks], axis=1)
    # the variance that ranks have within a block: k (k + 1) / 12 where no two are equal
    within = ((table - (k + 1) / 2) ** 2).sum(axis=1) / (k - 1)
    if not within.any():
        return Friedman(ranks, None, None, n)
    weights = each / each.sum()
    worth = float(1 / (weights**2).sum())
    variance = float((weights**2 * within).sum())
    agreed = np.sort(table, axis=1)
    statistic, most = (float(((weights @ one - (k + 1) / 2) ** 2).sum()) / variance for one in (table, agreed))
    # within blocks only the order can differ, so the statistic grows with the squared sums of ranks: whole numbers here
    table, agreed = (np.rint(2 * one).astype(np.int64) * each[:, None] for one in (table, agreed))
    orders = _orders(table)
    if orders is None and worth >= MANY:
        p, least = (float(stats.chi2.sf(value, k - 1)) for value in (statistic, most))
        return Friedman(ranks, statistic, p, n, least, "by chi squared", worth)
    squares, chances = orders or _drawn(table)
    p, least = (min(1.0, float(chances[squares >= (one.sum(axis=0) ** 2).sum()].sum())) for one in (table, agreed))
    return Friedman(ranks, statistic, p, n, least, "exact" if orders else "by permutations", worth)


def critical_difference(k: int, n: float) -> float:
    """The least difference of mean ranks over `n` blocks that separates two of `k` names; infinite without blocks.

    >>> round(critical_difference(5, 30), 3)  # q = 2.728 for k = 5
    1.114
    """
    if k < 2 or n <= 0:
        return float("inf")
    q = float(stats.studentized_range.isf(LEVEL, k, np.inf)) / 2**0.5
    return q * (k * (k + 1) / (6 * n)) ** 0.5


def wilcoxon(differences: Sequence[float]) -> Test:
    """Whether differences are symmetric about 0: Wilcoxon's signed ranks, two-sided and exact, ties included.

    Differences of 0 are left out, as Wilcoxon did; equal sizes share their mean rank. `n` counts what is left. Those
    that are equal, or 0, but for the last bits of a mean count as such.

    >>> wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0]).p  # all signs alike: 2 of 32
    0.0625
    """
    values = np.round(np.asarray(differences, dtype=float), DIGITS)
    values = values[values != 0]
    if len(values) < 2:
        return Test(None, len(values))
    steps = np.rint(2 * stats.rankdata(np.abs(values))).astype(int)  # twice a mean rank is a whole number
    steps //= np.gcd.reduce(steps)  # without ties all are even: half as many sums
    chances = _chances_of_sums(tuple(np.sort(steps).tolist()))
    positive = int(steps[values > 0].sum())
    tail = min(chances[: positive + 1].sum(), chances[positive:].sum())
    return Test(float(min(1.0, 2 * tail)), len(values))


@lru_cache(maxsize=4)  # without ties all pairs of a page have the same ranks
def _chances_of_sums(steps: tuple[int, ...]) -> np.ndarray:
    """The chance of each sum of the positive ranks, each rank being in it or not, with even chances.

    scipy tries all 2 ** n signs instead, with equal results, and takes a minute for 18 blocks.
    """
    chances = np.zeros(sum(steps) + 1)
    chances[0] = 1
    for rank, most in zip(steps, accumulate(steps), strict=True):
        within = chances[: most + 1]  # beyond it all are 0 yet
        within[rank:] += within[:-rank]
        within /= 2
    return chances


def smallest_p(n: int) -> float:
    """The smallest p that `wilcoxon` can give with `n` differences: all of one sign.

    >>> smallest_p(5), smallest_p(6)
    (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - n))


def _orders(table: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The squared sums of ranks of all orders within blocks and their chances; None where these are too many.

    All names are alike, so sums that differ in their order alone are one, and the first block can stay as it is.
    """
    k = table.shape[1]
    sums, chances = np.sort(table[:1], axis=1), np.ones(1)
    highest = int(table.max(axis=1).sum())
    if (highest + 1) ** k > np.iinfo(np.int64).max:
        return None
    base = (highest + 1) ** np.arange(k, dtype=np.int64)  # sums as digits
    for row in table[1:]:
        if len(sums) * factorial(k) > ENUMERATED:
            return None
        orders = np.array(list(permutations(row)))
        sums = np.sort((sums[:, None] + orders).reshape(-1, k), axis=1)
        _, first, same = np.unique(sums @ base, return_index=True, return_inverse=True)
        chances = np.bincount(same, np.repeat(chances / len(orders), len(orders)))
        sums = sums[first]
    return (sums**2).sum(axis=1), chances


def _drawn(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `_orders`, of random ones; the one there is counts as drawn, so that no p is 0."""
    rng = np.random.default_rng(0)
    squares = [np.array([np.iinfo(np.int64).max])]
    size = max(1, CHUNK // table.size)
    for first in range(0, DRAWN, size):
        many = np.broadcast_to(table, (min(size, DRAWN - first), *table.shape))
        squares.append((rng.permuted(many, axis=2).sum(axis=1) ** 2).sum(axis=1))
    return np.concatenate(squares), np.full(DRAWN + 1, 1 / (DRAWN + 1))
