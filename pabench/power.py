"""How small a difference a paired comparison can find, and how many seeds a difference needs: noncentral t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

SEED_SD = 0.34
"""Points of top-1: standard deviation over seeds, the median of 45 published cells."""
CORRELATION = 0.55
"""Of two criteria's top-1 in a block. No paper gives it. With `SEED_SD` it is what lets 9 paired seeds do the work of
17 unpaired ones for 0.3 points (one-sided at 5 %, power 0.8)."""
MOST_SEEDS = 10_000


def paired_sd(sd: float = SEED_SD, correlation: float = CORRELATION) -> float:
    """Standard deviation of the difference of two values with the same `sd` and a correlation.

    >>> round(paired_sd(), 3)  # 0.34 sqrt(2 (1 - 0.55))
    0.323
    """
    return float(sd * (2 * (1 - correlation)) ** 0.5)


@dataclass(frozen=True)
class Comparison:
    """A t test of differences between blocks: `strata` models with as many seeds each, each model counting the same.

    `sd` is that of a block's difference. `alpha` is two-sided unless `sided` is 1; a correction divides it.
    """

    sd: float
    alpha: float = 0.05
    strata: int = 1
    sided: int = 2

    def power(self, effect: float, seeds: int) -> float:
        """The chance to find a true mean difference."""
        if seeds < 2:
            return 0.0
        freedom = self.strata * (seeds - 1)
        shift = abs(effect) / self.sd * (self.strata * seeds) ** 0.5
        bound = stats.t.isf(self.alpha / self.sided, freedom)
        found = stats.nct.sf(bound, freedom, shift)
        # where the shift is large, the other tail is 0 and scipy gives NaN for it
        other = stats.nct.cdf(-bound, freedom, shift) if self.sided == 2 and shift < 5 else 0.0
        return float(found + other)

    def detectable(self, seeds: int, power: float = 0.8) -> float | None:
        """The smallest true mean difference that is found with that chance; None with fewer than two seeds."""
        if seeds < 2 or self.sd <= 0:
            return None if seeds < 2 else 0.0
        high = self.sd
        while self.power(high, seeds) < power:
            high *= 2
        return float(optimize.brentq(lambda effect: self.power(effect, seeds) - power, 0.0, high, xtol=1e-9))

    def seeds(self, effect: float, power: float = 0.8) -> int | None:
        """The fewest seeds that find `effect` with that chance; None where `MOST_SEEDS` do not."""
        low, high = 1, 2
        while self.power(effect, high) < power:
            if high >= MOST_SEEDS:
                return None
            low, high = high, min(2 * high, MOST_SEEDS)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(effect, middle) >= power else (middle, high)
        return high


def unpaired_seeds(
    effect: float, sd: float = SEED_SD, *, alpha: float = 0.05, power: float = 0.8, sided: int = 2
) -> int:
    """The fewest seeds of each of two unpaired samples that find `effect`: two-sample t test.

    Two samples of n seeds are two strata whose means are subtracted: a mean of two has half the difference's size.
    """
    found = Comparison(sd, alpha, strata=2, sided=sided).seeds(effect / 2, power)
    assert found is not None
    return found


def typical_sd(samples: Sequence[Sequence[float]]) -> float | None:
    """The middle standard deviation of several samples; None where no two values of any differ.

    The median of variances lies below what they estimate, the more so the smaller the samples: each is divided by
    what the median of chi squared is of its degrees of freedom (0.69 for three values).
    """
    variances = [
        float(np.var(values, ddof=1)) * (len(values) - 1) / float(stats.chi2.median(len(values) - 1))
        for values in samples
        if len(values) > 1
    ]
    typical = float(np.median(variances)) ** 0.5 if variances else 0.0
    return typical or None
