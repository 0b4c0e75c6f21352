"""Criteria two at a time: the paired difference with its tests, and how often one is above the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pabench.statistics.intervals import LEVEL, Interval, Test, holm, stratified_interval, stratified_test
from pabench.statistics.paired import by_task, differences
from pabench.statistics.ranktest import wilcoxon
from pabench.statistics.resampling import win_probability, wins


@dataclass(frozen=True)
class Duel:
    """Criterion `a` minus `b` in the blocks that both finished at every sparsity, each averaged over sparsities first.

    `won` is P(a > b) over sparsities and blocks. The tests' `p` are Holm-adjusted over the pairs of their table; None
    where there is nothing to test.
    """

    a: str
    b: str
    difference: Interval
    won: Interval
    t: Test
    ranks: Test

    @property
    def verdict(self) -> str:
        """Which is better, or that the data do not say: by the t test, as the leaderboard's groups."""
        if self.t.p is None or self.t.p >= LEVEL:
            return ""
        return self.a if self.difference.mean > 0 else self.b


def duels(pruned: pd.DataFrame, names: Sequence[str]) -> tuple[Duel, ...]:
    """Every pair of `names`, in their order; `pruned` has the cells of one (dataset, model) or of several."""
    tasks = by_task(pruned)[list(names)]
    pairs = differences(tasks, names)
    values = {name: grids(tasks[name]) for name in names}
    t = _adjusted([stratified_test(strata) for strata in pairs.values()])
    ranks = _adjusted([wilcoxon([x for values in strata for x in values]) for strata in pairs.values()])
    return tuple(
        Duel(a, b, stratified_interval(pairs[a, b]), win_probability(_wins(values[a], values[b])), one, other)
        for (a, b), one, other in zip(pairs, t, ranks, strict=True)
    )


def grids(tasks: pd.Series) -> list[np.ndarray]:
    """A column of tasks as blocks (rows) by sparsities (columns), one array per stratum; NaN where not finished.

    The columns are the sparsities that any criterion has in that stratum: models need not share theirs.
    """
    return [group.unstack("sparsity").to_numpy() for _, group in tasks.groupby(level="stratum")]


def _wins(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> list[list[float]]:
    """The shares of wins of the blocks that have both, for each stratum that has such a block."""
    both = [(x, y, ~np.isnan(x - y).any(axis=1)) for x, y in zip(a, b, strict=True)]
    return [wins(x[whole], y[whole]) for x, y, whole in both if whole.any()]


def _adjusted(tests: Sequence[Test]) -> list[Test]:
    """The tests with Holm's p values."""
    return [Test(p, test.n) for test, p in zip(tests, holm([test.p for test in tests]), strict=True)]
