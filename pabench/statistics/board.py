"""The standing of criteria over blocks: ranks, differences to random, and which of them the data separate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from pabench.statistics.intervals import Interval, mean_interval, separated_pairs, stratified_interval, stratified_mean
from pabench.statistics.paired import Differences, by_task, differences, stratified
from pabench.statistics.ranking import ordered, rank_range, tie_groups
from pabench.store.verdict import Tally, tally
from pabench.suite.cell import DENSE

REFERENCE = "random"


@dataclass(frozen=True)
class Standing:
    """A criterion's line. `rank`, the mean over its tasks' ranks, and what follows is None for one that is not ranked.

    `note` says why a reference line is none of the criteria.
    """

    criterion: str
    cells: pd.DataFrame
    means: dict[float, Interval]
    note: str = ""
    rank: Interval | None = None
    ranks: tuple[int, int] | None = None
    letters: str = ""
    difference: Interval | None = None

    @property
    def mean_rank(self) -> float | None:
        return self.rank.mean if self.rank else None

    @property
    def flagged(self) -> dict[float, Tally]:
        """Flagged cells by sparsity, where there are any."""
        counts = {s: tally(group["flags"]) for s, group in self.cells.groupby("sparsity")}
        return {s: found for s, found in counts.items() if found}

    @property
    def all_flagged(self) -> Tally:
        return tally(self.cells["flags"])

    def count(self, status: str) -> int:
        return int((self.cells["status"] == status).sum())


@dataclass(frozen=True)
class Board:
    """Ranked criteria, best first, those that are not ranked, and the reference lines `beside` them.

    Mean ranks are over `tasks` of `all_tasks` tasks (block and sparsity): those that all ranked criteria finished.
    A pair is compared in the blocks in which both finished at every sparsity: `fewest` to `most` of `blocks`, in
    `compared` of the `strata`; `seeds` is what the best-off pair has in each of them.
    """

    ranked: tuple[Standing, ...]
    unranked: tuple[Standing, ...]
    sparsities: tuple[float, ...]
    strata: tuple[str, ...]
    compared: int
    blocks: int
    tasks: int
    all_tasks: int
    fewest: int
    most: int
    seeds: int
    beside: tuple[Standing, ...] = ()

    @property
    def lines(self) -> tuple[Standing, ...]:
        """Every line of the table, from the top."""
        return self.beside + self.ranked + self.unranked

    @property
    def separable(self) -> bool:
        """Whether any two criteria are separated."""
        return len({standing.letters for standing in self.ranked}) > 1


def board(frame: pd.DataFrame) -> Board:
    """The board of the cells in `frame`, of one (dataset, model) or of several, which then count the same.

    A rank is the mean over the sparsities of a block first, then over blocks, and its interval is that of blocks. A
    criterion is ranked if it is finished at every sparsity in at least half of the blocks in which any is: one that
    fails in a corner does not take the comparison away from all others, and is shown. Reference lines take no part in
    ranks, tests and groups: they spend what criteria do not have (a training) or prune nothing, and one that is far
    better would move every rank and widen every correction. Differences to random are each on their own.
    """
    every = stratified(frame[frame["criterion"] != DENSE])
    pruned = every[every["reference_line"] == ""]
    names = [str(name) for name in pruned["criterion"].unique()]
    complete = _complete(pruned)
    anywhere = set().union(*complete.values())
    ranked = [name for name in names if complete[name] and 2 * len(complete[name]) >= len(anywhere)]
    tasks = by_task(pruned)
    shared = tasks[ranked].dropna()
    pairs = differences(tasks, ranked)
    standings = {name: _standing(name, pruned, tasks) for name in names}
    placed = _ranked(_ranks(shared), pairs, standings) if len(shared) else {}
    sizes = [sum(map(len, strata)) for strata in pairs.values()]
    return Board(
        ranked=tuple(placed.values()),
        unranked=tuple(standings[name] for name in names if name not in placed),
        sparsities=tuple(sorted(every["sparsity"].unique())),
        strata=tuple(sorted(pruned["stratum"].unique())),
        compared=max(map(len, pairs.values()), default=0),
        blocks=pruned["block"].nunique(),
        tasks=len(shared) if placed else 0,
        all_tasks=len(tasks),
        fewest=min(sizes, default=0),
        most=max(sizes, default=0),
        seeds=max((min(map(len, strata), default=0) for strata in pairs.values()), default=0),
        beside=tuple(_beside(every)),
    )


def caveats(made: Board) -> list[str]:
    """What the order of a board's ranked criteria cannot say; sentences, none where all is well."""
    if len(made.ranked) < 2:
        return ["One criterion is ranked: there is nothing to compare it with."]
    if not made.compared:
        return ["No two criteria finished a block in common: there is no interval and no test."]
    if made.seeds < 2 and len(made.strata) > 1:
        return ["No pair has two blocks in every model: there is no interval and no test, and the order may be noise."]
    if made.seeds < 2:
        return ["With one block in common there is no interval and no test: the ranking is not separable."]
    return [] if made.separable else ["No two criteria are separable at 5 %: the order may be noise."]


def _beside(every: pd.DataFrame) -> Iterator[Standing]:
    """The reference lines, with their difference to random in the blocks that both finished."""
    tasks = by_task(every)
    for (name, note), _ in every[every["reference_line"] != ""].groupby(["criterion", "reference_line"], sort=False):
        yield replace(_standing(name, every, tasks), note=note)


def _complete(pruned: pd.DataFrame) -> dict[str, set[str]]:
    """By criterion the blocks in which it is finished at every sparsity."""
    done = pruned["top1"].notna().groupby([pruned["criterion"], pruned["block"]]).all()
    return {str(name): set(done[name].index[done[name]]) for name in pruned["criterion"].unique()}


def _standing(name: str, pruned: pd.DataFrame, tasks: pd.DataFrame) -> Standing:
    cells = pruned[pruned["criterion"] == name]
    finished = cells[cells["top1"].notna()]
    means = {float(s): mean_interval(group["top1"]) for s, group in finished.groupby("sparsity")}
    return Standing(name, cells, means, difference=_to_reference(name, tasks))


def _to_reference(name: str, tasks: pd.DataFrame) -> Interval | None:
    """The difference to random in the blocks that both finished, whoever is ranked; None where there is none."""
    if name == REFERENCE or not {name, REFERENCE} <= set(tasks):
        return None
    difference = stratified_interval(differences(tasks, [name, REFERENCE])[name, REFERENCE])
    return difference if difference.n else None


def _ranks(shared: pd.DataFrame) -> dict[str, Interval]:
    """The mean rank of each criterion with its interval; 1 for the highest accuracy, equal ones share their mean."""
    ranks = shared.rank(axis=1, ascending=False).groupby(level=["stratum", "block"]).mean()
    strata = [group for _, group in ranks.groupby(level="stratum")]
    return {name: _bounded(stratified_interval([list(x[name]) for x in strata]), len(ranks.columns)) for name in ranks}


def _bounded(interval: Interval, places: int) -> Interval:
    """A rank's interval within the ranks there are."""
    if interval.low is None or interval.high is None:
        return interval
    return replace(interval, low=max(1.0, interval.low), high=min(float(places), interval.high))


def _ranked(ranks: dict[str, Interval], pairs: Differences, standings: dict[str, Standing]) -> dict[str, Standing]:
    """The ranked criteria in their order."""
    separated = separated_pairs(pairs)
    better = {(a, b) if stratified_mean(pairs[a, b]) > 0 else (b, a) for (a, b), apart in separated.items() if apart}
    order = ordered({name: rank.mean for name, rank in ranks.items()}, better)
    letters = tie_groups(order, separated)
    return {
        name: replace(
            standings[name],
            rank=ranks[name],
            ranks=rank_range(name, order, better),
            letters=letters[name],
        )
        for name in order
    }
