"""The leaderboard, for each dataset and model and over all of them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from pabench.report.frame import pruned, quality, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.board import REFERENCE, Board, board, caveats
from pabench.statistics.intervals import Interval, interval_text
from pabench.statistics.outcomes import Rate, seeds_interval
from pabench.store.quality import TOP1, Quality
from pabench.store.verdict import Tally, tally
from pabench.suite.cell import DENSE
from pabench.words import count, signed, span

from .battery import Judgement, changes, judged


@dataclass(frozen=True)
class Shown:
    """A board with its heading, the dense baseline (none on the board over all) and what must be said about it: the
    `answer` first, what it rests on (`remarks`) folded.

    `shuffles`: each criterion against its own shuffled mask, None for a study without.
    """

    title: str
    board: Board
    dense: Interval | None
    dense_flagged: Tally
    overall: bool
    answer: str
    remarks: tuple[str, ...]
    shuffles: dict[str, Judgement] | None
    quality: Quality = TOP1

    def width(self, interval: Interval, sign: bool = False) -> str:
        """What stands beside a mean in points, as its quality is told."""
        return interval_text(interval.times(self.quality.point), sign, self.quality.digits)

    def difference(self, interval: Interval) -> str:
        return signed(interval.mean * self.quality.point, self.quality.digits)


class Leaderboard(Section):
    """Criteria by mean rank, with groups of those that the data do not separate."""

    name = "leaderboard"
    title = "Leaderboard"
    order = 20

    def render(self, study: Study) -> str | None:
        frame, shuffled = study.plain, bool((study.frame["ablation"] == "shuffle").any())
        if not pruned(frame)["top1"].notna().any():
            return None
        groups = list(strata(study.frame))
        boards = [_shown(title, rows, shuffled=shuffled, overall=False) for title, rows in groups]
        if len(groups) > 1:
            boards.insert(0, _shown("All datasets and models", study.frame, shuffled=shuffled, overall=True))
        return self.fill("leaderboard.html.j2", boards=boards, reference=REFERENCE)


def _shown(title: str, rows: pd.DataFrame, *, shuffled: bool, overall: bool) -> Shown:
    frame = rows[rows["ablation"] == ""]
    made = board(frame)
    criteria = [standing.criterion for standing in made.lines]
    baseline = frame[frame["criterion"] == DENSE]
    dense = baseline[baseline["top1"].notna()]
    return Shown(
        title=title,
        board=made,
        dense=seeds_interval(dense) if len(dense) and not overall else None,
        dense_flagged=tally(baseline["flags"]),
        overall=overall,
        answer=" ".join(_answer(made)),
        remarks=_remarks(made),
        shuffles=judged(changes(rows), "shuffle", criteria) if shuffled else None,
        quality=quality(frame),
    )


def _answer(made: Board) -> tuple[str, ...]:
    """Who may be the best: the criteria that none is separably better than."""
    if not made.separable:
        return ()
    leaders = [standing.criterion for standing in made.ranked if standing.ranks and standing.ranks[0] == 1]
    if made.ranked[0].ranks == (1, 1):
        left = f" (not ranked: {', '.join(s.criterion for s in made.unranked)})" if made.unranked else ""
        return (f"{leaders[0]} is separably better than all other ranked criteria{left}.",)
    return (f"{', '.join(leaders)}: any of these may be the best; the tests find none of them worse than another.",)


def _second(made: Board) -> tuple[str, ...]:
    """The order with failures at chance, where there are any."""
    if not made.failed or not made.by_chance:
        return ()
    over = f"over the {made.known} of {count(made.blocks, 'block')} that are not missing"
    return (f"With failures at chance, {over}, the order is: {', '.join(made.by_chance)}.",)


def _unseen(made: Board) -> tuple[str, ...]:
    """What rate of collapse few blocks hide where they show none."""
    sizes = [
        interval.n for standing in made.ranked for s, interval in standing.means.items() if s not in standing.collapsed
    ]
    if not sizes:
        return ()
    high = Rate(0, min(sizes)).interval.high or 1.0
    return (f"Where none of {count(min(sizes), 'cell')} collapsed, the rate may be up to {100 * high:.0f} %.",)


def _remarks(made: Board) -> tuple[str, ...]:
    if not made.ranked:
        return ("No block is finished by every criterion: there is no ranking yet.",)
    blocks = span((made.fewest, made.most))
    shared = f"the {made.shared} of {count(made.blocks, 'block')} that all ranked criteria finished at every sparsity"
    remarks = [*_answer(made), f"Mean rank: over {shared}.", *_second(made), *_unseen(made)]
    if len(made.ranked) < 2:
        return (*remarks, *caveats(made))
    remarks += [
        f"Pairs: compared in the blocks that both finished at every sparsity ({blocks} of {made.blocks}).",
    ]
    if made.compared < len(made.strata):
        remarks.append(f"Only {made.compared} of {len(made.strata)} models have such blocks.")
    remarks += caveats(made)
    if 2 <= made.seeds < 5:
        sample = count(made.seeds, "model") if made.over_models else f"{made.seeds} seeds a model"
        remarks.append(f"With {sample}, only large differences can be separated.")
    return tuple(remarks)
