"""How much the difference of two criteria varies between blocks: what decides which differences a study can detect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from pabench.statistics.intervals import CONFIDENCE
from pabench.statistics.paired import pairs, stratified
from pabench.statistics.power import typical_sd, unbiased, unbiased_sd
from pabench.suite.cell import DENSE

ENDS = (0.1, 0.5, 0.9)
"""Quantiles over pairs: 8 of 10 pairs lie between the outer ones."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation between blocks of the difference of two criteria, in points, from `low` to `high`.

    `sd` is the middle one; None where nothing is known but how far it may reach. It is of `pairs` of criteria in
    `blocks` blocks of a model. `sources`: lines that say where it is from.
    """

    low: float
    sd: float | None
    high: float
    pairs: int = 0
    blocks: int = 0
    sources: tuple[str, ...] = ()


def samples(cells: pd.DataFrame) -> list[list[float]]:
    """The differences of each pair of criteria in the blocks of each model, averaged over sparsities; two or more.

    Dense baselines and reference lines are no criteria. A pair of which a cell collapsed is left out: its differences
    are a mixture, and no t test is made of them.
    """
    ranked = cells[(cells["criterion"] != DENSE) & (cells["reference_line"] == "")]
    if ranked.empty:
        return []
    found = pairs(stratified(ranked), [str(name) for name in ranked["criterion"].unique()])
    return [values for pair in found.values() if not pair.collapsed for values in pair.strata if len(values) > 1]


def measured(cells: pd.DataFrame) -> Spread | None:
    """The typical spread in a study; None where no two criteria differ in two blocks of a model.

    Its ends are what so few blocks leave open about the spread of one pair, or how far pairs are apart if that is more.
    """
    found = samples(cells)
    if (sd := typical_sd(found)) is None:
        return None
    blocks = min(map(len, found))
    least, most = uncertainty(blocks)
    raw = sd / unbiased(1.0, blocks - 1)
    apart = [one for values in found if (one := unbiased_sd(values))]
    low, _, high = quantiles(apart)
    return Spread(min(raw * least, low), sd, max(raw * most, high), len(found), blocks)


def uncertainty(blocks: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation, in units of that of `blocks` normal values (chi squared).

    >>> [round(factor, 2) for factor in uncertainty(3)]
    [0.52, 6.28]
    """
    freedom, tail = blocks - 1, (1 - CONFIDENCE) / 2
    low, high = (float((freedom / stats.chi2.ppf(q, freedom)) ** 0.5) for q in (1 - tail, tail))
    return low, high


def quantiles(sds: Sequence[float]) -> tuple[float, float, float]:
    """The standard deviations that a tenth, half and nine tenths of the pairs have at most."""
    low, middle, high = np.quantile(sds, ENDS)
    return float(low), float(middle), float(high)
