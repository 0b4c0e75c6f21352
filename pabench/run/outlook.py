"""What a suite will cost and what it can show, before anything runs: cells, hours, the differences it can detect."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import comb
from pathlib import Path

import torch

from pabench.errors import MissingError, SuiteError
from pabench.report.folders import read
from pabench.run.clock import Clock
from pabench.run.estimate import Workload
from pabench.run.session import Session
from pabench.statistics.power import Comparison
from pabench.statistics.precedents import Setting, expected, together, training_images
from pabench.statistics.spread import Spread, measured, uncertainty
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.training.block import Block
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
class Detection:
    """What a suite can show where differences of two criteria vary between blocks by `sd` points.

    `detectable`: the smallest difference that the suite's seeds find, None with one seed or where it is more than
    accuracies can differ. `seeds` find the wanted one, in `trainings` and `hours` for the whole suite; None where no
    number of seeds does or no time is known.
    """

    sd: float
    detectable: float | None
    seeds: int | None
    trainings: int | None
    hours: float | None


@dataclass(frozen=True)
class Reach:
    """One kind of comparison: over `models` (dataset and model, each counting the same), corrected for `pairs` pairs.

    `low`, `middle` and `high` are with the least, the middle and the most of the spread; there may be no middle one.
    """

    models: int
    pairs: int
    low: Detection
    middle: Detection | None
    high: Detection


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

    Where those have none, the spread is that of published studies, and the time of a training is measured here.
    MissingError: `records` holds no study.
    """
    torch.set_num_threads(session.threads)
    spread = _spread(session, records)
    everything = replace(session, chosen=session.cells)  # those of missing data are planned, too
    left, whole = _workload(everything), _from_nothing(everything)
    clock = session.clock(Store(records) if records else None)
    hours = per_seed = None
    seeds = len(session.suite.seed_values)
    if not session.gaps:
        hours = left.seconds(clock, session.workers) / 3600
        per_seed = whole.seconds(clock, session.workers) / 3600 / seeds

    def reach(models: int, pairs: int) -> Reach:
        def detection(sd: float) -> Detection:
            comparison = Comparison(sd, wish.alpha / pairs, models)
            return _detection(comparison, wish, seeds, len(whole.trainings), per_seed)

        middle = detection(spread.sd) if spread.sd is not None else None
        return Reach(models, pairs, detection(spread.low), middle, detection(spread.high))

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
        reaches=tuple(reach(models, pairs) for models, pairs in _comparisons(session)),
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


def _spread(session: Session, records: Path | None) -> Spread:
    """The spread of paired differences in a results folder; where it has none, that of published studies."""
    folder = records or session.store.folder
    try:
        found = measured(read(folder).plain)
    except MissingError:
        if records:
            raise
        return _published(session)
    if found is None:
        published = _published(session)
        why = f"{folder} has no two criteria that differ in two blocks of a model"
        return replace(published, sources=(why, *published.sources))
    least, most = uncertainty(found.blocks)
    told = (
        f"median of {count(found.pairs, 'pair')} in {folder}, each of {found.blocks} blocks or more",
        f"{found.blocks} blocks tell the spread of a pair to {least:.2f} to {most:.2f} times what they measure (95 %)",
    )
    return replace(found, sources=told)


def _published(session: Session) -> Spread:
    """What published studies like this one say of it, all its datasets and models together."""
    sparsities = tuple(sorted({cell.sparsity for cell in session.cells if cell.criterion}))
    datasets = {cell.dataset.label: cell for cell in session.cells}
    images = {label: _images(cell, session) for label, cell in datasets.items()}
    settings = dict.fromkeys(
        Setting(_called(cell), cell.model.name, sparsities, cell.recipe.epochs, images[cell.dataset.label])
        for cell in session.cells
    )
    return together([expected(setting) for setting in settings])


def _images(cell: Cell, session: Session) -> int | None:
    """How many images a cell trains on; where its data are missing, all that are published of such a dataset."""
    if cell.dataset.fingerprint:
        return len(Block(cell, session.device).train.split)
    return None if cell.dataset.args.get("train_per_class") else training_images(_called(cell))


def _called(cell: Cell) -> str:
    """What the table of published studies calls the dataset of a cell."""
    return cell.dataset.public or cell.dataset.label


def _detection(comparison: Comparison, wish: Wish, seeds: int, trainings: int, per_seed: float | None) -> Detection:
    """`trainings` are those of all `seeds`, `per_seed` the hours of one."""
    needed = comparison.seeds(wish.mde, wish.power)
    least = comparison.detectable(seeds, wish.power)
    return Detection(
        sd=comparison.sd,
        detectable=None if least is None or least > 100 else least,
        seeds=needed,
        trainings=trainings * needed // seeds if needed is not None else None,
        hours=per_seed * needed if needed is not None and per_seed is not None else None,
    )


def _source(session: Session, clock: Clock, records: Path | None) -> str:
    if session.gaps:
        return "the data is missing, nothing can be timed"
    return f"{clock.source(records or session.store.folder)}; {session.workers} at once on {session.device}"
