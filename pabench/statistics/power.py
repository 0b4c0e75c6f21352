"""How small a difference a t test can find, and how many seeds a difference needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

MOST_SEEDS = 10_000
"""More than anybody will run: the search for a number of seeds ends there."""
VARIANCES = 10_000
"""Equally likely estimates of a variance that a test's power is averaged over."""


@dataclass(frozen=True)
class TTest:
    """A t test whose standard error is estimated from `samples` of the same size and true variance.

    Each estimates its variance with `freedom` degrees of freedom; those of several are put together as Welch and
    Satterthwaite do. `alpha` is two-sided unless `sided` is 1. True values (`shift`) are in true standard errors.
    """

    freedom: int
    alpha: float = 0.05
    samples: int = 1
    sided: int = 2

    def power(self, shift: float) -> float:
        """The chance to find `shift`: given the estimated variances, the estimate is normal."""
        bounds = _bounds(self.freedom, self.samples, self.alpha / self.sided)
        found = special.ndtr(abs(shift) - bounds)
        return float((found + special.ndtr(-abs(shift) - bounds) if self.sided == 2 else found).mean())

    def detectable(self, power: float = 0.8) -> float:
        """The smallest true value that is found with that chance, which is more than `alpha`.

        >>> round(TTest(1000).detectable(), 2)  # as good as normal: 1.96 + 0.84
        2.8
        """
        high = 1.0
        while self.power(high) < power:
            high *= 2
        return float(optimize.brentq(lambda shift: self.power(shift) - power, 0.0, high, xtol=1e-9))


@dataclass(frozen=True)
class Comparison:
    """The test of differences between blocks: `strata` models with as many seeds each, each model counting the same.

    `sd` is that of a block's difference, the same in all models, which the test does not know. `alpha` is two-sided
    unless `sided` is 1; a correction divides it.
    """

    sd: float
    alpha: float = 0.05
    strata: int = 1
    sided: int = 2

    def power(self, effect: float, seeds: int) -> float:
        """The chance to find a true mean difference."""
        return 0.0 if seeds < 2 else self._test(seeds).power(effect / self._error(seeds))

    def detectable(self, seeds: int, power: float = 0.8) -> float | None:
        """The smallest true mean difference that is found with that chance; None with fewer than two seeds."""
        return None if seeds < 2 else _detectable(self._test(seeds), power) * self._error(seeds)

    def seeds(self, effect: float, power: float = 0.8) -> int | None:
        """The fewest seeds that find `effect` with that chance; None where `MOST_SEEDS` do not."""
        return _fewest(lambda seeds: self.power(effect, seeds) >= power)

    def _test(self, seeds: int) -> TTest:
        return TTest(seeds - 1, self.alpha, self.strata, self.sided)

    def _error(self, seeds: int) -> float:
        return float(self.sd / (self.strata * seeds) ** 0.5)


def could_see(
    strata: Sequence[Sequence[float]], alpha: float, *, typical: float | None = None, power: float = 0.8
) -> float | None:
    """The smallest true mean that the t test of such differences would have found with that chance; None without one.

    Strata are models, each counting the same. The spread is that of the differences themselves or the `typical` one of
    their like, whichever is larger: a few values that lie together by luck would promise too much.
    """
    sizes = [len(values) for values in strata]
    if min(sizes, default=0) < 2:
        return None
    own = sum(float(np.var(values, ddof=1)) / len(values) for values in strata)
    like = sum((typical or 0.0) ** 2 / size for size in sizes)
    error = max(own, like) ** 0.5 / len(strata)
    # of models with unlike numbers of seeds that of the fewest, whose part in the variance may be all of it
    # (`StandardError`): rather too much than too little
    samples = len(strata) if len(set(sizes)) == 1 else 1
    return _detectable(TTest(min(sizes) - 1, alpha, samples), power) * error if error else None


def typical_sd(samples: Sequence[Sequence[float]]) -> float | None:
    """The middle standard deviation of several samples; None where it is 0, and where none has two values."""
    found = [unbiased_sd(values) for values in samples if len(values) > 1]
    return float(np.median(np.square(found))) ** 0.5 or None if found else None


def unbiased_sd(values: Sequence[float]) -> float:
    """The standard deviation of a sample of two or more, corrected for its size (`unbiased`)."""
    return unbiased(float(np.std(values, ddof=1)), len(values) - 1)


def unbiased(sd: float, freedom: float) -> float:
    """An estimated standard deviation that is as often too high as too low.

    The median of variances lies below what they estimate, the more so the smaller the samples: each is divided by
    what the median of chi squared is of its degrees of freedom.

    >>> round(unbiased(1.0, 2), 3)  # 1 / sqrt(0.693)
    1.201
    """
    return sd * (freedom / _median_chi2(freedom)) ** 0.5


@lru_cache(maxsize=512)
def _detectable(test: TTest, power: float) -> float:
    """A page asks the same test about each of its criteria and sparsities."""
    return test.detectable(power)


@lru_cache(maxsize=512)
def _median_chi2(freedom: float) -> float:
    return float(stats.chi2.median(freedom))


def _fewest(found: Callable[[int], bool]) -> int | None:
    """The fewest seeds, two or more, from which on `found` holds; None where it does not for `MOST_SEEDS`."""
    seeds = bisect_left(range(MOST_SEEDS + 1), True, lo=2, key=found)
    return seeds if seeds <= MOST_SEEDS else None


@lru_cache(maxsize=128)
def _bounds(freedom: int, samples: int, tail: float) -> np.ndarray:
    """How many true standard errors an estimate must exceed, for each of `VARIANCES` equally likely estimates of it.

    The distribution of one estimated variance is its quantiles. With several samples each runs through its own in
    another order, always the same. (One sample's answer is the noncentral t, of which scipy's is NaN far out.)
    """
    rng = np.random.default_rng(0)
    quantiles = stats.chi2.ppf((np.arange(VARIANCES) + 0.5) / VARIANCES, freedom) / freedom
    variances = np.stack([rng.permutation(quantiles) for _ in range(samples)])
    total = variances.sum(axis=0)
    together = freedom * total**2 / (variances**2).sum(axis=0)
    return np.asarray(-special.stdtrit(together, tail) * (total / samples) ** 0.5)
