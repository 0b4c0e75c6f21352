"""A test of means that holds its level where single values are far off: all signs of the differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pabench.statistics.intervals import DIGITS, Test, stratified_mean

ENUMERATED = 20
"""Differences up to which all 2^n signs are counted. Of more, `DRAWN` are drawn, always the same."""
DRAWN = 20_000
"""Random signs: a p of 0.05 is then known to 0.0015 (its standard error)."""


def flip_test(strata: Sequence[Sequence[float]]) -> Test:
    """Whether the mean of the means of strata differs from 0, against all signs that the differences might have.

    Where the two of a block are exchangeable, each sign is as likely: no distribution is assumed, so that it holds its
    level where one of them is at chance in some blocks. It needs six blocks, as a sign test does.

    >>> flip_test([[0.0, 0.0, -80.0, -80.0, -80.0, -80.0, -80.0, -80.0]]).p  # 2 of 2 ** 6, zeros have no sign
    0.03125
    """
    values = [np.asarray(of, dtype=float) / (len(of) * len(strata)) for of in strata if len(of)]
    signed = np.concatenate(values) if values else np.empty(0)
    signed = np.sort(np.abs(signed[signed != 0]))  # so that the order of the blocks decides no drawn sign
    n = sum(map(len, strata))
    if n < 2 or not len(signed):
        return Test(None, n)
    # equal sums of differences in another order may differ in their last digits
    least = abs(stratified_mean(strata)) - 10.0**-DIGITS
    if len(signed) <= ENUMERATED:
        sums = np.zeros(1)
        for value in signed:
            sums = np.concatenate([sums + value, sums - value])
        return Test(float((np.abs(sums) >= least).mean()), n)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWN, len(signed)))
    # the one there is counts as drawn, so that no p is 0
    return Test(float((1 + (np.abs(signs @ signed) >= least).sum()) / (1 + DRAWN)), n)
