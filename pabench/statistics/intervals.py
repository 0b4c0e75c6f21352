"""Means, their intervals and tests, and which pairs of criteria the data separate: numpy and scipy only.

The unit of observation is the block (dataset, model, seed). Cells of one block share initial weights, data order,
augmentation and scoring batch, so criteria are compared within blocks, and cells of one block are never counted as
independent: they are averaged first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import optimize, stats

LEVEL = 0.05
"""Of tests: how often equals are told apart by one table's tests, corrected for their number."""
CONFIDENCE = 0.95
"""Of every interval: it is that of its number alone, intervals are not corrected for their number."""
DIGITS = 9
"""Of points of accuracy that count, for what is compared as equal: the last bits of a mean depend on its order."""
P = TypeVar("P", float, float | None)
Variance = Callable[[Sequence[np.ndarray], int], float]
"""What the stratum at a place among others adds to the variance of a number over all."""


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

    def within(self, least: float, most: float) -> Interval:
        """Cut to the values that the number can have: an accuracy to 0 and 100. It covers as often as before.

        >>> Interval(98.0, 95.0, 101.0, 3, "t").within(0, 100)
        Interval(mean=98.0, low=95.0, high=100, n=3, method='t')
        """
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(least, self.low), high=min(most, self.high))

    def times(self, factor: float) -> Interval:
        """The same number in another unit.

        >>> Interval(98.0, 95.0, 100.0, 3, "t").times(0.01)
        Interval(mean=0.98, low=0.95..., high=1.0, n=3, method='t')
        """
        if self.low is None or self.high is None:
            return replace(self, mean=self.mean * factor)
        return replace(self, mean=self.mean * factor, low=self.low * factor, high=self.high * factor)


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


def interval_text(interval: Interval, sign: bool = False, digits: int = 2) -> str:
    """What stands beside a mean: its half width, or its limits where they are not symmetric.

    >>> interval_text(Interval(90.0, 89.0, 91.0, 3, "t")), interval_text(Interval(98.0, 95.0, 100.0, 3, "t"))
    ('± 1.00', '[95.00, 100.00]')
    """
    if interval.low is None or interval.high is None or interval.half is None:
        return ""
    if abs(interval.low + interval.half - interval.mean) > 10.0**-DIGITS:
        form = f"{{:{'+' if sign else ''}.{digits}f}}"
        return f"[{form.format(interval.low)}, {form.format(interval.high)}]".replace("-", "−")
    return f"± {interval.half:.{digits}f}"


def stratified_mean(strata: Sequence[Sequence[float]]) -> float:
    """The mean of the means of strata, so that each counts the same; NaN where one is empty."""
    return float(np.mean([np.mean(values) for values in strata])) if strata and all(map(len, strata)) else float("nan")


def stratified_interval(strata: Sequence[Sequence[float]]) -> Interval:
    """The mean of the means of strata, each of independent values: strata are fixed, values within them random.

    Student's t for any number of values: one stratum has its n - 1 degrees of freedom, for several see `StandardError`.
    None with one value in a stratum, or where no stratum has any spread: equal values prove nothing.
    """
    data = [np.asarray(values, dtype=float) for values in strata]
    return estimate(stratified_mean(strata), data, _of_mean)


def estimate(mean: float, data: Sequence[np.ndarray], variance: Variance) -> Interval:
    """A number over strata with its interval; `variance` is what one stratum adds to the variance of the number."""
    n = sum(map(len, data))
    error = standard_error(data, variance)
    return error.interval(mean, n=n) if error else Interval(mean, n=n)


@dataclass(frozen=True)
class StandardError:
    """Of a sum of independent estimates, with the distribution of what is divided by it.

    That is Student's t where one `freedom` has the whole share: of one sample, or, of samples of equal size, that of
    Welch and Satterthwaite. Samples of unequal size have theirs for their `shares` in the variance, and a quantile is
    the mean of their quantiles (Cochran and Cox 1950): a model of two seeds beside one of ten may hold all of the
    variance, and Satterthwaite's freedom does not know how little is known of it (88 % where 95 % is meant).
    """

    size: float
    shares: tuple[float, ...]
    freedoms: tuple[float, ...]

    @classmethod
    def of(cls, variances: Sequence[float], freedoms: Sequence[int]) -> StandardError:
        """Of estimates with such variances, each known with such degrees of freedom."""
        size, together = satterthwaite(variances, freedoms)
        if len(set(freedoms)) == 1:
            return cls(size, (1.0,), (together,))
        return cls(size, tuple(v / size**2 for v in variances), tuple(map(float, freedoms)))

    def interval(self, mean: float, *, n: int, method: str = "t") -> Interval:
        """That of an estimate with this error."""
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, self.freedoms) @ np.asarray(self.shares)) * self.size
        return Interval(mean, mean - half, mean + half, n, method)

    def p(self, estimate: float) -> float:
        """Of the two-sided test that the true value is 0: the level at which the interval just reaches it.

        >>> error = StandardError.of([3.0, 1.0], [1, 9])  # 0.75 12.706 + 0.25 2.262 = 10.095
        >>> round(error.p(2 * 10.095), 4)
        0.05
        """
        apart, shares, freedoms = abs(estimate) / self.size, np.asarray(self.shares), np.asarray(self.freedoms)
        each = 2 * stats.t.sf(apart, freedoms)
        low, high = float(each.min()), float(each.max())
        if low == high:
            return low
        # a sample without spread has no share: p is then one of the two ends, but for rounding
        ends = low * (1 - 1e-6), min(1.0, high * (1 + 1e-6))
        return float(optimize.brentq(lambda p: stats.t.isf(p / 2, freedoms) @ shares - apart, *ends, xtol=1e-12))


def standard_error(data: Sequence[np.ndarray], variance: Variance) -> StandardError | None:
    """Of a number over strata; None with one value in a stratum or without any spread."""
    if min(map(len, data), default=0) < 2:
        return None
    parts = [variance(data, place) for place in range(len(data))]
    # values that are equal but for rounding have no spread
    if sum(parts) <= (1e-12 * max(1.0, *(float(np.abs(x).max()) for x in data))) ** 2:
        return None
    return StandardError.of(parts, [len(x) - 1 for x in data])


def satterthwaite(variances: Sequence[float], freedoms: Sequence[int]) -> tuple[float, float]:
    """The standard error of a sum of independent estimates, and its degrees of freedom (Welch 1947).

    >>> satterthwaite([3.0, 1.0], [2, 2])  # 4 ** 2 / (9 / 2 + 1 / 2)
    (2.0, 3.2)
    """
    total = float(sum(variances))
    return total**0.5, total**2 / float(sum(v**2 / freedom for v, freedom in zip(variances, freedoms, strict=True)))


def two_samples(difference: float, variances: tuple[float, float], sizes: tuple[int, int]) -> tuple[Interval, float]:
    """The difference of the means of two samples of such variances, and the p value of its test.

    By Welch (1947) where they are of one size, and as strata where they are not (`StandardError`).
    """
    parts = [variance / size for variance, size in zip(variances, sizes, strict=True)]
    error = StandardError.of(parts, [size - 1 for size in sizes])
    return error.interval(difference, n=sum(sizes), method="two samples"), error.p(difference)


def stratified_test(strata: Sequence[Sequence[float]]) -> Test:
    """Whether the mean of the means of strata differs from 0: a t test (one stratum of differences: the paired t test).

    Values without any spread give no `p`: a standard error of 0 from a handful of values is no evidence.
    """
    data = [np.asarray(values, dtype=float) for values in strata]
    error = standard_error(data, _of_mean)
    return Test(error.p(stratified_mean(strata)) if error else None, sum(map(len, data)))


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
