"""Published figures beside ours, with what differs in protocol: never a verdict on who is right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.intervals import Interval, interval_text, two_samples
from pabench.statistics.outcomes import accuracy_interval
from pabench.suite.specs import PLAIN
from pabench.words import percent

from .correspondence import (
    agreements,
    corresponds,
    criterion_of,
    differences,
    model_of,
    same_dataset,
    same_network,
    shared,
)
from .publication import Literature, Quoted, shipped

READINGS = {
    "last epoch": "last epoch, as ours",
    "unstated": "epoch not stated",
    "best epoch": "best epoch on test data",
}
"""How figures were read, the most comparable first."""


@dataclass(frozen=True)
class Beside:
    """A figure and the cells that correspond to it: `ours` over finished seeds of `planned`, and what differs.

    `difference` is ours minus theirs in points of top-1; its limits are those of two samples where both have a spread.
    """

    figure: Quoted
    criterion: str
    sparsity: float
    ours: Interval | None
    planned: int
    difference: Interval | None
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """The figures of one source and table that were read in one way, beside one network of the study."""

    title: str
    source: str
    arxiv: str
    table: str
    reading: str
    rows: tuple[Beside, ...]
    differs: tuple[str, ...]
    equal: tuple[str, ...]
    known_from: str
    how_obtained: tuple[str, ...]

    @property
    def address(self) -> str:
        """Where the paper is, "" where what stands for its arXiv number is none."""
        return f"https://arxiv.org/abs/{self.arxiv}" if re.fullmatch(r"\d{4}\.\d{4,5}", self.arxiv) else ""

    @property
    def own(self) -> list[tuple[str, ...]]:
        """What each row differs in beyond what all do."""
        return [tuple(text for text in row.differs if text not in self.differs) for row in self.rows]


@dataclass(frozen=True)
class Near:
    """What papers report on one of the study's datasets where no number is for a cell of the study."""

    dataset: str
    model: str
    known_as: str
    criteria: str
    sparsities: str
    sources: str
    in_study: bool


class Published(Section):
    """Figures of papers for the same dataset, network, criterion and sparsity, beside the study's own."""

    name = "published"
    title = "Published figures"
    order = 65
    seen = "all"

    def render(self, study: Study) -> str | None:
        if study.trainings != (PLAIN.name,):  # papers train a mask as it is
            study = study.under(PLAIN.name)
        literature = shipped()
        sources = beside(study, literature)
        near = [] if sources else nearest(study, literature)
        if not sources and not near and not literature.problems:
            return None
        return self.fill(
            "literature.html.j2",
            sources=sources,
            near=near,
            readings=READINGS,
            problems=literature.problems,
            interval_text=interval_text,
        )


def beside(study: Study, literature: Literature) -> list[Source]:
    """Every figure that corresponds to cells of the study, by network, source and how it was read."""
    cells = dict(zip(study.cells, study.manifest["cells"], strict=True))
    found: dict[tuple[str, ...], list[tuple[Quoted, pd.DataFrame, Mapping[str, Any]]]] = {}
    near: dict[tuple[str, str], list[Quoted]] = {}  # most figures are of other networks
    places = ["dataset", "model", "criterion", "sparsity"]
    for (dataset, model, _, _), rows in study.plain.groupby(places, sort=False):
        cell = cells[rows["key"].iloc[0]]
        if (dataset, model) not in near:
            near[dataset, model] = [figure for figure in literature.figures if same_network(figure, cell)]
        for figure in near[dataset, model]:
            if corresponds(figure, cell):
                place = (f"{dataset} · {model}", figure.source, figure.table, figure.reading)
                found.setdefault(place, []).append((figure, rows, cell))
    sources = [_source(place, matched, literature) for place, matched in found.items()]
    return sorted(sources, key=lambda source: (source.title, source.source, list(READINGS).index(source.reading)))


def _source(
    place: tuple[str, ...], matched: list[tuple[Quoted, pd.DataFrame, Mapping[str, Any]]], literature: Literature
) -> Source:
    title, source, table, reading = place
    rows = tuple(_beside(figure, cells, cell, literature) for figure, cells, cell in matched)
    figure = matched[0][0]
    recipe = literature.recipe(figure)
    return Source(
        title=title,
        source=source,
        arxiv=figure.arxiv,
        table=table,
        reading=reading,
        rows=rows,
        differs=tuple(shared([row.differs for row in rows])),
        equal=tuple(shared([agreements(literature.recipe(f), c) for f, _, c in matched])),
        known_from=recipe.known_from if recipe else "",
        how_obtained=tuple(dict.fromkeys(f.how_obtained for f, _, _ in matched)),
    )


def _beside(figure: Quoted, rows: pd.DataFrame, cell: Mapping[str, Any], literature: Literature) -> Beside:
    top1 = rows["top1"].dropna()
    ours = accuracy_interval(list(top1)) if len(top1) else None
    return Beside(
        figure=figure,
        criterion=str(rows["criterion"].iloc[0]),
        sparsity=float(rows["sparsity"].iloc[0]),
        ours=ours,
        planned=len(rows),
        difference=None if ours is None else against(list(top1), figure),
        differs=tuple(differences(figure, literature.recipe(figure), cell, len(top1))),
    )


def against(ours: list[float], figure: Quoted) -> Interval:
    """Ours minus theirs, with the interval of two samples where both have a spread over two trainings or more.

    >>> f = Quoted(2, "", "", "", "", "", "", 0.9, "", 90.0, 1.0, 4, "", "")
    >>> found = against([91.0, 92.0, 93.0, 92.0], f)   # difference 2, variances 2/3 and 1 over 4 each: error 0.6455
    >>> round(found.mean, 6), round(found.half, 3), found.n  # 5.77 degrees of freedom: t = 2.471
    (2.0, 1.595, 8)
    """
    mean = sum(ours) / len(ours) - figure.mean
    n = len(ours) + (figure.seeds or 0)
    if len(ours) < 2 or not figure.std or not figure.seeds or figure.seeds < 2:
        return Interval(mean, n=n)
    return two_samples(mean, (float(pd.Series(ours).var(ddof=1)), figure.std**2), (len(ours), figure.seeds))[0]


def nearest(study: Study, literature: Literature) -> list[Near]:
    """What papers report on the study's datasets and criteria: by network, the criteria and sparsities."""
    cells = study.manifest["cells"]
    datasets = {cell["dataset"]["name"]: cell["dataset"] for cell in cells}
    models = {cell["model"]["name"] for cell in cells}
    criteria = {cell["criterion"]["name"].partition("@")[0] for cell in cells if cell["criterion"]}
    groups: dict[tuple[str, str], list[Quoted]] = {}
    for figure in literature.figures:
        if criterion_of(figure).ours in criteria and any(same_dataset(figure, spec) for spec in datasets.values()):
            groups.setdefault((figure.dataset, figure.model), []).append(figure)
    found = [_near(dataset, model, figures, models) for (dataset, model), figures in groups.items()]
    return sorted(found, key=lambda near: not near.in_study)


def _near(dataset: str, model: str, figures: list[Quoted], models: set[str]) -> Near:
    ours = model_of(figures[0]).ours
    return Near(
        dataset=dataset,
        model=model,
        known_as=ours,
        criteria=", ".join(dict.fromkeys(criterion_of(f).ours for f in figures)),
        sparsities=", ".join(_written(s) for s in sorted({f.sparsity for f in figures if f.sparsity})),
        sources="; ".join(dict.fromkeys(f"{f.source}, {f.table}" for f in figures)),
        in_study=ours in models,
    )


def _written(sparsity: float) -> str:
    """With three digits of the share that is kept: 99.9438 % and not 100 %."""
    return percent(1 - float(f"{1 - sparsity:.3g}"))
