"""The standing of criteria over blocks: ranks, differences to random, and which of them the data separate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pandas as pd

from pabench.statistics.intervals import Interval, stratified_interval
from pabench.statistics.outcomes import (
    COLLAPSED,
    FAILED,
    KNOWN,
    TRAINED,
    Rate,
    accuracy_interval,
    collapses,
    failures,
    least,
    seeds_interval,
)
from pabench.statistics.paired import Pair, block_means, by_task, paired, pairs, sampled, separated, stratified
from pabench.statistics.ranking import ordered, rank_range, tie_groups
from pabench.store.verdict import Tally, tally
from pabench.suite.cell import DENSE
from pabench.words import count

REFERENCE = "random"
LOOKED_AT = frozenset({
    *("dataset", "model", "criterion", "reference_line", "sparsity", "block"),
    *("status", "flags", "outcome", "chance", "top1", "r2", "scoring_seconds"),
})  # fmt: skip
"""Of the columns of a frame."""


@dataclass(frozen=True)
class Standing:
    """A criterion's line. `rank`, the mean of its ranks over blocks, and what follows is None for one not ranked.

    `means` are of all finished cells of a sparsity; where some collapsed (`collapsed`, their rate), `trained` are those
    of the others. `failed` is the rate of blocks in which a cell failed by itself; `at_chance` the mean rank with such
    cells at chance, over the blocks that are known of all. `note` says why a reference line is none of the criteria.
    """

    criterion: str
    cells: pd.DataFrame
    means: dict[float, Interval]
    trained: dict[float, Interval]
    collapsed: dict[float, Rate]
    failed: Rate
    note: str = ""
    at_chance: Interval | None = None
    rank: Interval | None = None
    ranks: tuple[int, int] | None = None
    letters: str = ""
    difference: Interval | None = None

    @property
    def mean_rank(self) -> float | None:
        return self.rank.mean if self.rank else None

    @property
    def collapses(self) -> Rate:
        """Of all finished cells. Those of one block are alike, so that an interval is given by sparsity alone."""
        return collapses(self.cells)

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

    Mean ranks are over `shared` of the `blocks`: those that all ranked criteria finished at every sparsity.
    A pair is compared in the blocks in which both did: `fewest` to `most`, in `compared` of the `strata`; `seeds` is
    what the best-off pair has in each of them; `finished` are the strata that have shared blocks. None of a pair is
    called better while cells of one failed or are missing: `pairs` has them all. `known` blocks are those of the ranks
    at chance.
    """

    ranked: tuple[Standing, ...]
    unranked: tuple[Standing, ...]
    sparsities: tuple[float, ...]
    strata: tuple[str, ...]
    compared: int
    blocks: int
    shared: int
    fewest: int
    most: int
    seeds: int
    beside: tuple[Standing, ...] = ()
    pairs: dict[tuple[str, str], Pair] = field(default_factory=dict)
    known: int = 0
    finished: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[Standing, ...]:
        """Every line of the table, from the top."""
        return self.beside + self.ranked + self.unranked

    @property
    def separable(self) -> bool:
        """Whether any two criteria are separated."""
        return len({standing.letters for standing in self.ranked}) > 1

    @property
    def failed(self) -> bool:
        """Whether a criterion's own failures make two rankings."""
        return any(standing.failed.count for standing in self.ranked + self.unranked)

    @property
    def untested(self) -> dict[tuple[str, str], Pair]:
        """The pairs of ranked criteria that failed or missing cells leave without a verdict."""
        return {names: pair for names, pair in self.pairs.items() if pair.unfinished}

    @property
    def thin(self) -> tuple[str, ...]:
        """The models that some pairs' tests leave out, having one block of them."""
        return tuple(sorted({model for pair in self.pairs.values() for model in pair.thin}))

    @property
    def over_models(self) -> bool:
        """Whether models are the sample of tests, as most have one block."""
        return any(pair.over_models for pair in self.pairs.values())

    @property
    def by_chance(self) -> list[str]:
        """The criteria in the order of their ranks with failures at chance."""
        known = [(s.at_chance.mean, s.criterion) for s in self.ranked + self.unranked if s.at_chance]
        return [name for _, name in sorted(known)]


def looked_at(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that criteria are compared by: all that a frame has would make each copy of its rows large."""
    return frame[[column for column in frame if column in LOOKED_AT]]


def board(frame: pd.DataFrame) -> Board:
    """The board of the cells in `frame`, of one (dataset, model) or of several, which then count the same.

    A block gives one rank, that of the mean over its sparsities, as it gives tests one value; the mean rank is over
    blocks, models counting the same, and so is its interval. A criterion is ranked if it is finished at every sparsity
    in at least half of the blocks in which any is: one that fails in a corner does not take the comparison away from
    all others, and is shown. Reference lines take no part in ranks, tests and groups: they spend what criteria do not
    have (a training) or prune nothing, and one that is far better would move every rank and widen every correction.
    Differences to random are each on their own.
    """
    slim = looked_at(frame)
    every = stratified(slim[slim["criterion"] != DENSE])
    pruned = every[every["reference_line"] == ""]
    names = [str(name) for name in pruned["criterion"].unique()]
    complete = _complete(pruned)
    anywhere = set().union(*complete.values())
    ranked = [name for name in names if complete[name] and 2 * len(complete[name]) >= len(anywhere)]
    shared = block_means(by_task(pruned))[ranked].dropna()
    found = pairs(pruned, ranked)
    standings = _standings(pruned, names)
    guessed = _at_chance(pruned, names)
    standings = {n: replace(s, at_chance=guessed.ranks.get(n)) for n, s in standings.items()}
    placed = _ranked(_ranks(shared, _fell(pruned, ranked)), found, standings) if len(shared) else {}
    sizes = [pair.common for pair in found.values()]
    return Board(
        ranked=tuple(placed.values()),
        unranked=tuple(standings[name] for name in names if name not in placed),
        sparsities=tuple(sorted(every["sparsity"].unique())),
        strata=tuple(sorted(pruned["stratum"].unique())),
        compared=max((len(pair.strata) for pair in found.values()), default=0),
        blocks=pruned["block"].nunique(),
        shared=len(shared) if placed else 0,
        fewest=min(sizes, default=0),
        most=max(sizes, default=0),
        seeds=max((min(map(len, pair.sample), default=0) for pair in found.values()), default=0),
        beside=tuple(_beside(every)),
        pairs=found if placed else {},
        known=guessed.blocks,
        finished=tuple(sorted(shared.index.unique("stratum"))) if placed else (),
    )


def caveats(made: Board) -> list[str]:
    """What the order of a board's ranked criteria cannot say; sentences, none where all is well."""
    if len(made.ranked) < 2:
        return ["One criterion is ranked: there is nothing to compare it with."]
    if not made.compared:
        return ["No two criteria finished the same seed of a model: there is no interval and no test."]
    if made.seeds < 2 and all(pair.test.p is None for pair in made.pairs.values()):
        return ["Criteria share a single seed: there is no interval and no test, and the order may be chance."]
    return [
        *(() if made.separable else ("The tests tell no two criteria apart at 5 %: the order may be chance.",)),
        *_thin(made),
        *_unfinished(made),
        *_collapsed(made),
    ]


def _thin(made: Board) -> Iterator[str]:
    """What models of one block take part in."""
    if made.over_models:
        yield "Most models have a single seed: the tests compare models, and each model counts as one value."
    if made.thin:
        yield (
            f"A single seed in common on {', '.join(made.thin)}: it counts in ranks and in tests of ranks and signs; "
            "differences, their intervals and t tests are of the other models."
        )


def _unfinished(made: Board) -> Iterator[str]:
    """Which pairs have no verdict, for what is left of a criterion that failed are its lucky seeds."""
    if not made.untested:
        return
    of = {name: _lost(name, made) for name in (s.criterion for s in made.ranked)}
    who = ", ".join(f"{name} ({lost})" for name, lost in of.items() if lost)
    what = f"{len(made.untested)} of {count(len(made.pairs), 'pair')}"
    yield f"No verdict for {what}: cells failed or are missing, and the rest cannot speak for them: {who}."


def _lost(name: str, made: Board) -> str:
    """How many cells of a criterion failed or are missing, in words; "" for none."""
    of = next(s.cells["outcome"] for s in made.ranked if s.criterion == name)
    failed, missing = int((of == FAILED).sum()), int((~of.isin(KNOWN)).sum())
    return ", ".join(f"{n} {what}" for n, what in ((failed, "failed"), (missing, "missing")) if n)


def _collapsed(made: Board) -> Iterator[str]:
    """What a board whose cells collapsed cannot say."""
    who = [s.criterion for s in made.ranked if s.collapsed]
    if who:
        yield (
            f"Some cells of {', '.join(who)} collapsed to chance: means with them have no interval, and a pair that "
            "is not told apart may still differ."
        )


def _beside(every: pd.DataFrame) -> Iterator[Standing]:
    """The reference lines, with their difference to random in the blocks that both finished."""
    lines = every[every["reference_line"] != ""].groupby(["criterion", "reference_line"], sort=False)
    notes = {str(name): note for (name, note), _ in lines}
    for name, standing in _standings(every, list(notes)).items():
        yield replace(standing, note=notes[name])


def _complete(pruned: pd.DataFrame) -> dict[str, set[str]]:
    """By criterion the blocks in which it is finished at every sparsity."""
    done = pruned["top1"].notna().groupby([pruned["criterion"], pruned["block"]]).all()
    return {str(name): set(done[name].index[done[name]]) for name in pruned["criterion"].unique()}


def _standings(cells: pd.DataFrame, names: list[str]) -> dict[str, Standing]:
    """The lines of these criteria, with the difference to random in the blocks both finished, whoever is ranked."""
    against = [(REFERENCE, name) for name in names if name != REFERENCE]
    every = paired(cells, against) if against and (cells["criterion"] == REFERENCE).any() else {}
    return {name: _standing(name, cells, every.get((REFERENCE, name))) for name in names}


def _standing(name: str, every: pd.DataFrame, reference: Pair | None) -> Standing:
    cells = every[every["criterion"] == name]
    at = {float(s): group for s, group in cells.groupby("sparsity") if group["top1"].notna().any()}
    fell = {s: rate for s, group in at.items() if (rate := collapses(group)).count}
    trained = {s: at[s].loc[at[s]["outcome"] == TRAINED, "top1"] for s in fell}
    return Standing(
        name,
        cells,
        means={s: seeds_interval(group) for s, group in at.items()},
        trained={s: accuracy_interval(list(top1), least(cells)) for s, top1 in trained.items() if len(top1)},
        collapsed=fell,
        failed=failures(cells),
        difference=reference.turned.interval if reference and reference.n else None,
    )


def _fell(pruned: pd.DataFrame, names: list[str]) -> bool:
    return bool((pruned.loc[pruned["criterion"].isin(names), "outcome"] == COLLAPSED).any())


def _ranks(shared: pd.DataFrame, fell: bool = False) -> dict[str, Interval]:
    """The mean rank of each criterion with its interval; 1 for the highest accuracy, equal ones share their mean.

    No interval where a cell `fell` to chance: it moves the ranks of all.
    """
    ranks = shared.rank(axis=1, ascending=False)
    strata = [group for _, group in ranks.groupby(level="stratum")]
    places = len(ranks.columns)
    found = {n: stratified_interval(sampled([list(x[n]) for x in strata])).within(1, places) for n in ranks}
    return {name: Interval(one.mean, n=one.n) for name, one in found.items()} if fell else found


@dataclass(frozen=True)
class _Guessed:
    """Mean ranks with failures at chance, over so many blocks."""

    ranks: dict[str, Interval]
    blocks: int


def _at_chance(pruned: pd.DataFrame, names: list[str]) -> _Guessed:
    """The second ranking: a cell that failed by itself has the accuracy of guessing, so that failing is no way up.

    Of a dataset of which the number of classes is not known it has 0. Criteria of which more than half of the blocks
    are not known to the end, because the machine lost them or they did not run yet, have no place in it.
    """
    chance = pruned["chance"].fillna(0.0)
    known = pruned.assign(top1=pruned["top1"].where(pruned["outcome"] != FAILED, chance))
    complete = _complete(known)
    anywhere = set().union(*complete.values())
    placed = [name for name in names if complete[name] and 2 * len(complete[name]) >= len(anywhere)]
    shared = block_means(by_task(known))[placed].dropna() if placed else pd.DataFrame()
    if shared.empty:
        return _Guessed({}, 0)
    # failures are as rare and as far as collapses are: no interval covers with them
    fell = _fell(known, placed) or bool((known["outcome"] == FAILED).any())
    return _Guessed(_ranks(shared, fell), len(shared))


def _ranked(
    ranks: dict[str, Interval], found: dict[tuple[str, str], Pair], standings: dict[str, Standing]
) -> dict[str, Standing]:
    """The ranked criteria in their order."""
    apart = separated(found)
    better = {(a, b) if found[a, b].mean > 0 else (b, a) for (a, b), differ in apart.items() if differ}
    order = ordered({name: rank.mean for name, rank in ranks.items()}, better)
    letters = tie_groups(order, apart)
    return {
        name: replace(
            standings[name],
            rank=ranks[name],
            ranks=rank_range(name, order, better),
            letters=letters[name],
        )
        for name in order
    }
