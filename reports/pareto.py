"""Accuracy against the time that scoring takes, and which criteria no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from pabench.statistics import Interval, mean_interval
from pabench.wording import count, number, seconds

from .figure import INK, Drawn, Numbers, interval_name, legend_text, looks, short, svg


@dataclass(frozen=True)
class Offer:
    """What a criterion gives for its time: mean top-1 over blocks, each averaged over sparsities."""

    criterion: str
    time: float
    top1: Interval
    beside: bool


def pareto(rows: pd.DataFrame, title: str) -> Drawn | None:
    """The figure of one dataset and model, None with fewer than two criteria to compare; `rows` are scored cells."""
    made, blocks, left = offers(rows)
    ranked = [offer for offer in made if not offer.beside]
    if len(ranked) < 2:
        return None
    best = front(ranked)
    styles = looks([offer.criterion for offer in made], {offer.criterion for offer in made if offer.beside})

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        steps = sorted((o for o in ranked if o.criterion in best), key=lambda o: o.time)
        right = max(offer.time for offer in made) * 1.6
        xs, ys = [*(o.time for o in steps), right], [*(o.top1.mean for o in steps), steps[-1].top1.mean]
        axes.step(xs, ys, where="post", color=INK, linewidth=0.9, alpha=0.6, label="Pareto front", zorder=1)
        for offer in made:
            look, low, high = styles[offer.criterion], offer.top1.low, offer.top1.high
            face = {"markerfacecolor": "none"} if offer.criterion not in best else {}
            style: dict[str, Any] = {
                "color": look.color,
                "marker": look.marker,
                "markersize": 7,
                "linestyle": "none",
                **face,
            }
            axes.plot([offer.time], [offer.top1.mean], label=legend_text(short(offer.criterion)), zorder=3, **style)
            if low is not None and high is not None:
                axes.plot([offer.time] * 2, [low, high], color=look.color, linewidth=1.1, alpha=0.75, zorder=2)
        axes.set_xlim(min(offer.time for offer in made) / 1.6, right)
        means = [offer.top1.mean for offer in made]
        margin = max(1.0, 0.25 * (max(means) - min(means)))
        axes.set_ylim(max(0.0, min(means) - margin), min(100.0, max(means) + margin))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if right > 1000 * min(o.time for o in made) else (1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
        axes.minorticks_off()
        axes.set_xlabel("mean scoring time (logarithmic scale)")
        axes.set_ylabel("top-1 accuracy, %")
        axes.grid(axis="both")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")

    height = max(3.6, 0.7 + 0.23 * len(made))
    label = f"Top-1 accuracy against scoring time, {title}; on the Pareto front: {', '.join(best)}"
    drawing = svg(paint, width=12, height=height, name=f"pareto-{title}", label=label)
    notes = [
        f"Top-1: mean over {count(blocks, 'block')}, each averaged over its sparsities; {interval_name([blocks])}.",
        "Filled: no other criterion is both faster and, in the mean, better.",
        "Neighbours within their intervals may change places.",
        *([f"Not finished everywhere and left out: {', '.join(left)}."] if left else []),
        *(["Reference lines stand beside and are not on the front."] if len(ranked) < len(made) else []),
    ]
    lines = [(o.criterion, (seconds(o.time), _accuracy(o.top1), "yes" if o.criterion in best else "")) for o in made]
    numbers = Numbers(("Criterion", "Scoring time", "Top-1, % [95 % interval]", "On the front"), tuple(lines))
    return Drawn(f"{title}, accuracy against scoring time", drawing, tuple(notes), numbers)


def offers(rows: pd.DataFrame) -> tuple[list[Offer], int, list[str]]:
    """What each criterion gives in the blocks that all of them finished, how many blocks that are, and who is left out.

    Left out is who finished less than half of the blocks that any finished, so that one who fails takes no block away.
    """
    done = rows.pivot(index=["block", "sparsity"], columns="criterion", values="top1")
    blocks = done.groupby(level="block").agg(lambda top1: top1.mean(skipna=False))
    blocks = blocks.dropna(how="all")
    lines = set(rows.loc[rows["reference_line"] != "", "criterion"])
    names = [name for name in rows["criterion"].unique() if 2 * blocks[name].notna().sum() >= max(1, len(blocks))]
    ranked = blocks[[name for name in names if name not in lines]].dropna()
    # a reference line takes no block away from the criteria: it is there if it has all of theirs
    names = [name for name in names if name not in lines or blocks.loc[ranked.index, name].notna().all()]
    shared = blocks.loc[ranked.index, names].dropna()
    times = rows.groupby("criterion")["scoring_seconds"].mean()
    left = [str(name) for name in rows["criterion"].unique() if name not in names]
    if shared.empty:
        return [], 0, left
    made = [Offer(str(n), max(float(times[n]), 1e-6), mean_interval(shared[n]), n in lines) for n in names]
    return made, len(shared), left


def front(made: Sequence[Offer]) -> list[str]:
    """Criteria that no other equals or beats in both time and accuracy, and beats in one."""

    def beaten(offer: Offer) -> bool:
        return any(
            o.time <= offer.time
            and o.top1.mean >= offer.top1.mean
            and (o.time < offer.time or o.top1.mean > offer.top1.mean)
            for o in made
        )

    return [offer.criterion for offer in made if not beaten(offer)]


def _accuracy(interval: Interval) -> str:
    limits = f" [{number(interval.low)}, {number(interval.high)}]" if interval.low is not None else ""
    return f"{number(interval.mean)}{limits}"
