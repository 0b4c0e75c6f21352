"""What the sanity battery says: the change of each ablation against its parent cell, and whether it is separable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pabench.report.frame import reference_lines
from pabench.statistics.intervals import DIGITS, LEVEL, Interval, holm, stratified_interval, stratified_test
from pabench.statistics.paired import stratified


@dataclass(frozen=True)
class Judgement:
    """Top-1 of the plain cells minus that of the ablation, in points: the mean over blocks, each averaged over
    sparsities first. `p` is Holm-adjusted over the criteria with data (reference lines: over those lines); None where
    nothing can be tested."""

    change: Interval
    p: float | None

    @property
    def verdict(self) -> str:
        """better (the plain cells are), worse, not separable, or no data."""
        if self.change.n == 0:
            return "no data"
        if self.p is None or self.p >= LEVEL:
            return "not separable"
        return "better" if self.change.mean > 0 else "worse"


def changes(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per ablation cell of `frame`, with its `stratum` and its `change`: the parent's top-1 minus its own.

    NaN where either is not finished.
    """
    top1 = frame.set_index("key")["top1"]
    ablated = frame[frame["ablation"] != ""]
    change = ablated["parent"].map(top1).astype(float) - ablated["top1"]
    return stratified(ablated.assign(change=change))


def judged(changed: pd.DataFrame, ablation: str, criteria: Sequence[str]) -> dict[str, Judgement]:
    """Each criterion under one ablation: paired t tests over the blocks finished at every sparsity.

    Models with no such block are left out of the mean, the others count the same. Reference lines are corrected among
    themselves: how many of them stand beside the criteria changes no criterion's verdict.
    """
    rows = changed[changed["ablation"] == ablation]
    strata = {name: _strata(rows[rows["criterion"] == name]) for name in criteria}
    lines = reference_lines(changed)
    tests = {name: stratified_test(values).p for name, values in strata.items() if values}
    families = [{n: p for n, p in tests.items() if (n in lines) == beside} for beside in (False, True)]
    adjusted: dict[str, float | None] = {}
    for family in families:
        adjusted |= zip(family, holm(list(family.values())), strict=True)
    return {name: Judgement(stratified_interval(values), adjusted.get(name)) for name, values in strata.items()}


def _strata(rows: pd.DataFrame) -> list[list[float]]:
    """The changes of each block, averaged over sparsities: one list per dataset and model that has any."""
    found = []
    for _, stratum in rows.groupby("stratum", sort=False):
        # by stratum, since models need not share their sparsities
        blocks = stratum.pivot(index="block", columns="sparsity", values="change").mean(axis=1, skipna=False)
        found.append(list(blocks.dropna().round(DIGITS)))
    return [values for values in found if values]
