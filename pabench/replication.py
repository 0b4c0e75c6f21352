"""Whether trainings with fresh seeds agree with those that were reported: the test of level 4, its n and its power.

Each setting (dataset, model, criterion, sparsity) has reported and fresh accuracies of independent seeds. They are
compared by a two-sample t test whose standard deviation is pooled over all settings that are looked at: with two or
three seeds each, no setting alone knows its own. P values are Holm-corrected over the settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pabench.power import TTest
from pabench.statistics import holm

LEVEL = 0.01
"""How often an honest submission is turned down, over all settings together."""
POWER = 0.8
MOST_DETECTABLE = 10.0
"""Points of accuracy: a test that misses a larger difference one time in five proves nothing, and is not passed."""


@dataclass(frozen=True)
class Agreement:
    """One setting. `difference` is fresh minus reported with its `low` and `high` of the same test (not corrected);
    `p` is corrected; `detectable`: the smallest true difference that the test finds with probability `POWER`."""

    reported: tuple[float, ...]
    fresh: tuple[float, ...]
    difference: float
    low: float
    high: float
    p: float
    detectable: float

    @property
    def agrees(self) -> bool:
        return self.p >= LEVEL


def agreements(settings: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> dict[str, Agreement]:
    """The agreement of each setting: (reported, fresh) accuracies, each of at least one seed.

    ValueError: no setting has two values of one kind, so that nothing is known of the spread of seeds.
    """
    groups = [np.asarray(values, dtype=float) for pair in settings.values() for values in pair]
    freedom = sum(len(x) - 1 for x in groups)
    if not settings or freedom < 1:
        raise ValueError("no setting with two seeds: nothing is known of their spread")
    spread = math.sqrt(sum(float(((x - x.mean()) ** 2).sum()) for x in groups) / freedom)
    least = TTest(freedom, LEVEL / len(settings)).detectable(POWER)
    found = {}
    for name, (reported, fresh) in settings.items():
        error = spread * math.sqrt(1 / len(reported) + 1 / len(fresh))
        difference = float(np.mean(fresh) - np.mean(reported))
        half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
        p = float(2 * stats.t.sf(abs(difference) / error, freedom)) if error else float(abs(difference) < 1e-9)
        limits = (difference - half, difference + half)
        found[name] = Agreement(tuple(reported), tuple(fresh), difference, *limits, p, least * error)
    corrected = holm([agreement.p for agreement in found.values()])
    return {
        name: Agreement(a.reported, a.fresh, a.difference, a.low, a.high, p, a.detectable)
        for (name, a), p in zip(found.items(), corrected, strict=True)
    }
