"""A study's frame as tasks, and criteria paired within blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

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
    return {pair: list(of.values()) for pair, of in _by_model(tasks, list(combinations(names, 2))).items()}


def _by_model(tasks: pd.DataFrame, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], dict[str, list[float]]]:
    """The same of the pairs that are wanted, by the name of the stratum."""
    names = list(dict.fromkeys(chain.from_iterable(wanted)))
    groups = block_means(tasks[names]).groupby(level="stratum")
    strata = {str(stratum): dict(zip(names, group.to_numpy().T, strict=True)) for stratum, group in groups}
    found = {(a, b): {s: x[a] - x[b] for s, x in strata.items()} for a, b in wanted}
    kept = {pair: {s: x[~np.isnan(x)].tolist() for s, x in lists.items()} for pair, lists in found.items()}
    return {pair: {s: values for s, values in lists.items() if values} for pair, lists in kept.items()}


def over_models(strata: Sequence[Sequence[float]]) -> bool:
    """Whether most of several models have one block alone: then the models are the sample, each with its mean."""
    return len(strata) > 1 and 2 * sum(len(values) > 1 for values in strata) < len(strata)


def sampled(strata: Sequence[Sequence[float]]) -> Sequence[Sequence[float]]:
    """The models as one sample where most have one block; else the strata as they are.

    What differs between models then counts as noise. The t test holds its level however unlike their spreads are
    (Ibragimov and Müller 2010), and for the mean over these models it is cautious.

    >>> sampled([[1.0], [2.0, 4.0], [2.0]]), sampled([[1.0], [2.0, 4.0]])
    ([[1.0, 3.0, 2.0]], [[1.0], [2.0, 4.0]])
    """
    return [[float(np.mean(values)) for values in strata]] if over_models(strata) else strata


FEWEST_ALIKE = 3
"""Blocks of a model from which a t test is made where what collapsed did so in every block. Of two, one in eight pairs
of equals that collapse every other time falls apart so; of three, one in 32."""


@dataclass(frozen=True)
class Pair:
    """a - b in the blocks that both finished at every sparsity, averaged over them: one list in `strata` per stratum.

    Of the `blocks` in which either has a result, `unfinished` have failed or missing cells of one of the two: what is
    left are survivors, and nothing is tested. `collapsed`: a cell of `strata` did; `mixed`: not in every block alike.
    `models` are the names of the strata, where they have any.
    """

    strata: list[list[float]]
    blocks: int = 0
    unfinished: int = 0
    collapsed: bool = False
    mixed: bool = False
    models: tuple[str, ...] = ()

    @property
    def sample(self) -> Sequence[Sequence[float]]:
        """What the mean is of, its interval and its test: one block alone says nothing of its model's spread, so that
        a model of one is left out beside models of several. Signs need no spread, and see all blocks."""
        if self.flipped:
            return self.strata
        found = sampled(self.strata)
        return [values for values in found if len(values) > 1] or found

    @property
    def thin(self) -> tuple[str, ...]:
        """The models that are left out of it."""
        if self.flipped or over_models(self.strata) or len(self.strata) < 2:
            return ()
        return tuple(name for name, values in zip(self.models, self.strata, strict=True) if len(values) == 1)

    @property
    def over_models(self) -> bool:
        """Whether each model is one value of it."""
        return not self.flipped and over_models(self.strata)

    @property
    def n(self) -> int:
        return sum(map(len, self.sample))

    @property
    def common(self) -> int:
        """The blocks that both finished."""
        return sum(map(len, self.strata))

    @property
    def mean(self) -> float:
        return stratified_mean(self.sample)

    @property
    def turned(self) -> Pair:
        """b - a."""
        return replace(self, strata=[[-x for x in values] for values in self.strata])

    @property
    def interval(self) -> Interval:
        """Of the mean difference, which is 100 at most; none where a cell collapsed: no method covers there with few
        blocks."""
        if self.collapsed:
            return Interval(self.mean, n=self.n)
        return stratified_interval(self.sample).within(-100, 100)

    @property
    def test(self) -> Test:
        """Whether the mean differs from 0, not corrected: a t test; by sign flips where some blocks collapsed."""
        if self.unfinished:
            return Test(None, self.n)
        return flip_test(self.sample) if self.flipped else stratified_test(self.sample)

    @property
    def flipped(self) -> bool:
        """Whether the test is one of signs: t holds its level only where what collapsed did so in all of its blocks."""
        return self.mixed or (self.collapsed and min(map(len, self.strata), default=0) < FEWEST_ALIKE)


def pairs(cells: pd.DataFrame, names: Sequence[str]) -> dict[tuple[str, str], Pair]:
    """Each pair of names with what its blocks hold; `cells` have their `stratum`."""
    return paired(cells, list(combinations(names, 2)))


def paired(cells: pd.DataFrame, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Pair]:
    """The pairs that are wanted; all names are planned at the same sparsities of a stratum."""
    strata = outcome_grids(cells, list(dict.fromkeys(chain.from_iterable(wanted))))
    found = _by_model(by_task(cells), wanted)
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


def _pair(kept: Mapping[str, list[float]], strata: Sequence[tuple[np.ndarray, np.ndarray]]) -> Pair:
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
    return Pair(list(kept.values()), blocks, unfinished, collapsed, mixed, tuple(kept))
