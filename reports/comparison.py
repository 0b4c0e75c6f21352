"""Criteria against each other: critical differences, win probabilities, paired differences, interquartile means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from pabench.frame import DENSE
from pabench.paired import by_task, stratified
from pabench.ranktest import Friedman, friedman, smallest_p
from pabench.resampling import interquartile_mean
from pabench.section import Section, Study
from pabench.statistics import LEVEL, Interval
from pabench.wording import count, number

from .board import board
from .diagram import diagram
from .duels import Duel, duels, grids
from .figure import Look, looks

SHOWN_AT_ONCE = 15
"""Pairs up to which their table is open."""


@dataclass(frozen=True)
class Compared:
    """One dataset and model, or all: the criteria in the leaderboard's order, and what is said of them.

    `middle` are interquartile means of the change from the dense baseline, or (`dense` is False) of top-1 itself.
    `won` has the duel of (row, column), each pair both ways.
    """

    title: str
    names: tuple[str, ...]
    duels: tuple[Duel, ...]
    won: Mapping[tuple[str, str], Interval]
    middle: Mapping[str, Interval]
    dense: bool
    figure: Markup | None
    remarks: tuple[str, ...]

    @property
    def n(self) -> str:
        """The blocks of the pairs, and those of the interquartile means where they are fewer."""
        sizes = {duel.won.n for duel in self.duels} | {one.n for one in self.middle.values()}
        return f"{min(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"

    @property
    def open(self) -> bool:
        return len(self.duels) <= SHOWN_AT_ONCE


class Comparison(Section):
    """Criteria two at a time and all together, with tests that say what the blocks can carry."""

    name = "comparison"
    title = "Comparison"
    order = 25

    def render(self, study: Study) -> str | None:
        frame = study.plain
        lines = set(frame.loc[frame["reference_line"] != "", "criterion"])
        styles = looks([c for c in frame["criterion"].unique() if c != DENSE], lines)
        groups = [(f"{d} · {m}", rows) for (d, m), rows in frame.groupby(["dataset", "model"], sort=False)]
        if len(groups) > 1:
            groups.insert(0, ("All datasets and models", frame))
        found = [compared(title, rows, styles) for title, rows in groups]
        if not any(one.duels for one in found):
            return None
        return self.fill("comparison.html.j2", boards=found, beside=bool(lines), shade=shade, pvalue=pvalue)


def compared(title: str, frame: pd.DataFrame, styles: Mapping[str, Look]) -> Compared:
    """Everything about the criteria that the leaderboard ranks, no reference lines; `frame` has no ablations."""
    names = tuple(standing.criterion for standing in board(frame).ranked)
    pruned = stratified(frame[frame["criterion"] != DENSE])
    if len(names) < 2:
        words = "Fewer than two criteria are finished at every sparsity of a block: nothing to compare."
        return Compared(title, names, (), {}, {}, False, None, (words,))
    pairs = duels(pruned, names)
    tasks = by_task(pruned)[list(names)]
    blocks = tasks.groupby(level=["stratum", "block"]).mean(skipna=False).dropna()
    test = friedman(blocks.to_dict("records"))
    dense = _dense(frame)
    change = dense.reindex(blocks.index.get_level_values("block").unique()).notna().all()
    middle = _middle(tasks.loc[tasks.index.droplevel("sparsity").isin(blocks.index)], dense if change else None)
    won = {(d.a, d.b): d.won for d in pairs} | {(d.b, d.a): _turned(d.won) for d in pairs}
    figure = diagram(test, styles, title) if test.p is not None else None
    remarks = (*_separable(pairs), _ranks(test), *_reach(pairs))
    return Compared(title, names, pairs, won, middle, bool(change), figure, remarks)


def shade(interval: Interval) -> str:
    """How a cell of the matrix is coloured: by its probability in steps, and more where its interval excludes 1/2."""
    side = "win" if interval.mean > 0.5 else "loss" if interval.mean < 0.5 else "even"
    sure = interval.low is not None and interval.high is not None and not interval.low <= 0.5 <= interval.high
    return f"{side} sure" if sure else side


def _dense(frame: pd.DataFrame) -> pd.Series:
    """Top-1 of the dense baseline by block."""
    rows = frame[(frame["criterion"] == DENSE) & frame["top1"].notna()]
    return rows.set_index("block")["top1"]


def _middle(tasks: pd.DataFrame, dense: pd.Series | None) -> dict[str, Interval]:
    if tasks.empty:
        return {}
    if dense is not None:
        tasks = tasks.sub(tasks.index.get_level_values("block").map(dense).to_numpy(), axis=0)
    return {name: interquartile_mean(grids(tasks[name])) for name in tasks}


def _turned(won: Interval) -> Interval:
    """P(b > a) of P(a > b): ties are halves of both."""
    low = None if won.high is None else 1 - won.high
    high = None if won.low is None else 1 - won.low
    return Interval(1 - won.mean, low, high, won.n, won.method)


def _separable(pairs: Sequence[Duel]) -> tuple[str, ...]:
    apart = sum(bool(duel.verdict) for duel in pairs)
    if not any(duel.t.p is not None for duel in pairs):
        return ("No pair is separable: no pair has two blocks of a model that differ, and so there is no test.",)
    what = f"{apart} of {count(len(pairs), 'pair')}" if apart else f"None of {count(len(pairs), 'pair')}"
    verb = "are" if apart > 1 else "is"
    return (f"{what} {verb} separable at {LEVEL:.0%} (paired t, Holm over all pairs).".replace("%", " %"),)


def _ranks(test: Friedman) -> str:
    n = test.n
    if n < 2:
        return f"Friedman: no test, {count(n, 'block')} finished at every sparsity by all criteria."
    if test.p is None or test.statistic is None:
        return f"Friedman: no test, the criteria are equal in each of {n} blocks."
    said = f"Friedman over block means: χ²({test.k - 1}) = {number(test.statistic)}, {p_text(test.p)}, "
    said += f"n = {n} blocks: "
    if not test.rejects:
        return said + "ranks are not separable, one bar joins all."
    if not test.reachable:
        return said + (
            f"ranks differ, but Nemenyi needs mean ranks {number(test.critical)} apart, more than the {test.k - 1} "
            "there are: no pair can be named."
        )
    return said + f"ranks differ; Nemenyi separates mean ranks {number(test.critical)} apart."


def _reach(pairs: Sequence[Duel]) -> tuple[str, ...]:
    """What Wilcoxon's test cannot say with so few blocks, whatever they show."""
    n = max(duel.difference.n for duel in pairs)
    if n < 2:
        return ()
    least = smallest_p(n)
    if least >= LEVEL:
        return (f"Wilcoxon: with {n} blocks the smallest is {p_text(least)}: it can separate nothing here.",)
    if (first := least * len(pairs)) >= LEVEL:
        said = f"Wilcoxon: with {n} blocks the smallest is {p_text(least)}; as the first"
        return (f"{said} of {len(pairs)} pairs {p_text(min(1.0, first))} (Holm): it can separate nothing here.",)
    return ()


def pvalue(p: float | None) -> str:
    """
    >>> pvalue(0.0625), pvalue(0.0312), pvalue(0.00001), pvalue(None)
    ('0.0625', '0.0312', '< 0.001', '–')
    """
    if p is None:
        return number(None)
    return "< 0.001" if p < 0.001 else f"{p:.2f}" if p >= 0.1 else f"{p:.3g}"


def p_text(p: float) -> str:
    """
    >>> p_text(0.0625), p_text(0.00001)
    ('p = 0.0625', 'p < 0.001')
    """
    text = pvalue(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
