"""A study's frame as tasks, and criteria paired within blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from pabench.statistics.fliptest import flip_test
from pabench.statistics.intervals import (
    DIGITS,
    LEVEL,
    Interval,
    Test,
    holm,
    stratified_interval,
    stratified_mean,
    stratified_test,
)
from pabench.statistics.outcomes import COLLAPSED, DECLINED, FINISHED, KNOWN

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


FEWEST_ALIKE = 3
"""Blocks of a model from which a t test is made where what collapsed did so in every block. Of two, one in eight pairs
of equals that collapse every other time falls apart so; of three, one in 32."""


@dataclass(frozen=True)
class Pair:
    """a - b in the blocks that both finished at every sparsity, averaged over them: one list in `strata` per stratum.

    Of the `blocks` in which either has a result, `unfinished` have failed or missing cells of one of the two: what is
    left are survivors, and nothing is tested. `collapsed`: a cell of `strata` did; `mixed`: not in every block alike.
    """

    strata: list[list[float]]
    blocks: int = 0
    unfinished: int = 0
    collapsed: bool = False
    mixed: bool = False

    @property
    def n(self) -> int:
        return sum(map(len, self.strata))

    @property
    def mean(self) -> float:
        return stratified_mean(self.strata)

    @property
    def turned(self) -> Pair:
        """b - a."""
        return replace(self, strata=[[-x for x in values] for values in self.strata])

    @property
    def interval(self) -> Interval:
        """Of the mean difference; none where a cell collapsed: no method covers there with few blocks."""
        return Interval(self.mean, n=self.n) if self.collapsed else stratified_interval(self.strata)

    @property
    def test(self) -> Test:
        """Whether the mean differs from 0, not corrected: a t test; by sign flips where some blocks collapsed."""
        if self.unfinished:
            return Test(None, self.n)
        return flip_test(self.strata) if self.flipped else stratified_test(self.strata)

    @property
    def flipped(self) -> bool:
        """Whether the test is one of signs: t holds its level only where what collapsed did so in all of its blocks."""
        return self.mixed or (self.collapsed and min(map(len, self.strata), default=0) < FEWEST_ALIKE)


def pairs(cells: pd.DataFrame, names: Sequence[str]) -> dict[tuple[str, str], Pair]:
    """Each pair of names with what its blocks hold; `cells` have their `stratum`."""
    strata = outcome_grids(cells, names)
    found = differences(by_task(cells), names)
    return {(a, b): _pair(kept, [(of[a], of[b]) for of in strata]) for (a, b), kept in found.items()}


def separated(found: Mapping[tuple[str, str], Pair]) -> dict[tuple[str, str], bool]:
    """For each pair whether the two differ: Holm-corrected over all. One that cannot be tested is not separated, and
    counts in the correction."""
    adjusted = holm([pair.test.p for pair in found.values()])
    return {names: p is not None and p < LEVEL for names, p in zip(found, adjusted, strict=True)}


def survivors(cells: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of `names` of which a cell failed or is missing in a block in which any of them has a result."""
    found = []
    strata = outcome_grids(cells, names)
    begun = [np.any([np.isin(grid, KNOWN).any(axis=1) for grid in of.values()], axis=0) for of in strata]
    for name in names:
        if any((_lost(of[name]) & some).any() for of, some in zip(strata, begun, strict=True)):
            found.append(name)
    return found


def outcome_grids(cells: pd.DataFrame, names: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """For each stratum what became of the cells of each name: blocks (rows) by sparsities, "" where none is planned."""
    states = cells.pivot(index=["stratum", "block", "sparsity"], columns="criterion", values="outcome")
    states = states[list(names)].fillna("")
    groups = [group.unstack("sparsity", fill_value="") for _, group in states.groupby(level="stratum")]
    return [{name: group[name].to_numpy().astype(str) for name in names} for group in groups]


def _lost(grid: np.ndarray) -> np.ndarray:
    """In which blocks a planned cell of a name failed or is missing.

    A model that it declines in all blocks is not planned for it. A single cell declined is a missing one.
    """
    if np.isin(grid, ("", DECLINED)).all():
        return np.zeros(len(grid), dtype=bool)
    return np.asarray(~np.isin(grid, ("", *FINISHED)).all(axis=1))


def _pair(kept: list[list[float]], strata: Sequence[tuple[np.ndarray, np.ndarray]]) -> Pair:
    """A pair of which `kept` are the differences, from the grids of both in each stratum."""
    blocks = unfinished = 0
    collapsed = mixed = False
    for a, b in strata:
        planned = (a != "").any(axis=1) & (b != "").any(axis=1)
        compared = planned & (np.isin(a, KNOWN) | np.isin(b, KNOWN)).any(axis=1)
        whole = compared & (np.isin(a, ("", *FINISHED)) & np.isin(b, ("", *FINISHED))).all(axis=1)
        fell = np.concatenate([a[whole], b[whole]], axis=1) == COLLAPSED
        blocks += int(compared.sum())
        unfinished += int((compared & (_lost(a) | _lost(b))).sum())
        collapsed |= bool(fell.any())
        mixed |= bool((fell.any(axis=0) & ~fell.all(axis=0)).any())
    return Pair(kept, blocks, unfinished, collapsed, mixed)
