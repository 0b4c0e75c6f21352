"""What a suite will cost and what it can show, before anything runs: cells, hours, the differences it can detect."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, product
from math import comb
from pathlib import Path

import torch

from pabench.errors import MissingError, SuiteError
from pabench.report.folders import read
from pabench.run.estimate import Clock, Workload
from pabench.run.session import Session
from pabench.statistics.paired import by_task, differences, stratified
from pabench.statistics.power import CORRELATION, SEED_SD, Comparison, paired_sd, typical_sd
from pabench.store.store import Store
from pabench.suite.cell import DENSE
from pabench.words import count


@dataclass(frozen=True)
class Wish:
    """A true difference in points of top-1 to be found, with what chance, at what level (two-sided)."""

    mde: float = 0.5
    power: float = 0.8
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.mde < 100:
            raise SuiteError(f"--mde {self.mde:g}: expected points of top-1 between 0 and 100, as in --mde 0.5")
        for name, value in (("power", self.power), ("alpha", self.alpha)):
            if not 0 < value < 1:
                raise SuiteError(f"--{name} {value:g}: expected a number between 0 and 1")
        if self.power <= self.alpha:
            raise SuiteError(f"--power {self.power:g}: expected more than --alpha, {self.alpha:g}")


@dataclass(frozen=True)
class Spread:
    """Standard deviation `sd` of the difference of two criteria between blocks, in points, and where it is from."""

    sd: float
    source: str
    pairs: int = 0
    blocks: int = 0


@dataclass(frozen=True)
class Reach:
    """One kind of comparison: over `models` (dataset and model, each counting the same), corrected for `pairs` pairs.

    `detectable`: the smallest difference that the suite's seeds find, None with one seed or where it is more than
    accuracies can differ. `seeds` find the wanted one, in `trainings` and `hours` for the whole suite; None where no
    number of seeds does or no time is known.
    """

    models: int
    pairs: int
    detectable: float | None
    seeds: int | None
    trainings: int | None
    hours: float | None


@dataclass(frozen=True)
class Outlook:
    """Everything that `pabench plan` says. `trainings` and `hours` are of the cells that are not done.

    `dense_again` of the trainings are dense ones for reference lines. `hours` is None where no time is known.
    """

    suite: str
    folder: str
    seeds: int
    cells: int
    done: int
    trainings: int
    dense_again: int
    scorings: int
    measurements: int
    metrics: tuple[str, ...]
    hours: float | None
    time: str
    spread: Spread
    wish: Wish
    reaches: tuple[Reach, ...]


def outlook(session: Session, wish: Wish, records: Path | None = None) -> Outlook:
    """The plan of a suite. Spread and times are from the results in `records`, else from the study's own folder.

    Where those have none, the spread is the stated default, and the time of a training is measured here. MissingError:
    `records` holds no study.
    """
    torch.set_num_threads(session.threads)
    spread = _spread(records or session.store.folder, required=records is not None)
    everything = replace(session, chosen=session.cells)  # those of missing data are planned, too
    left, whole = _workload(everything), _from_nothing(everything)
    clock = Clock(Store(records) if records else session.store, session.device)
    hours = per_seed = None
    seeds = len(session.suite.seed_values)
    if not session.gaps:
        hours = clock.together(left.trainings, session.workers) / 3600
        per_seed = clock.together(whole.trainings, session.workers) / 3600 / seeds
    return Outlook(
        suite=str(session.path),
        folder=str(session.store.folder),
        seeds=seeds,
        cells=len(session.cells),
        done=len(session.cells) - len(left.cells),
        trainings=len(left.trainings),
        dense_again=len(left.dense),
        scorings=left.scorings,
        measurements=left.measurements,
        metrics=left.metrics,
        hours=hours,
        time=_source(session, clock, records),
        spread=spread,
        wish=wish,
        reaches=tuple(
            _reach(spread.sd, wish, models, pairs, seeds, len(whole.trainings), per_seed)
            for models, pairs in _comparisons(session)
        ),
    )


def _workload(session: Session) -> Workload:
    plan = session.plan()
    return Workload.of(plan, session.survey(plan))


def _from_nothing(session: Session) -> Workload:
    """What all of it takes where nothing is done, measurements aside."""
    with tempfile.TemporaryDirectory() as empty:
        return _workload(replace(session, options=replace(session.options, output=Path(empty)), metrics=[]))


def _comparisons(session: Session) -> Iterator[tuple[int, int]]:
    """Over how many models, and for how many pairs of criteria: one and all of each. None of one criterion alone."""
    criteria = {c.criterion.label for c in session.cells if c.criterion and not c.criterion.reference_line}
    models = len({cell.block for cell in session.cells}) // len(session.suite.seed_values)
    pairs = comb(len(criteria), 2)
    return product(sorted({1, models}), sorted({1, pairs}) if pairs else ())


def _spread(folder: Path, *, required: bool) -> Spread:
    """The spread of paired differences in a results folder, or the stated default."""
    stated = f"SD {SEED_SD} over seeds (median of 45 published cells), correlation {CORRELATION} in a block (assumed)"
    default = Spread(paired_sd(), f"default, as there are no records: {stated}")
    try:
        frame = read(folder).plain
    except MissingError:
        if required:
            raise
        return default
    cells = stratified(frame[(frame["criterion"] != DENSE) & (frame["reference_line"] == "")])
    pairs = differences(by_task(cells), [str(name) for name in cells["criterion"].unique()])
    samples = [values for values in chain.from_iterable(pairs.values()) if len(values) > 1]
    sd = typical_sd(samples)
    if sd is None:
        return Spread(paired_sd(), f"default, as {folder} has no two criteria in two blocks of a model: {stated}")
    blocks = sorted({len(values) for values in samples})
    n = f"{blocks[0]}" if len(blocks) == 1 else f"{blocks[0]} to {blocks[-1]}"
    return Spread(sd, f"median of {count(len(samples), 'pair')} in {folder}, {n} blocks each", len(samples), blocks[-1])


def _reach(sd: float, wish: Wish, models: int, pairs: int, seeds: int, trainings: int, per_seed: float | None) -> Reach:
    comparison = Comparison(sd, wish.alpha / pairs, models)
    needed = comparison.seeds(wish.mde, wish.power)
    least = comparison.detectable(seeds, wish.power)
    return Reach(
        models=models,
        pairs=pairs,
        detectable=None if least is None or least > 100 else least,
        seeds=needed,
        trainings=trainings * needed // seeds if needed is not None else None,
        hours=per_seed * needed if needed is not None and per_seed is not None else None,
    )


def _source(session: Session, clock: Clock, records: Path | None) -> str:
    if session.gaps:
        return "the data is missing, nothing can be timed"
    how = f"{session.workers} at once on {session.device}; training alone, scoring and measuring come on top"
    if clock.recorded and not clock.timed:
        return f"from the records in {records or session.store.folder}; {how}"
    if clock.recorded:
        return f"partly from records, partly from a few steps timed here; {how}"
    return f"from a few steps timed here; {how}"
