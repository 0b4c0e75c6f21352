"""What became of cells: trained, collapsed, failed by themselves, missing; and how often, with exact intervals."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
from scipy import stats

from pabench.statistics.intervals import CONFIDENCE, Interval, mean_interval
from pabench.store.record import MACHINE
from pabench.store.verdict import DEAD

TRAINED, COLLAPSED, FAILED, DECLINED, MISSING = "trained", "collapsed", "failed", "declined", "missing"
FINISHED = (TRAINED, COLLAPSED)
KNOWN = (*FINISHED, FAILED)
"""What a criterion answers for. What the machine lost, or nobody ran yet, says nothing of it."""
NO_BETTER = 0.999
"""How often a network that guesses stays at or under the accuracy up to which a cell counts as collapsed."""


def outcome(status: str, kind: str, top1: float, flags: Collection[str], bound: float) -> str:
    """What a cell counts as; `bound` is `chance_bound` of its test set.

    Failures of the criterion or of its training (diverged, crashed, refused as degenerate) are its own, those of
    `store.record.MACHINE` are missing. A finished cell collapsed if its accuracy is one that guessing explains, or if
    it is flagged dead: then it gives one class to all images, which may be a frequent one. The flag `collapsed` alone,
    a layer without weights, is no collapse: a shortcut may lead around it, and the network learn.

    >>> outcome("ok", "", 10.4, (), 10.95), outcome("failed", "diverged", float("nan"), (), 10.95)
    ('collapsed', 'failed')
    """
    if status == "ok":
        return COLLAPSED if DEAD in flags or top1 <= bound else TRAINED
    if kind == "declined":
        return DECLINED
    own = (status == "failed" and kind not in MACHINE) or (status == "skipped" and kind == "degenerate")
    return FAILED if own else MISSING


@lru_cache(maxsize=64)
def chance_bound(chance: float, images: int) -> float:
    """The accuracy in percent that guessing, which is right in `chance` percent, exceeds on `images` in one of 1,000
    test sets.

    >>> round(chance_bound(10.0, 10_000), 2), round(chance_bound(1.0, 10_000), 2)
    (10.94, 1.32)
    """
    return 100 * float(stats.binom.ppf(NO_BETTER, images, chance / 100)) / images


@dataclass(frozen=True)
class Rate:
    """How many of `n` independent things, with the exact interval of the share (Clopper and Pearson)."""

    count: int
    n: int

    @property
    def interval(self) -> Interval:
        """Of the share, 0 to 1; without limits where there is nothing.

        >>> round(Rate(0, 3).interval.high, 3)  # 1 - 0.025 ** (1 / 3)
        0.708
        """
        if not self.n:
            return Interval(float("nan"))
        found = stats.binomtest(self.count, self.n).proportion_ci(CONFIDENCE, method="exact")
        return Interval(self.count / self.n, float(found.low), float(found.high), self.n, "exact")

    @property
    def limits(self) -> str:
        """The share and its interval in percent; "" where there is nothing.

        >>> Rate(2, 10).limits
        '20 % [2.5, 55.6]'
        """
        found = self.interval
        if found.low is None or found.high is None:
            return ""
        return f"{100 * found.mean:.0f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"

    def __str__(self) -> str:
        """
        >>> print(Rate(2, 10))
        2 of 10
        """
        return f"{self.count} of {self.n}"


def failures(cells: pd.DataFrame) -> Rate:
    """In how many blocks a cell failed by itself, of those known to the end: its sparsities are alike.

    A block that failed and lacks other cells is in neither number: those that did not fail yet are not, either.
    """
    failed = (cells["outcome"] == FAILED).groupby(cells["block"]).any()
    known = cells["outcome"].isin(KNOWN).groupby(cells["block"]).all()
    return Rate(int((failed & known).sum()), int(known.sum()))


def collapses(cells: pd.DataFrame) -> Rate:
    """How many of the finished cells collapsed; its interval holds for cells of one sparsity, one a block."""
    return Rate(int((cells["outcome"] == COLLAPSED).sum()), int(cells["outcome"].isin(FINISHED).sum()))


def least(cells: pd.DataFrame) -> float:
    """What the top-1 of cells cannot be below: 0, and minus infinity where it holds R² (`report.frame.row`)."""
    return -math.inf if "r2" in cells and cells["r2"].notna().any() else 0.0


def accuracy_interval(top1: Sequence[float], least: float = 0.0) -> Interval:
    """The mean of accuracies in percent, one a block: Student's t, cut to what a percentage can be, or R² (`least`).

    >>> accuracy_interval([98.0, 99.0, 100.0]).high  # 99 ± 4.303 / sqrt(3)
    100
    """
    return mean_interval(top1).within(least, 100)


def seeds_interval(cells: pd.DataFrame) -> Interval:
    """The mean top-1 of finished cells, one a block, within 0 and 100; without an interval where any collapsed.

    Student's t covers 30 % where it says 95 % if a fall to chance is rare: most samples of three have none.
    """
    top1 = cells["top1"].dropna()
    if (cells.loc[cells["top1"].notna(), "outcome"] == COLLAPSED).any():
        return Interval(float(top1.mean()), n=len(top1))
    return accuracy_interval(list(top1), least(cells))
