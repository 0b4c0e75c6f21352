"""The change of accuracy between two studies where they speak of the same thing, and whether it is beyond noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pabench.statistics.intervals import LEVEL, Interval, holm, two_samples
from pabench.statistics.outcomes import COLLAPSED, FAILED, FINISHED, KNOWN
from pabench.statistics.paired import Pair

PLACE = ["dataset", "model", "criterion", "ablation", "train", "sparsity"]


@dataclass(frozen=True)
class Contrast:
    """Top-1 of the second study minus that of the first, in points, of one criterion at one sparsity of one model.

    `paired`: over seeds whose blocks are the same (initial weights, data order); otherwise two samples. `p` is
    Holm-adjusted over all contrasts that are not `identical`; None where it cannot be tested, and where cells of seeds
    that are compared failed or are missing in one study: the rest are survivors.
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
    train: str = "plain"

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
    found = list(_untested(_once(first), _once(second)))
    adjusted = iter(holm([one.p for one in found if not one.identical]))
    return [one if one.identical else replace(one, p=next(adjusted)) for one in found]


def _once(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a place and seed: a finished cell before another."""
    return frame.assign(late=frame["top1"].isna()).sort_values("late", kind="stable").drop_duplicates([*PLACE, "seed"])


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["top1"].notna()].drop_duplicates([*PLACE, "seed"])


def _untested(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[Contrast]:
    """Contrasts with a `p` that is not adjusted yet."""
    others = dict(list(second.groupby(PLACE, sort=False)))
    for place, a in first.groupby(PLACE, sort=False):
        b = others.get(place)
        if b is None or a["top1"].isna().all() or b["top1"].isna().all():
            continue
        both = a.merge(b, on="seed", suffixes=("_a", "_b"))
        whole = both[both["top1_a"].notna() & both["top1_b"].notna()]
        paired = len(whole) > 0 and bool((whole["block_a"] == whole["block_b"]).all())
        change, p, identical = _paired(both, whole) if paired else (*_unpaired(a, b), False)
        dataset, model, criterion, ablation, train, sparsity = place
        yield Contrast(dataset, model, criterion, ablation, sparsity, change, paired, identical, p, train)


def _paired(both: pd.DataFrame, whole: pd.DataFrame) -> tuple[Interval, float | None, bool]:
    """The mean change over seeds that both studies finished, its test, and whether nothing that is known changed."""
    values = list(whole["top1_b"] - whole["top1_a"])
    fell = whole[["outcome_a", "outcome_b"]] == COLLAPSED
    known = int((both["outcome_a"].isin(KNOWN) | both["outcome_b"].isin(KNOWN)).sum())
    mixed = bool((fell.nunique() > 1).any())
    pair = Pair([values], known, known - len(whole), bool(fell.any(axis=None)), mixed)
    # a seed that is missing says nothing; one that failed in one study alone is another result
    alike = (both["outcome_a"] == FAILED) == (both["outcome_b"] == FAILED)
    return pair.interval, pair.test.p, not any(values) and bool(alike.all())


def _unpaired(a: pd.DataFrame, b: pd.DataFrame) -> tuple[Interval, float | None]:
    """The difference of two means and its test; neither where one has no second value or both are without spread.

    No test where cells failed or are missing; neither interval nor test where some collapsed.
    """
    first, second = (list(rows["top1"].dropna()) for rows in (a, b))
    mean, n = float(np.mean(second) - np.mean(first)), len(first) + len(second)
    spread = len(set(first)) > 1 or len(set(second)) > 1
    outcomes = pd.concat([a["outcome"], b["outcome"]])
    if min(len(first), len(second)) < 2 or not spread or (outcomes == COLLAPSED).any():
        return Interval(mean, n=n), None
    variances = float(np.var(first, ddof=1)), float(np.var(second, ddof=1))
    interval, p = two_samples(mean, variances, (len(first), len(second)))
    return interval, p if outcomes.isin(FINISHED).all() else None


def seed_noise(*frames: pd.DataFrame) -> dict[tuple[str, str], float]:
    """By dataset and model: the SD of top-1 over seeds, pooled over criteria, sparsities and studies."""
    variances: dict[tuple[str, str], list[float]] = {}
    for frame in frames:
        for (dataset, model, *_), rows in _finished(frame).groupby(PLACE, sort=False):
            if len(rows) > 1:
                variances.setdefault((str(dataset), str(model)), []).append(float(rows["top1"].var(ddof=1)))
    return {place: (sum(found) / len(found)) ** 0.5 for place, found in variances.items()}
