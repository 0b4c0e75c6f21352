"""A study's frame as tasks, and criteria paired within blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from pabench.statistics.intervals import DIGITS

Differences = dict[tuple[str, str], list[list[float]]]
"""For each pair of criteria a - b of the blocks, one list per dataset and model."""


def stratified(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column that names the stratum: dataset and model."""
    return frame.assign(stratum=frame["dataset"] + " · " + frame["model"])


def by_task(frame: pd.DataFrame) -> pd.DataFrame:
    """Top-1 by task (stratum, block, sparsity) and criterion; NaN where a cell is not finished."""
    return frame.pivot(index=["stratum", "block", "sparsity"], columns="criterion", values="top1")


def block_means(tasks: pd.DataFrame) -> pd.DataFrame:
    """Means over the sparsities of each block (stratum, block), NaN where one is not finished.

    Rounded: the mean of 90.1, 80.3 and 70.2 depends in its last bit on their order, and equals would have ranks.
    """
    return tasks.groupby(level=["stratum", "block"]).mean(skipna=False).round(DIGITS)


def differences(tasks: pd.DataFrame, names: Sequence[str]) -> Differences:
    """a - b of each block that has both at every sparsity, averaged over them: one list per stratum that has any."""
    blocks = block_means(tasks[list(names)])
    strata = [dict(zip(names, group.to_numpy().T, strict=True)) for _, group in blocks.groupby(level="stratum")]
    found = {(a, b): [x[a] - x[b] for x in strata] for a, b in combinations(names, 2)}
    kept = {pair: [values[~np.isnan(values)].tolist() for values in lists] for pair, lists in found.items()}
    return {pair: [values for values in lists if values] for pair, lists in kept.items()}
