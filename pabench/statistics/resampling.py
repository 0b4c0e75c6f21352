"""Numbers over tasks that are no plain means, with intervals that resample blocks: interquartile mean, P(a > b).

A stratum is a dataset and model, with one row per block and one column per sparsity. Cells of one block are never
resampled apart: they share weights and data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from pabench.statistics.intervals import CONFIDENCE, RESAMPLES, Interval, estimate, stratified_mean

CHUNK = 2_000_000
"""Numbers resampled at once, which bounds the memory."""


def interquartile_mean(strata: Sequence[np.ndarray]) -> Interval:
    """The mean of the middle half of all values (Agarwal et al. 2021, arXiv:2108.13264), strata and columns together.

    As there, a quarter of the values, rounded down, is left out at each end (none of three or fewer), and each value
    counts the same: a stratum with more of them weighs more, which there, with as many runs of each task, it has not.
    From `BOOTSTRAP_FROM` blocks in each stratum the interval is the percentile bootstrap of blocks within strata
    (`expanded`); with fewer, where that is too narrow, Student's t on the jackknife's standard error, a block left out
    at a time.

    >>> interquartile_mean([np.array([[0.0], [2.0], [4.0], [100.0]])]).mean
    3.0
    """
    data = [np.atleast_2d(np.asarray(values, dtype=float)) for values in strata]
    if not sum(map(len, data)):
        return Interval(float("nan"))
    mean = float(_middle(np.concatenate([x.ravel() for x in data])))
    return estimate(mean, data, _jackknifed, _percentiles)


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


def _jackknifed(data: Sequence[np.ndarray], place: int) -> float:
    """What one stratum adds to the variance of the interquartile mean."""
    rest = [x.ravel() for i, x in enumerate(data) if i != place]
    own = data[place]
    left = np.array([_middle(np.concatenate([*rest, np.delete(own, row, axis=0).ravel()])) for row in range(len(own))])
    return float((len(own) - 1) / len(own) * ((left - left.mean()) ** 2).sum())


def _percentiles(data: Sequence[np.ndarray], level: float) -> tuple[float, float]:
    low, high = np.quantile(np.concatenate(list(_resampled(data))), [(1 - level) / 2, 1 - (1 - level) / 2])
    return float(low), float(high)


def _resampled(data: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Interquartile means of resamples: as many blocks of each stratum as it has, drawn with replacement."""
    rng = np.random.default_rng(0)
    size = max(1, CHUNK // sum(x.size for x in data))
    for first in range(0, RESAMPLES, size):
        count = min(size, RESAMPLES - first)
        drawn = [x[rng.integers(len(x), size=(count, len(x)))].reshape(count, -1) for x in data]
        yield _middle(np.concatenate(drawn, axis=1))
