"""The table of how much differences of two criteria varied in published studies, which `pabench plan` reads.

One row a study and sparsity, from two kinds of figures:

- the records of this repository, published and older (`tests/older`): differences within blocks, so paired;
- figures of papers (`reports/published.csv`) whose number of runs, spread and recipe are known: the differences of two
  criteria there have the sum of both variances, as those of unpaired runs.

A cell of which a run was at chance says nothing of the spread of those that train, and is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd
from pabench_reports.correspondence import CLASSES, DATASETS, FULL, model_of
from pabench_reports.publication import Quoted, shipped

from pabench.report.folders import read
from pabench.statistics.intervals import satterthwaite
from pabench.statistics.outcomes import chance_bound
from pabench.statistics.power import unbiased, unbiased_sd
from pabench.statistics.precedents import Precedent
from pabench.statistics.spread import quantiles, samples
from pabench.suite.cell import DENSE

ROOT = Path(__file__).resolve().parents[1]
PLACES = (ROOT / "reports/published/site/data/v1/studies", ROOT / "tests/older")
FEWEST = 3
"""Pairs of which quantiles are told: those of three criteria."""


def text() -> str:
    """The table as a CSV file."""
    rows = pd.DataFrame([*ours(), *theirs()]).sort_values(["source", "dataset", "model", "sparsity"])
    return rows.to_csv(index=False)


def ours() -> Iterator[Precedent]:
    """Of the study folders here; a cell that two of them have counts in the first."""
    seen: set[str] = set()
    for folder in sorted(path.parent for place in PLACES for path in place.glob("*/study.json")):
        study = read(folder)
        rows = study.plain[~study.plain["key"].isin(seen)]
        seen |= set(rows["key"])
        for (_, model, sparsity), cells in rows[rows["criterion"] != DENSE].groupby(["dataset", "model", "sparsity"]):
            found = samples(cells)
            if len(found) < FEWEST:
                continue
            cell = study.cells[cells["key"].iloc[0]]
            if cell.dataset.name.startswith("planted_"):
                continue  # no pictures: what their seeds vary by promises nothing of any
            name = cell.dataset.public or cell.dataset.label
            per_class, classes = cell.dataset.args.get("train_per_class"), CLASSES[name]
            images = per_class * classes if per_class else FULL[name][0]
            low, middle, high = rounded([unbiased_sd(values) for values in found])
            yield Precedent(
                source=folder.name,
                dataset=name,
                model=str(model),
                sparsity=float(sparsity),
                epochs=cell.recipe.epochs,
                images=images,
                blocks=min(map(len, found)),
                paired=True,
                pairs=len(found),
                low=low,
                middle=middle,
                high=high,
            )


def theirs() -> Iterator[Precedent]:
    """Of papers, at each sparsity at which three criteria trained in all of their runs."""
    literature = shipped()
    groups: dict[tuple[str, str, str, float], dict[str, Quoted]] = defaultdict(dict)
    seen = set()
    # a paper may show the same runs twice, after their last epoch and at their best: the last is what we compare
    for figure in sorted(literature.figures, key=lambda one: one.reading != "last epoch"):
        runs = (figure.source, figure.dataset, figure.model, figure.criterion, figure.sparsity)
        if runs in seen or not figure.sparsity or not _trained(figure) or literature.recipe(figure) is None:
            continue
        seen.add(runs)
        place = (f"{figure.source}, {figure.table}", figure.dataset, figure.model, figure.sparsity)
        groups[place][figure.criterion] = figure
    for (source, dataset, _, sparsity), by_criterion in groups.items():
        found = [_difference(a, b) for a, b in combinations(by_criterion.values(), 2)]
        if len(found) < FEWEST:
            continue
        figure = next(iter(by_criterion.values()))
        recipe = literature.recipe(figure)
        assert recipe is not None
        dataset = DATASETS.get(dataset, dataset)
        low, middle, high = rounded(found)
        yield Precedent(
            source=source,
            dataset=dataset,
            model=model_of(figure).ours,
            sparsity=sparsity,
            epochs=int(recipe.training["epochs"]),
            images=FULL[dataset][0],
            blocks=min(one.seeds or 0 for one in by_criterion.values()),
            paired=False,
            pairs=len(found),
            low=low,
            middle=middle,
            high=high,
        )


def rounded(sds: Sequence[float]) -> Sequence[float]:
    return [round(sd, 3) for sd in quantiles(sds)]


def _trained(figure: Quoted) -> bool:
    """Whether a spread is told, and no run can have been at chance.

    Of n runs none is below chance; with one of them there, the SD is at least the distance of the mean from chance
    times sqrt(n) / (n - 1), which is what it is where the others are equal.
    """
    if not figure.std or not figure.seeds or figure.seeds < 2 or figure.reading == "drop":
        return False
    chance = chance_bound(100 / CLASSES[DATASETS.get(figure.dataset, figure.dataset)], 10_000)
    n = figure.seeds
    return figure.std < (figure.mean - chance) * n**0.5 / (n - 1)


def _difference(a: Quoted, b: Quoted) -> float:
    """The SD of the difference of two unpaired runs, corrected for the small samples as that of paired ones is."""
    variances = [one.std**2 for one in (a, b) if one.std]
    return unbiased(*satterthwaite(variances, [one.seeds - 1 for one in (a, b) if one.seeds]))
