"""Accuracy against the time that scoring takes, and which criteria no other beats in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pabench.report.frame import quality, reference_lines
from pabench.statistics.intervals import Interval
from pabench.statistics.outcomes import COLLAPSED, accuracy_interval, least
from pabench.statistics.paired import stratified, survivors
from pabench.store.quality import TOP1, Quality
from pabench.words import count, seconds

from .figure import INK, INTERVAL, WIDTH, Drawn, Key, Look, Panel, Tabled, in_unit, log_axis, mark, with_limits

FRONT = "Pareto front"
FRONT_LOOK = Look(INK, "", ())


@dataclass(frozen=True)
class Offer:
    """What a criterion gives for its time: mean top-1 over blocks, each averaged over sparsities.

    `lost`: cells failed or are missing, so that its mean is one of survivors. It beats none, and none beats it.
    """

    criterion: str
    time: float
    top1: Interval
    beside: bool
    lost: bool = False

    def beats(self, other: Offer) -> bool:
        """Whether it is as fast and as good, and one of the two more so."""
        if self.lost or other.lost:
            return False
        fast, good = self.time <= other.time, self.top1.mean >= other.top1.mean
        return fast and good and (self.time, self.top1.mean) != (other.time, other.top1.mean)


@dataclass(frozen=True)
class Market:
    """The offers of one dataset and model over the same `blocks`, and the criteria that are `left` out."""

    offers: list[Offer]
    blocks: int
    left: list[str]

    @property
    def ranked(self) -> list[Offer]:
        """Those of criteria; reference lines stand beside."""
        return [offer for offer in self.offers if not offer.beside]

    @property
    def front(self) -> list[Offer]:
        """Offers that no other equals or beats in both time and accuracy, and beats in one."""
        whole = [offer for offer in self.ranked if not offer.lost]
        return [offer for offer in whole if not any(other.beats(offer) for other in whole)]


def pareto(rows: pd.DataFrame, styles: Mapping[str, Look], title: str) -> Drawn | None:
    """The figure of one dataset and model, None with fewer than two criteria to compare; `rows` are scored cells."""
    market = offers(rows)
    if len(market.ranked) < 2:
        return None
    best = ", ".join(offer.criterion for offer in market.front) or "none"
    of = quality(rows)
    label = f"{'Top-1 accuracy' if of is TOP1 else of.title} against scoring time, {title}; on the Pareto front: {best}"
    panel = Panel(partial(_paint, market, styles, of), WIDTH, 2.9, f"pareto-{title}", label)
    keys = [Key(offer.criterion, styles[offer.criterion], line=False) for offer in market.offers]
    keys += [Key(FRONT, FRONT_LOOK)] if market.front else []
    return Drawn(
        f"{title}, {'accuracy' if of is TOP1 else of.title} against scoring time",
        (panel,),
        tuple(_notes(market, of)),
        _numbers(market, of),
        tuple(keys),
        of=title,
    )


def _paint(market: Market, styles: Mapping[str, Look], of: Quality, figure: Figure) -> None:
    axes = figure.subplots()
    times = [offer.time for offer in market.offers]
    left, right = min(times) / 1.6, max(times) * 1.6  # as much room on either side, on a logarithmic axis
    _steps(axes, market.front, right)
    for offer in market.offers:
        _point(axes, offer, styles[offer.criterion], of, filled=offer in market.front)
    axes.set_xlim(left, right)
    tops = [offer.top1 for offer in market.offers]
    ends = [end for top in tops for end in (top.mean, top.low, top.high) if end is not None]
    margin = max(1.0, 0.08 * (max(ends) - min(ends)))  # a point at least, or near equals would look far apart
    lowest = min(ends) - margin
    axes.set_ylim(max(0.0, lowest) if min(ends) >= 0 else lowest, min(100.0, max(ends) + margin))
    # 2 and 5 between powers of ten would touch each other over more than three of them
    ticks = LogLocator(subs=(1,) if right > 1000 * min(times) else (1, 2, 5))
    log_axis(axes, ticks, seconds, "mean scoring time")
    axes.set_ylabel(of.axis)
    in_unit(axes, of)
    axes.grid(axis="both")


def _steps(axes: Any, front: Sequence[Offer], right: float) -> None:
    """The front: at each time the best that is to be had by then."""
    steps = sorted(front, key=lambda offer: offer.time)
    if not steps:
        return
    xs, ys = [*(o.time for o in steps), right], [*(o.top1.mean for o in steps), steps[-1].top1.mean]
    axes.step(xs, ys, where="post", color=INK, linewidth=0.9, alpha=0.6, zorder=1, gid=mark(FRONT))


def _point(axes: Any, offer: Offer, look: Look, of: Quality, *, filled: bool) -> None:
    style: dict[str, Any] = {"color": look.color, "marker": look.marker, "markersize": 7, "linestyle": "none"}
    style |= {} if filled else {"markerfacecolor": "none"}
    told = f"{offer.criterion}: {with_limits(offer.top1, of)} in {seconds(offer.time)}"
    axes.plot([offer.time], [offer.top1.mean], zorder=3, gid=mark(offer.criterion, told), **style)
    if offer.top1.low is not None:
        limits = [offer.top1.low, offer.top1.high]
        axes.plot(
            [offer.time] * 2, limits, color=look.color, linewidth=1.1, alpha=0.75, zorder=2, gid=mark(offer.criterion)
        )


def _notes(market: Market, of: Quality) -> Iterator[str]:
    blocks = market.blocks
    name = "Top-1" if of is TOP1 else of.title
    yield f"{name}: mean over {count(blocks, 'block')}, each averaged over its sparsities; {INTERVAL}."
    yield "Filled: no other criterion is both faster and, in the mean, better."
    yield "Neighbours within their intervals may change places."
    if lost := [offer.criterion for offer in market.ranked if offer.lost]:
        yield f"Not on the front, as cells failed or are missing: {', '.join(lost)}."
    if market.left:
        yield f"Not finished everywhere and left out: {', '.join(market.left)}."
    if len(market.ranked) < len(market.offers):
        yield "Reference lines stand beside and are not on the front."


def _numbers(market: Market, of: Quality) -> Tabled:
    lines = []
    for offer in market.offers:
        best = "yes" if offer in market.front else ""
        lines.append((offer.criterion, (seconds(offer.time), with_limits(offer.top1, of), best)))
    return Tabled(
        ("Criterion", "Scoring time", f"{'Top-1, %' if of is TOP1 else of.head} [95 % interval]", "On the front"),
        tuple(lines),
    )


def offers(rows: pd.DataFrame) -> Market:
    """What each criterion gives in the blocks that all of them finished.

    Left out is who finished less than half of the blocks that any finished, so that one who fails takes no block away.
    """
    done = rows.pivot(index=["block", "sparsity"], columns="criterion", values="top1")
    each = done.groupby(level="block")
    blocks = each.mean().where(each.count().eq(each.size(), axis=0)).dropna(how="all")
    lines = reference_lines(rows)
    names = [name for name in rows["criterion"].unique() if 2 * blocks[name].notna().sum() >= max(1, len(blocks))]
    ranked = blocks[[name for name in names if name not in lines]].dropna()
    # a reference line takes no block away from the criteria: it is there if it has all of theirs
    names = [name for name in names if name not in lines or blocks.loc[ranked.index, name].notna().all()]
    shared = blocks.loc[ranked.index, names].dropna()
    times = rows.groupby("criterion")["scoring_seconds"].mean()
    left = [str(name) for name in rows["criterion"].unique() if name not in names]
    if shared.empty:
        return Market([], 0, left)
    # a time of 0, which a coarse clock may give, has no place on a logarithmic axis
    within = stratified(rows[rows["criterion"].isin(names)])
    lost = survivors(within, names)
    fell = set(within.loc[within["outcome"] == COLLAPSED, "criterion"])
    tops = {
        n: Interval(float(shared[n].mean()), n=len(shared))
        if n in fell
        else accuracy_interval(list(shared[n]), least(rows))
        for n in names
    }
    made = [Offer(str(n), max(float(times[n]), 1e-6), tops[n], n in lines, n in lost) for n in names]
    return Market(made, len(shared), left)
