"""Criteria two at a time: the paired difference with its tests, and how often one is above the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pabench.statistics.intervals import LEVEL, Interval, Test, holm
from pabench.statistics.paired import Pair, by_task, pairs
from pabench.statistics.ranktest import wilcoxon
from pabench.statistics.resampling import win_probability, wins


@dataclass(frozen=True)
class Duel:
    """Criterion `a` minus `b` in the blocks that both finished at every sparsity, each averaged over sparsities first.

    `won` is P(a > b) over sparsities and blocks. The tests' `p` are Holm-adjusted over the pairs of their table; None
    where there is nothing to test: `unfinished` of `blocks` have failed or missing cells of one of the two, and what is
    left would be survivors. `t` is by signs where `flipped`.
    """

    a: str
    b: str
    difference: Interval
    won: Interval
    t: Test
    ranks: Test
    blocks: int = 0
    unfinished: int = 0
    collapsed: bool = False
    flipped: bool = False

    @property
    def verdict(self) -> str:
        """Which is better, or "" where the data do not say: by the first test, as the leaderboard's groups."""
        if self.t.p is None or self.t.p >= LEVEL:
            return ""
        return self.a if self.difference.mean > 0 else self.b


def duels(pruned: pd.DataFrame, names: Sequence[str]) -> tuple[Duel, ...]:
    """Every pair of `names`, in their order; `pruned` has the cells of one (dataset, model) or of several."""
    tasks = by_task(pruned)[list(names)]
    found = pairs(pruned, names)
    values = {name: grids(tasks[name]) for name in names}
    t = _adjusted([pair.test for pair in found.values()])
    ranks = _adjusted([_ranked(pair) for pair in found.values()])
    return tuple(
        Duel(
            a,
            b,
            pair.interval,
            win_probability(_wins(values[a], values[b])),
            one,
            other,
            pair.blocks,
            pair.unfinished,
            pair.collapsed,
            pair.flipped,
        )
        for ((a, b), pair), one, other in zip(found.items(), t, ranks, strict=True)
    )


def _ranked(pair: Pair) -> Test:
    """Wilcoxon's test of a pair, none of survivors."""
    return Test(None, pair.n) if pair.unfinished else wilcoxon([x for values in pair.strata for x in values])


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
