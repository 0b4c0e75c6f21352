"""What the sanity battery says: the change of each ablation against its parent cell, and whether it is separable."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pabench.report.frame import reference_lines
from pabench.statistics.intervals import LEVEL, Interval, holm, mean_interval
from pabench.statistics.outcomes import COLLAPSED, MISSING
from pabench.statistics.paired import Pair, paired, stratified
from pabench.statistics.power import could_see, typical_sd
from pabench.words import number

Place = tuple[str, str]
"""Of a test in the battery: ablation and criterion."""


@dataclass(frozen=True)
class Judgement:
    """Top-1 of the plain cells minus that of the ablation, in points: the mean over blocks, each averaged over
    sparsities first.

    `p` is Holm-adjusted over all tests of the battery, every ablation of every criterion with data (reference lines:
    over theirs); None where nothing can be tested. `sees` is the true change that the test would have found in 8 of 10
    studies like this, by the bar that it had to pass. Of the `whole` blocks, which both finished at every sparsity,
    `ups` have a change above 0 and `downs` one below. Of the `blocks` begun so many are `unfinished`, with failed or
    missing cells of either: nothing is tested. Where a cell `collapsed` there is no interval, and where that was in
    some blocks alone the test is one of signs (`flipped`). Of the `masks` behind the change so many connect nothing, no
    kept weight lying on a path: `empty` of the ablation's, `own_empty` of the plain cells'.
    """

    change: Interval
    p: float | None
    sees: float | None = None
    ups: int = 0
    downs: int = 0
    whole: int = 0
    blocks: int = 0
    unfinished: int = 0
    collapsed: bool = False
    flipped: bool = False
    masks: int = 0
    empty: int = 0
    own_empty: int = 0

    @property
    def verdict(self) -> str:
        """better (the plain cells are), worse, not separable, no verdict (cells failed or are missing), or no data."""
        if self.change.n == 0:
            return "no data"
        if self.unfinished:
            return "no verdict"
        if self.p is None or self.p >= LEVEL:
            return "not separable"
        return "better" if self.change.mean > 0 else "worse"


def changes(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per ablation cell of `frame`, with its `stratum`, the plain cell's top-1 and outcome beside its own
    (`own_top1`, `own_outcome`), and its `change`: the first minus the second.

    NaN where either is not finished; `fell` where either collapsed to chance. `empty` and `own_empty`: its mask, its
    parent's mask is known to connect nothing.
    """
    parents = frame.set_index("key")
    ablated = frame[frame["ablation"] != ""]
    own_top1 = ablated["parent"].map(parents["top1"]).astype(float)
    own_outcome = ablated["parent"].map(parents["outcome"]).fillna(MISSING)
    own_empty = ablated["parent"].map(_connects_nothing(parents)).eq(True)
    # re-drawn weights are trained under the parent's mask, and what is measured of a mask is not repeated for them
    empty = _connects_nothing(ablated) | (own_empty & (ablated["ablation"] == "reinit"))
    return stratified(
        ablated.assign(
            own_top1=own_top1,
            own_outcome=own_outcome,
            change=own_top1 - ablated["top1"],
            fell=(own_outcome == COLLAPSED) | (ablated["outcome"] == COLLAPSED),
            empty=empty,
            own_empty=own_empty,
        )
    )


def change_interval(rows: pd.DataFrame) -> Interval:
    """The mean of these finished changes, one a block, 100 at most; without an interval where a cell collapsed."""
    found = mean_interval(list(rows["change"]))
    return Interval(found.mean, n=found.n) if rows["fell"].any() else found.within(-100, 100)


def _connects_nothing(frame: pd.DataFrame) -> pd.Series:
    """By what a record says of a network of one class, and by the metric; older records may have neither."""
    found = frame["weights_on_paths"] == 0
    return found | (frame["effective_density"] == 0) if "effective_density" in frame else found


def judged(changed: pd.DataFrame, ablation: str, criteria: Sequence[str]) -> dict[str, Judgement]:
    """Each criterion under one ablation, as the whole battery judges it."""
    found = battery(changed, criteria)
    return {name: found[ablation, name] for name in criteria}


def battery(changed: pd.DataFrame, criteria: Sequence[str]) -> dict[Place, Judgement]:
    """Each criterion under each ablation: the test of the leaderboard's pairs, of plain cells against ablated ones.

    Holm's correction runs over all of them: a battery of five ablations, each corrected by itself, gives a verdict on
    criteria that know nothing in 22 of 100 studies. Models with no finished block are left out of the mean, the others
    count the same. Reference lines are corrected among themselves: how many of them stand beside the criteria changes
    no criterion's verdict.
    """
    every = _pairs(changed)
    places = [(str(ablation), name) for ablation in changed["ablation"].unique() for name in criteria]
    lines, found = reference_lines(changed), dict[Place, Judgement]()
    for beside in (False, True):
        family = {place: every.get(place, Pair([])) for place in places if (place[1] in lines) == beside}
        found |= _family(family)
    behind = changed[changed["change"].notna()].groupby(["ablation", "criterion"])[["empty", "own_empty"]]
    counts = behind.agg(["size", "sum"])
    return {place: _with_masks(found[place], counts, place) for place in places}


def could_have_seen(judgement: Judgement) -> str:
    """What the test of a change that is not separable could have seen, in words."""
    if judgement.flipped:
        return "not equal: cells collapsed, and the test flips signs"
    if judgement.p is None:
        return "cannot be tested"
    if judgement.sees is None or judgement.sees > 100:  # no two accuracies are further apart
        return "no change would have been found"
    return f"a change of {number(judgement.sees, 1)} points would have been found"


def _pairs(changed: pd.DataFrame) -> dict[Place, Pair]:
    """Plain minus ablated of each criterion under each ablation, those of one plan at once."""
    alike: dict[Hashable, list[tuple[Place, pd.DataFrame]]] = {}
    for (ablation, criterion), rows in changed.groupby(["ablation", "criterion"], sort=False):
        asked = frozenset(zip(rows["stratum"], rows["sparsity"], strict=True))
        alike.setdefault(asked, []).append(((str(ablation), str(criterion)), rows))
    found: dict[Place, Pair] = {}
    for group in alike.values():
        sides = {place: (f"{i} plain", f"{i} ablated") for i, (place, _) in enumerate(group)}
        own = [
            rows.assign(criterion=sides[place][0], top1=rows["own_top1"], outcome=rows["own_outcome"])
            for place, rows in group
        ]
        other = [rows.assign(criterion=sides[place][1]) for place, rows in group]
        made = paired(pd.concat([*own, *other]), list(sides.values()))
        found |= {place: made[side] for place, side in sides.items()}
    return found


def _family(found: Mapping[Place, Pair]) -> dict[Place, Judgement]:
    """Tests that are corrected together, without what is known of the masks."""
    tested = [place for place, pair in found.items() if pair.n]
    adjusted = dict(zip(tested, holm([found[place].test.p for place in tested]), strict=True))
    passed = sum(p is not None and p < LEVEL for p in adjusted.values())
    judged = {}
    for place, pair in found.items():
        p, sees = adjusted.get(place), None
        if p is not None and p >= LEVEL and not pair.flipped:
            # the step of Holm's procedure at which it failed
            bar = LEVEL / (len(tested) - passed)
            like = [one for (ablation, _), other in found.items() if ablation == place[0] for one in other.sample]
            sees = could_see(pair.sample, bar, typical=typical_sd(like))
        blocks = [change for stratum in pair.strata for change in stratum]
        ups, downs = sum(change > 0 for change in blocks), sum(change < 0 for change in blocks)
        judged[place] = Judgement(
            pair.interval, p, sees, ups, downs, pair.common, pair.blocks, pair.unfinished, pair.collapsed, pair.flipped
        )
    return judged


def _with_masks(judgement: Judgement, counts: pd.DataFrame, place: Place) -> Judgement:
    if place not in counts.index:
        return judgement
    of = counts.loc[place]
    empty, own = int(of["empty", "sum"]), int(of["own_empty", "sum"])
    return replace(judgement, masks=int(of["empty", "size"]), empty=empty, own_empty=own)
