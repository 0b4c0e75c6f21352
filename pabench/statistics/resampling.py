"""Numbers over tasks that are no plain means, with intervals over blocks: interquartile mean, P(a > b).

A stratum is a dataset and model, with one row per block and one column per sparsity. Cells of one block are never
taken apart: they share weights and data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from pabench.statistics.intervals import CONFIDENCE, Interval, estimate, stratified_mean


def interquartile_mean(strata: Sequence[np.ndarray]) -> Interval:
    """The mean of the middle half of all values (Agarwal et al. 2021, arXiv:2108.13264), strata and columns together.

    As there, a quarter of the values, rounded down, is left out at each end (none of three or fewer), and each value
    counts the same: a stratum with more of them weighs more, which there, with as many runs of each task, it has not.
    The interval is Student's t on the jackknife's standard error, a block left out at a time, or on that of the plain
    mean where it is larger: of few blocks the middle half rests on so few cells that leaving one out may hardly move it
    (two sparsities of three blocks: 90 to 92 % where 95 % is meant).

    >>> interquartile_mean([np.array([[0.0], [2.0], [4.0], [100.0]])]).mean
    3.0
    """
    data = [np.atleast_2d(np.asarray(values, dtype=float)) for values in strata]
    if not sum(map(len, data)):
        return Interval(float("nan"))
    mean = float(_middle(np.concatenate([x.ravel() for x in data])))
    return estimate(mean, data, _variance)


def win_probability(strata: Sequence[Sequence[float]]) -> Interval:
    """The mean of each block's share of wins, strata counting the same: P(a > b), ties counted half.

    The interval is Clopper and Pearson's for that share of n blocks, n being what the strata's weights leave of them.
    It is exact for one sparsity; a share over several varies less than a single win does, and then it is wide rather
    than narrow. With every block won it excludes one half from n = 6, where the sign test reaches p = 0.03.

    >>> win_probability([[1.0, 1.0, 1.0]])  # 0.025 ** (1 / 3)
    Interval(mean=1.0, low=0.292..., high=1.0, n=3, method='exact')
    """
    n = sum(map(len, strata))
    mean = stratified_mean(strata)
    if not strata or not all(map(len, strata)):
        return Interval(mean, n=n)
    blocks = len(strata) ** 2 / sum(1 / len(values) for values in strata)
    won, tail = mean * blocks, (1 - CONFIDENCE) / 2
    low = float(stats.beta.ppf(tail, won, blocks - won + 1)) if mean > 0 else 0.0
    high = float(stats.beta.isf(tail, won + 1, blocks - won)) if mean < 1 else 1.0
    return Interval(mean, low, high, n, "exact")


def wins(a: np.ndarray, b: np.ndarray) -> list[float]:
    """For each block (row) the share of sparsities (columns) at which `a` is higher; equal values count half.

    >>> wins(np.array([[3.0, 1.0]]), np.array([[2.0, 1.0]]))
    [0.75]
    """
    return [float(share) for share in ((a > b) + 0.5 * (a == b)).mean(axis=1)]


def _middle(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half along the last axis."""
    cut, n = values.shape[-1] // 4, values.shape[-1]
    return np.asarray(np.partition(values, (cut, n - cut - 1), axis=-1)[..., cut : n - cut].mean(axis=-1))


def _variance(data: Sequence[np.ndarray], place: int) -> float:
    """What one stratum adds to the variance of the interquartile mean: the jackknife's, or that of the mean of all."""
    rest = [x.ravel() for i, x in enumerate(data) if i != place]
    own = data[place]
    n = len(own)
    left = np.array([_middle(np.concatenate([*rest, np.delete(own, row, axis=0).ravel()])) for row in range(n)])
    jackknifed = (n - 1) / n * ((left - left.mean()) ** 2).sum()
    plain = n * own.sum(axis=1).var(ddof=1) / sum(x.size for x in data) ** 2
    return float(max(jackknifed, plain))
