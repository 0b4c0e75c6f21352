"""Criteria against each other: paired differences and the test that decides, and other views of the same blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from pabench.report.frame import pruned, reference_lines, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.board import Board, board, looked_at
from pabench.statistics.intervals import LEVEL, Interval
from pabench.statistics.outcomes import COLLAPSED
from pabench.statistics.paired import block_means, by_task, stratified, survivors
from pabench.statistics.ranktest import Friedman, friedman, smallest_p
from pabench.statistics.resampling import interquartile_mean
from pabench.suite.cell import DENSE
from pabench.words import count, number

from .diagram import diagram
from .duels import Duel, duels, grids
from .figure import Drawn, Look, Panel, looks_of

ALL = "All datasets and models"
SHOWN_AT_ONCE = 15
"""Pairs up to which their table is open."""
FEWEST_TRIMMED = 4
"""Cells of which a quarter, rounded down, is one: the interquartile mean of fewer is their mean."""


@dataclass(frozen=True)
class Compared:
    """One dataset and model, or all: the criteria in the leaderboard's order, and what is said of them.

    `verdict` and `duels` are the test that decides, that of the leaderboard's groups; what follows them is folded, each
    with its `notes` by name. `won` has the share of wins of (row, column), each pair both ways. `middle` are
    interquartile means of the change from the dense baseline, or (`dense` is False) of top-1 itself; `trimmed` is False
    where there are too few cells to leave any out. `of` is the dataset and model; "" for all.
    """

    title: str
    names: tuple[str, ...]
    duels: tuple[Duel, ...] = ()
    verdict: str = ""
    figure: Panel | None = None
    won: Mapping[tuple[str, str], Interval] = field(default_factory=dict)
    middle: Mapping[str, Interval] = field(default_factory=dict)
    dense: bool = False
    trimmed: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)
    of: str = ""

    @property
    def apart(self) -> Mapping[tuple[str, str], bool]:
        """Of (row, column) that the data separate, whether the row is the better one."""
        sides = ((d.a, d.b, d.verdict) for d in self.duels if d.verdict)
        return {pair: better == pair[0] for a, b, better in sides for pair in ((a, b), (b, a))}

    @property
    def open(self) -> bool:
        return len(self.duels) <= SHOWN_AT_ONCE


class Comparison(Section):
    """Criteria two at a time, with the test that decides; other views of the same blocks are folded."""

    name = "comparison"
    title = "Comparison"
    order = 25
    boards = True

    def render(self, study: Study) -> str | None:
        found = _boards(study)
        if not any(one.duels for one in found):
            return None
        beside = bool(reference_lines(study.plain))
        return self.fill("comparison.html.j2", boards=found, beside=beside, pvalue=pvalue)

    def figures(self, study: Study) -> list[Drawn]:
        return [Drawn(one.title, (one.figure,), (), of=one.of) for one in _boards(study) if one.figure]


def _boards(study: Study) -> list[Compared]:
    """Of each dataset and model, and before them of all where there are several."""
    frame = looked_at(study.plain)
    styles, groups = looks_of(frame), list(strata(frame))
    made = study.boards
    found = [replace(compared(title, rows, styles, made[title]), of=title) for title, rows in groups]
    return [compared(ALL, frame, styles, made[""]), *found] if len(groups) > 1 else found


def compared(title: str, frame: pd.DataFrame, styles: Mapping[str, Look], made: Board | None = None) -> Compared:
    """Everything about the criteria that the leaderboard ranks, no reference lines; `frame` has no ablations, `made` is
    its board, where there is one already."""
    names = tuple(standing.criterion for standing in (made or board(frame)).ranked)
    if len(names) < 2:
        words = "Fewer than two criteria are finished at every sparsity of a block: nothing to compare."
        return Compared(title, names, verdict=words)
    cells = stratified(pruned(frame))
    pairs = duels(cells, names)
    tasks = by_task(cells)[list(names)]
    left = survivors(cells, names)
    test = _friedman(tasks[[name for name in names if name not in left]])
    blocks = block_means(tasks).dropna()
    dense = _dense(frame)
    change = bool(dense.reindex(blocks.index.get_level_values("block").unique()).notna().all())
    whole = tasks.loc[tasks.index.droplevel("sparsity").isin(blocks.index)]
    middle = _middle(whole, dense if change else None)
    if (cells.loc[cells["criterion"].isin(names), "outcome"] == COLLAPSED).any():
        # what is trimmed depends on how many collapsed, and no interval was seen to cover there
        middle = {name: Interval(one.mean, n=one.n) for name, one in middle.items()}
    return Compared(
        title,
        names,
        pairs,
        verdict=_separable(pairs),
        figure=diagram(test, styles, title) if test.p is not None else None,
        won={(d.a, d.b): d.won for d in pairs} | {(d.b, d.a): _turned(d.won) for d in pairs},
        middle=middle,
        dense=change,
        trimmed=len(whole) >= FEWEST_TRIMMED,
        notes={"ranks": _ranks(test, left), "wilcoxon": _reach(pairs), "middle": _weights(whole, middle)},
    )


def _friedman(tasks: pd.DataFrame) -> Friedman:
    """The test of the ranks that the leaderboard has, as long as every cell of its criteria is there."""
    blocks = block_means(tasks).dropna() if len(tasks.columns) else pd.DataFrame()
    models = blocks.index.get_level_values("stratum") if len(blocks) else ()
    return friedman(blocks.to_dict("records"), list(models))


def _dense(frame: pd.DataFrame) -> pd.Series:
    """Top-1 of the dense baseline by block."""
    rows = frame[(frame["criterion"] == DENSE) & frame["top1"].notna()]
    return rows.set_index("block")["top1"]


def _middle(tasks: pd.DataFrame, dense: pd.Series | None) -> dict[str, Interval]:
    """Interquartile means; none of top-1 itself over several models, where a quarter is the easiest one's cells."""
    if tasks.empty or (dense is None and tasks.index.get_level_values("stratum").nunique() > 1):
        return {}
    if dense is not None:
        tasks = tasks.sub(tasks.index.get_level_values("block").map(dense).to_numpy(), axis=0)
    least, most = (0, 100) if dense is None else (-100, 100)
    return {name: interquartile_mean(grids(tasks[name])).within(least, most) for name in tasks}


def _turned(won: Interval) -> Interval:
    """P(b > a) of P(a > b): ties are halves of both."""
    low = None if won.high is None else 1 - won.high
    high = None if won.low is None else 1 - won.low
    return Interval(1 - won.mean, low, high, won.n, won.method)


def _separable(pairs: Sequence[Duel]) -> str:
    apart = sum(bool(duel.verdict) for duel in pairs)
    lost = sum(duel.unfinished > 0 for duel in pairs)
    if lost == len(pairs):
        return "No pair has a verdict: in each, cells failed or are missing, and the rest cannot speak for them."
    if not any(duel.t.p is not None for duel in pairs):
        return "No two criteria can be told apart: no pair has two blocks that differ, so there is no test."
    if len(pairs) == 1:
        said = "The two criteria can be told apart" if apart else "The two criteria cannot be told apart"
    else:
        said = f"{apart or 'None'} of {len(pairs)} pairs of criteria can be told apart"
    how = "paired t test" + (", or sign-flip test where cells collapsed" if any(duel.flipped for duel in pairs) else "")
    held = "" if len(pairs) == 1 else "; Holm's correction for all pairs"
    rest = f" {count(lost, 'pair')} without a verdict: cells failed or are missing." if lost else ""
    return f"{said} at {LEVEL:.0%} ({how}{held}).{rest}".replace("%", " %")


def _ranks(test: Friedman, left: Sequence[str]) -> str:
    """What Friedman's test says, and who is not in it."""
    if not left:
        return _friedmans(test)
    among = f" Ranks here are among the other {test.k}, and may differ from the leaderboard's." if test.k > 1 else ""
    return f"{_friedmans(test)} Not in it, as cells failed or are missing: {', '.join(left)}.{among}"


def _friedmans(test: Friedman) -> str:
    n = test.n
    if n < 2 or test.k < 2:
        return f"Friedman: no test, {count(n, 'block')} finished at every sparsity by all criteria."
    if test.p is None or test.statistic is None:
        return f"Friedman: no test, the criteria are equal in each of {n} blocks."
    said = (
        f"Friedman over block means: χ² = {number(test.statistic)}, {p_text(test.p)} ({test.method}), n = {n} blocks: "
    )
    if not test.possible:
        return said + (
            f"the ranks cannot be told apart. With so few blocks they never could: if all agreed, "
            f"{p_text(test.least)}. One bar joins all."
        )
    if not test.rejects:
        more = "." if test.reachable else f"; {_unreachable(test)}"
        return f"{said}the ranks cannot be told apart, one bar joins all{more}"
    if not test.reachable:
        return said + f"the ranks differ, but {_unreachable(test)}"
    return said + f"the ranks differ. Nemenyi tells mean ranks apart that differ by {number(test.critical)}."


def _unreachable(test: Friedman) -> str:
    apart = f"Nemenyi needs mean ranks {number(test.critical)} apart, and {test.k - 1} is the most there can be"
    return f"{apart}: no pair can be named."


def _reach(pairs: Sequence[Duel]) -> str:
    """What Wilcoxon's test cannot say with so few blocks, whatever they show; "" where it can."""
    n = max(duel.ranks.n for duel in pairs)
    if n < 2:
        return ""
    blocks = n == max(duel.won.n for duel in pairs)
    least = smallest_p(n)
    said = f"With {n} {'blocks' if blocks else 'differences other than 0'} the smallest possible p is {pvalue(least)}"
    if least >= LEVEL:
        return f"{said}: this test can tell nothing apart here."
    if (first := least * len(pairs)) >= LEVEL:
        held = f"{pvalue(min(1.0, first))} after Holm's correction for {len(pairs)} pairs"
        return f"{said}, or {held}: this test can tell nothing apart here."
    return ""


def _weights(tasks: pd.DataFrame, middle: Mapping[str, Interval]) -> str:
    """What the interquartile means are not; "" where they are what they are called."""
    sizes = tasks.groupby(level="stratum").size()
    if not len(sizes):
        return ""
    if not middle:
        return "No IQM: without dense baselines, accuracies of different models cannot be put together."
    if sizes.sum() < FEWEST_TRIMMED:
        return f"Of {count(int(sizes.sum()), 'cell')} the middle half is all of them: the plain mean is given instead."
    if sizes.nunique() > 1:
        many = f"{sizes.min()} to {sizes.max()}"
        said = f"Here each cell counts the same, so that models with more cells count more ({many})"
        return f"{said}; everywhere else on this page models count the same."
    return ""


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
