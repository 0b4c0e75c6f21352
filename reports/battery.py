"""What the sanity battery says: the change of each ablation against its parent cell, and whether it is separable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pabench.report.frame import reference_lines
from pabench.statistics.intervals import DIGITS, LEVEL, Interval, holm, stratified_interval, stratified_test
from pabench.statistics.paired import stratified
from pabench.statistics.power import could_see, typical_sd

Strata = list[list[float]]
"""The changes of each block, averaged over sparsities: one list per dataset and model that has any."""
Place = tuple[str, str]
"""Of a test in the battery: ablation and criterion."""


@dataclass(frozen=True)
class Judgement:
    """Top-1 of the plain cells minus that of the ablation, in points: the mean over blocks, each averaged over
    sparsities first.

    `p` is Holm-adjusted over all tests of the battery, every ablation of every criterion with data (reference lines:
    over theirs); None where nothing can be tested. `sees` is the true change that the test would have found in 8 of 10
    studies like this, by the bar that it had to pass; `ups` and `downs` are the blocks of a change above and below 0.
    Of the `masks` behind the change so many connect nothing, no kept weight lying on a path: `empty` of the ablation's,
    `own_empty` of the plain cells'.
    """

    change: Interval
    p: float | None
    sees: float | None = None
    ups: int = 0
    downs: int = 0
    masks: int = 0
    empty: int = 0
    own_empty: int = 0

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

    NaN where either is not finished. `empty` and `own_empty`: its mask, its parent's mask is known to connect nothing.
    """
    parents = frame.set_index("key")
    ablated = frame[frame["ablation"] != ""]
    change = ablated["parent"].map(parents["top1"]).astype(float) - ablated["top1"]
    own_empty = ablated["parent"].map(_connects_nothing(parents)).eq(True)
    # re-drawn weights are trained under the parent's mask, and what is measured of a mask is not repeated for them
    empty = _connects_nothing(ablated) | (own_empty & (ablated["ablation"] == "reinit"))
    return stratified(ablated.assign(change=change, empty=empty, own_empty=own_empty))


def _connects_nothing(frame: pd.DataFrame) -> pd.Series:
    """By what a record says of a network of one class, and by the metric; older records may have neither."""
    found = frame["weights_on_paths"] == 0
    return found | (frame["effective_density"] == 0) if "effective_density" in frame else found


def judged(changed: pd.DataFrame, ablation: str, criteria: Sequence[str]) -> dict[str, Judgement]:
    """Each criterion under one ablation, as the whole battery judges it."""
    found = battery(changed, criteria)
    return {name: found[ablation, name] for name in criteria}


def battery(changed: pd.DataFrame, criteria: Sequence[str]) -> dict[Place, Judgement]:
    """Each criterion under each ablation: paired t tests over the blocks finished at every sparsity.

    Holm's correction runs over all of them: a battery of five ablations, each corrected by itself, gives a verdict on
    criteria that know nothing in 22 of 100 studies. Models with no finished block are left out of the mean, the others
    count the same. Reference lines are corrected among themselves: how many of them stand beside the criteria changes
    no criterion's verdict.
    """
    every = _strata(changed)
    places = [(str(ablation), name) for ablation in changed["ablation"].unique() for name in criteria]
    strata = {place: every.get(place, []) for place in places}
    lines, found = reference_lines(changed), dict[Place, Judgement]()
    for beside in (False, True):
        family = {place: values for place, values in strata.items() if (place[1] in lines) == beside}
        found |= _family(family)
    behind = changed[changed["change"].notna()].groupby(["ablation", "criterion"])[["empty", "own_empty"]]
    counts = behind.agg(["size", "sum"])
    return {place: _with_masks(found[place], counts, place) for place in places}


def _family(strata: Mapping[Place, Strata]) -> dict[Place, Judgement]:
    """Tests that are corrected together, without what is known of the masks."""
    tested = [place for place, values in strata.items() if values]
    adjusted = dict(zip(tested, holm([stratified_test(strata[place]).p for place in tested]), strict=True))
    passed = sum(p is not None and p < LEVEL for p in adjusted.values())
    found = {}
    for place, values in strata.items():
        p, sees = adjusted.get(place), None
        if p is not None and p >= LEVEL:
            # the step of Holm's procedure at which it failed
            bar = LEVEL / (len(tested) - passed)
            like = [one for (ablation, _), other in strata.items() if ablation == place[0] for one in other]
            sees = could_see(values, bar, typical=typical_sd(like))
        blocks = [change for stratum in values for change in stratum]
        ups, downs = sum(change > 0 for change in blocks), sum(change < 0 for change in blocks)
        found[place] = Judgement(stratified_interval(values), p, sees, ups, downs)
    return found


def _with_masks(judgement: Judgement, counts: pd.DataFrame, place: Place) -> Judgement:
    if place not in counts.index:
        return judgement
    of = counts.loc[place]
    empty, own = int(of["empty", "sum"]), int(of["own_empty", "sum"])
    return replace(judgement, masks=int(of["empty", "size"]), empty=empty, own_empty=own)


def _strata(changed: pd.DataFrame) -> dict[Place, Strata]:
    """By place, of the blocks that are finished at every sparsity of the stratum."""
    where = ["ablation", "criterion", "stratum"]
    # by stratum, since models need not share their sparsities
    asked = changed.groupby(where)["sparsity"].nunique().rename("asked")
    blocks = changed.groupby([*where, "block"], sort=False)["change"].agg(["count", "mean"]).reset_index()
    blocks = blocks.join(asked, on=where)
    whole = blocks[blocks["count"] == blocks["asked"]]
    found: dict[Place, Strata] = {}
    for (ablation, criterion, _), rows in whole.groupby(where, sort=False):
        found.setdefault((str(ablation), str(criterion)), []).append(list(rows["mean"].round(DIGITS)))
    return found
