"""The leaderboard, over all datasets and models and for each of them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from pabench.report.frame import pruned, quality, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.board import REFERENCE, Board, caveats
from pabench.statistics.intervals import Interval, interval_text
from pabench.statistics.outcomes import Rate, seeds_interval
from pabench.store.quality import TOP1, Quality
from pabench.store.verdict import Tally, tally
from pabench.suite.cell import DENSE
from pabench.words import count, span

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


class Leaderboard(Section):
    """Criteria by mean rank, with groups of those that the data do not separate: over all models, where there are
    several."""

    name = "leaderboard"
    title = "Leaderboard"
    order = 20
    boards = True

    def render(self, study: Study) -> str | None:
        if not _ranks(study):
            return None
        groups = list(strata(study.frame))
        title, rows = groups[0] if len(groups) == 1 else ("All datasets and models", study.frame)
        shown = _shown(title, rows, study.boards[""], shuffled=_shuffled(study), overall=len(groups) > 1)
        return self.fill("leaderboard.html.j2", shown=shown, reference=REFERENCE, interval_text=interval_text)


class ByModel(Section):
    """The leaderboard of each dataset and model, after the figure: nothing where there is one, which is shown above."""

    name = "models"
    title = "Leaderboard by model"
    order = 24

    def render(self, study: Study) -> str | None:
        groups = list(strata(study.frame))
        if len(groups) == 1 or not _ranks(study):
            return None
        made = study.boards
        boards = [_shown(title, rows, made[title], shuffled=_shuffled(study), overall=False) for title, rows in groups]
        return self.fill("by_model.html.j2", boards=boards, reference=REFERENCE, interval_text=interval_text)


def _ranks(study: Study) -> bool:
    return bool(pruned(study.plain)["top1"].notna().any())


def _shuffled(study: Study) -> bool:
    return bool((study.frame["ablation"] == "shuffle").any())


def _shown(title: str, rows: pd.DataFrame, made: Board, *, shuffled: bool, overall: bool) -> Shown:
    frame = rows[rows["ablation"] == ""]
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
    """Who may be the best: the criteria that no test finds worse than another."""
    if not made.separable:
        return ()
    leaders = [standing.criterion for standing in made.ranked if standing.ranks and standing.ranks[0] == 1]
    if made.ranked[0].ranks == (1, 1):
        left = f" (not ranked: {', '.join(s.criterion for s in made.unranked)})" if made.unranked else ""
        return (f"{leaders[0]} is better than all other ranked criteria{left}.",)
    return (f"{', '.join(leaders)}: any of these may be the best: the tests tell none of them from another.",)


def _second(made: Board) -> tuple[str, ...]:
    """The order with failures at chance, where there are any."""
    if not made.failed or not made.by_chance:
        return ()
    over = f"over the {made.known} of {count(made.blocks, 'block')} without missing cells"
    return (f"If failed cells count as guesses, the order is, {over}: {', '.join(made.by_chance)}.",)


def _unseen(made: Board) -> tuple[str, ...]:
    """What rate of collapse few blocks hide where they show none."""
    sizes = [
        interval.n for standing in made.ranked for s, interval in standing.means.items() if s not in standing.collapsed
    ]
    if not sizes:
        return ()
    high = Rate(0, min(sizes)).interval.high or 1.0
    what = "collapsed" if made.failed else "failed or collapsed"
    return (f"Where none of {count(min(sizes), 'cell')} {what}, the true rate may still be up to {100 * high:.0f} %.",)


def _remarks(made: Board) -> tuple[str, ...]:
    if not made.ranked:
        return ("No block is finished by every criterion: there is no ranking yet.",)
    blocks = span((made.fewest, made.most))
    shared = f"the {made.shared} of {count(made.blocks, 'block')} that all ranked criteria finished at every sparsity"
    remarks = [*_answer(made), f"Mean ranks are over {shared}.", *_second(made), *_unseen(made)]
    if len(made.ranked) < 2:
        return (*remarks, *caveats(made))
    remarks += [
        f"Two criteria are compared in the blocks that both finished at every sparsity ({blocks} of {made.blocks}).",
    ]
    if made.compared < len(made.strata):
        remarks.append(f"Only {made.compared} of {len(made.strata)} models have such blocks.")
    remarks += caveats(made)
    if 2 <= made.seeds < 5:
        sample = count(made.seeds, "model") if made.over_models else f"{made.seeds} seeds a model"
        remarks.append(f"With {sample}, only large differences can be detected.")
    return tuple(remarks)
