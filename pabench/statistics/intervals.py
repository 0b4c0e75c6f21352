"""Means, their intervals and tests, and which pairs of criteria the data separate: numpy and scipy only.

The unit of observation is the block (dataset, model, seed). Cells of one block share initial weights, data order,
augmentation and scoring batch, so criteria are compared within blocks, and cells of one block are never counted as
independent: they are averaged first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

LEVEL = 0.05
"""Of tests: how often equals are told apart by one table's tests, corrected for their number."""
CONFIDENCE = 0.95
"""Of every interval: it is that of its number alone, intervals are not corrected for their number."""
BOOTSTRAP_FROM = 10
"""Blocks per stratum from which an interval is a bootstrap; with fewer there is little to resample."""
RESAMPLES = 4999
DIGITS = 9
"""Of points of accuracy that count, for what is compared as equal: the last bits of a mean depend on its order."""
P = TypeVar("P", float, float | None)
Variance = Callable[[Sequence[np.ndarray], int], float]
"""What the stratum at a place among others adds to the variance of a number over all."""
Bootstrap = Callable[[Sequence[np.ndarray], float], tuple[float, float]]
"""The limits of a number over strata at a level."""


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; `low` and `high` are None where `n` does not allow one."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    method: str = "none"

    @property
    def half(self) -> float | None:
        """Half the width."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Test:
    """A two-sided test that a mean is 0; `p` is None where it cannot be tested (fewer than two values, no spread)."""

    __test__ = False  # not a test class of pytest

    p: float | None
    n: int


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of independent values.

    >>> mean_interval([1.0, 2.0, 3.0])  # t(0.975, 2) = 4.3027, standard error 1 / sqrt(3)
    Interval(mean=2.0, low=-0.484..., high=4.484..., n=3, method='t')
    """
    return stratified_interval([values])


def interval_text(interval: Interval, sign: bool = False) -> str:
    """What stands beside a mean: its half width, or its limits where they are not symmetric."""
    if interval.low is None or interval.high is None or interval.half is None:
        return ""
    if interval.method == "bootstrap":
        form = "{:+.2f}" if sign else "{:.2f}"
        return f"[{form.format(interval.low)}, {form.format(interval.high)}]".replace("-", "−")
    return f"± {interval.half:.2f}"


def stratified_mean(strata: Sequence[Sequence[float]]) -> float:
    """The mean of the means of strata, so that each counts the same; NaN where one is empty."""
    return float(np.mean([np.mean(values) for values in strata])) if strata and all(map(len, strata)) else float("nan")


def stratified_interval(strata: Sequence[Sequence[float]]) -> Interval:
    """The mean of the means of strata, each of independent values: strata are fixed, values within them random.

    With few values Student's t with the degrees of freedom of Welch and Satterthwaite (one stratum: the usual t); from
    `BOOTSTRAP_FROM` values in each stratum the BCa bootstrap (Efron 1987), resampled within strata at the level that
    `expanded` gives. None with one value in a stratum, or where no stratum has any spread: equal values prove nothing.
    """
    data = [np.asarray(values, dtype=float) for values in strata]
    return estimate(stratified_mean(strata), data, _of_mean, _bootstrap)


def estimate(mean: float, data: Sequence[np.ndarray], variance: Variance, bootstrap: Bootstrap) -> Interval:
    """A number over strata with its interval: Student's t, from `BOOTSTRAP_FROM` values in each stratum the bootstrap.

    `variance` is what one stratum adds to the variance of the number.
    """
    sizes = [len(x) for x in data]
    error, freedom = standard_error(data, variance)
    if error == 0:
        return Interval(mean, n=sum(sizes))
    if min(sizes) < BOOTSTRAP_FROM:
        return t_interval(mean, error, freedom, n=sum(sizes))
    low, high = bootstrap(data, expanded(CONFIDENCE, min(sizes), freedom))
    return Interval(mean, low, high, sum(sizes), "bootstrap")


def standard_error(data: Sequence[np.ndarray], variance: Variance) -> tuple[float, float]:
    """Of a number over strata, with its degrees of freedom; 0.0 with one value in a stratum or without any spread."""
    if min(map(len, data), default=0) < 2:
        return 0.0, 1.0
    parts = [variance(data, place) for place in range(len(data))]
    # values that are equal but for rounding have no spread
    if sum(parts) <= (1e-12 * max(1.0, *(float(np.abs(x).max()) for x in data))) ** 2:
        return 0.0, 1.0
    return satterthwaite(parts, [len(x) - 1 for x in data])


def expanded(level: float, n: int, freedom: float) -> float:
    """The level at which a bootstrap of samples of `n` covers as `level` says (Hesterberg 2015, expanded percentile).

    A plain one of 10 normal values covers 89 % where it says 95 %: resamples vary by 1 - 1 / n less than samples do,
    and its quantiles are the normal ones.

    >>> round(expanded(0.95, 10, 9), 3)  # 2 Phi(t(0.975, 9) sqrt(10 / 9)) - 1
    0.983
    """
    return float(1 - 2 * stats.norm.sf(stats.t.ppf((1 + level) / 2, freedom) * (n / (n - 1)) ** 0.5))


def t_interval(mean: float, error: float, freedom: float, *, n: int, method: str = "t") -> Interval:
    """An estimate with its standard error, as an interval of Student's t."""
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Interval(mean, mean - half, mean + half, n, method)


def satterthwaite(variances: Sequence[float], freedoms: Sequence[int]) -> tuple[float, float]:
    """The standard error of a sum of independent estimates, and its degrees of freedom (Welch 1947).

    >>> satterthwaite([3.0, 1.0], [2, 2])  # 4 ** 2 / (9 / 2 + 1 / 2)
    (2.0, 3.2)
    """
    total = float(sum(variances))
    return total**0.5, total**2 / float(sum(v**2 / freedom for v, freedom in zip(variances, freedoms, strict=True)))


def welch(difference: float, variances: tuple[float, float], sizes: tuple[int, int]) -> tuple[Interval, float]:
    """The difference of the means of two samples of such variances, and the p value of its test (Welch 1947)."""
    parts = [variance / size for variance, size in zip(variances, sizes, strict=True)]
    error, freedom = satterthwaite(parts, [size - 1 for size in sizes])
    p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return t_interval(difference, error, freedom, n=sum(sizes), method="Welch"), p


def stratified_test(strata: Sequence[Sequence[float]]) -> Test:
    """Whether the mean of the means of strata differs from 0: a t test (one stratum of differences: the paired t test).

    Values without any spread give no `p`: a standard error of 0 from a handful of values is no evidence.
    """
    data = [np.asarray(values, dtype=float) for values in strata]
    error, freedom = standard_error(data, _of_mean)
    p = float(2 * stats.t.sf(abs(stratified_mean(strata) / error), freedom)) if error else None
    return Test(p, sum(map(len, data)))


def holm(p_values: Sequence[P]) -> list[P]:
    """P values adjusted for their number (Holm 1979), in the order given.

    None stands for what cannot be tested: it stays None, and counts in the correction as if it were 1.

    >>> holm([0.01, 0.04, 0.03]), holm([0.01, None])
    ([0.03, 0.06, 0.06], [0.02, None])
    """
    known = [1.0 if p is None else p for p in p_values]
    adjusted, highest = list(p_values), 0.0
    for position, index in enumerate(sorted(range(len(known)), key=known.__getitem__)):
        highest = max(highest, min(1.0, (len(known) - position) * known[index]))
        if p_values[index] is not None:
            adjusted[index] = highest
    return adjusted


def _of_mean(data: Sequence[np.ndarray], place: int) -> float:
    """What one stratum adds to the variance of the mean of their means."""
    return float(data[place].var(ddof=1)) / len(data[place]) / len(data) ** 2


def _bootstrap(data: Sequence[np.ndarray], level: float) -> tuple[float, float]:
    result = stats.bootstrap(
        tuple(data),
        lambda *samples, axis: np.mean([sample.mean(axis=axis) for sample in samples], axis=0),
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="BCa",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
