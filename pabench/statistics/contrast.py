"""The change of accuracy between two studies where they speak of the same thing, and whether it is beyond noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pabench.statistics.intervals import LEVEL, Interval, holm, mean_interval, stratified_test, welch

PLACE = ["dataset", "model", "criterion", "ablation", "sparsity"]


@dataclass(frozen=True)
class Contrast:
    """Top-1 of the second study minus that of the first, in points, of one criterion at one sparsity of one model.

    `paired`: over seeds whose blocks are the same (initial weights, data order); otherwise two samples. `p` is
    Holm-adjusted over all contrasts that are not `identical`; None where it cannot be tested.
    """

    dataset: str
    model: str
    criterion: str
    ablation: str
    sparsity: float
    change: Interval
    paired: bool
    identical: bool
    p: float | None

    @property
    def verdict(self) -> str:
        """identical, higher, lower, not separable, or not tested."""
        if self.identical:
            return "identical"
        if self.p is None:
            return "not tested"
        if self.p >= LEVEL:
            return "not separable"
        return "higher" if self.change.mean > 0 else "lower"


def contrasts(first: pd.DataFrame, second: pd.DataFrame) -> list[Contrast]:
    """One for each criterion, sparsity, ablation and model that both studies have finished cells of.

    Seeds in both are compared; where the blocks differ (another dataset or network by the same name draws other weights
    for the same seed) the studies are two independent samples, and all their finished seeds count.
    """
    found = list(_untested(_finished(first), _finished(second)))
    adjusted = iter(holm([one.p for one in found if not one.identical]))
    return [one if one.identical else replace(one, p=next(adjusted)) for one in found]


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["top1"].notna()].drop_duplicates([*PLACE, "seed"])


def _untested(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[Contrast]:
    """Contrasts with a `p` that is not adjusted yet."""
    others = dict(list(second.groupby(PLACE, sort=False)))
    for place, a in first.groupby(PLACE, sort=False):
        if place not in others:
            continue
        both = a.merge(others[place], on="seed", suffixes=("_a", "_b"))
        paired = len(both) > 0 and bool((both["block_a"] == both["block_b"]).all())
        if paired:
            values = list(both["top1_b"] - both["top1_a"])
            change, p, identical = mean_interval(values), stratified_test([values]).p, not any(values)
        else:
            change, p = _unpaired(list(a["top1"]), list(others[place]["top1"]))
            identical = False
        dataset, model, criterion, ablation, sparsity = place
        yield Contrast(dataset, model, criterion, ablation, sparsity, change, paired, identical, p)


def _unpaired(a: list[float], b: list[float]) -> tuple[Interval, float | None]:
    """The difference of two means and its test; neither where one has no second value or both are without spread."""
    mean, n = float(np.mean(b) - np.mean(a)), len(a) + len(b)
    if min(len(a), len(b)) < 2 or (len(set(a)) == 1 and len(set(b)) == 1):
        return Interval(mean, n=n), None
    return welch(mean, (float(np.var(a, ddof=1)), float(np.var(b, ddof=1))), (len(a), len(b)))


def seed_noise(*frames: pd.DataFrame) -> dict[tuple[str, str], float]:
    """By dataset and model: the SD of top-1 over seeds, pooled over criteria, sparsities and studies."""
    variances: dict[tuple[str, str], list[float]] = {}
    for frame in frames:
        for (dataset, model, *_), rows in _finished(frame).groupby(PLACE, sort=False):
            if len(rows) > 1:
                variances.setdefault((str(dataset), str(model)), []).append(float(rows["top1"].var(ddof=1)))
    return {place: (sum(found) / len(found)) ** 0.5 for place, found in variances.items()}
