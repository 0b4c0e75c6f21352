"""Whether trainings with fresh seeds agree with those that were reported: the test of level 4, its n and its power.

Each setting (dataset, model, criterion, sparsity) has reported and fresh accuracies of independent seeds. They are
compared by a two-sample t test whose standard deviation is that of the fresh ones, pooled over all settings that are
looked at: with two or three seeds each, no setting alone knows its own. The reported ones have no part in it, or a
submitter could hide a lie behind a noisy second row. P values are Holm-corrected over the settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
MOST_SEEDS = 1000


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

    ValueError: no setting has two fresh values, so that nothing is known of the spread of seeds.
    """
    freedom = sum(len(fresh) - 1 for _, fresh in settings.values())
    if not settings or freedom < 1:
        raise ValueError("no setting with two fresh seeds: nothing is known of their spread")
    spread = _spread([fresh for _, fresh in settings.values()])
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


def enough(found: Iterable[Agreement]) -> int | None:
    """The fewest fresh seeds of each setting with which all would find `MOST_DETECTABLE` points, if seeds differ as
    much as these; None where no number does, as the reported means are too uncertain themselves."""
    found = list(found)
    spread, reported = _spread([one.fresh for one in found]), min(len(one.reported) for one in found)

    def tells(seeds: int) -> bool:
        error = spread * math.sqrt(1 / reported + 1 / seeds)
        return TTest(len(found) * (seeds - 1), LEVEL / len(found)).detectable(POWER) * error <= MOST_DETECTABLE

    if not tells(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tells(middle) else (middle, high)
    return high


def _spread(samples: Sequence[Sequence[float]]) -> float:
    """The standard deviation within samples, pooled over them."""
    arrays = [np.asarray(values, dtype=float) for values in samples]
    squares = sum(float(((x - x.mean()) ** 2).sum()) for x in arrays)
    return math.sqrt(squares / sum(len(x) - 1 for x in arrays))
