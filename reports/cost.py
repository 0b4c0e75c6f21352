"""What scoring costs: time, peak memory and gradient passes of each criterion, and what accuracy it buys."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from pabench.report.frame import strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.board import LOOKED_AT
from pabench.suite.cell import DENSE

from .figure import Drawn, looks_of
from .pareto import pareto

COLUMNS = frozenset({
    *("key", "device", "training_seconds", "scoring_peak_bytes", "scoring_images"),
    *("gradient_seconds", "gradient_images"),
})  # fmt: skip
"""Of the frame, besides what criteria are compared by."""


@dataclass(frozen=True)
class Cost:
    """A criterion on one model: n scored cells, mean and range of the time, largest peak memory.

    `passes`: scoring in forward and backward passes of one batch; `epochs`: in epochs of the study's own training;
    NaN where nothing tells. `note` says why a reference line is none of the criteria.
    """

    model: str
    criterion: str
    note: str
    n: int
    time: float
    fastest: float
    slowest: float
    peak: float
    passes: float
    epochs: float


class ScoringCost(Section):
    """Mean time and largest peak memory of scoring, for each criterion and model, and accuracy against time."""

    name = "cost"
    title = "Scoring cost"
    order = 50

    def render(self, study: Study) -> str | None:
        scored = _scored(study)
        if scored.empty:
            return None
        epochs = {key: cell.recipe.epochs for key, cell in study.cells.items()}
        scored = scored.assign(passes=passes(scored), epoch=scored["training_seconds"] / scored["key"].map(epochs))
        lines = [
            _cost(f"{dataset} · {model}", str(criterion), rows)
            for (dataset, model, criterion), rows in scored.groupby(["dataset", "model", "criterion"], sort=False)
        ]
        devices = sorted(x for x in scored["device"].unique() if x)
        known = any(math.isfinite(line.passes) for line in lines)
        models = [(title, [line for line in lines if line.model == title]) for title, _ in strata(scored)]
        return self.fill(
            "cost.html.j2", intro=(), models=models, figures=self.figures(study), devices=devices, known=known
        )

    def figures(self, study: Study) -> list[Drawn]:
        styles = looks_of(study.plain)
        fronts = [pareto(rows, styles, title) for title, rows in strata(_scored(study))]
        return [front for front in fronts if front]


def _scored(study: Study) -> pd.DataFrame:
    """The cells of which it is known how long their scoring took, with what is looked at here."""
    slim = study.plain[[column for column in study.plain if column in LOOKED_AT | COLUMNS]]
    return slim[(slim["criterion"] != DENSE) & slim["scoring_seconds"].notna()]


def passes(rows: pd.DataFrame) -> pd.Series:
    """Scoring time over the time of one forward and one backward pass of as many images; NaN where it was not timed.

    The pass is timed beside each scoring, on the same network, in float32 (older records: in the precision of the
    scoring). A criterion that looks at no images is compared to the pass as it was timed.
    """
    images = rows["scoring_images"].where(rows["scoring_images"] > 0, rows["gradient_images"])
    return rows["scoring_seconds"] / (rows["gradient_seconds"] * images / rows["gradient_images"])


def _cost(model: str, criterion: str, rows: pd.DataFrame) -> Cost:
    times = rows["scoring_seconds"]
    return Cost(
        model=model,
        criterion=criterion,
        note=str(rows["reference_line"].iloc[0]),
        n=len(rows),
        time=times.mean(),
        fastest=times.min(),
        slowest=times.max(),
        peak=rows["scoring_peak_bytes"].max(),
        passes=rows["passes"].median(),
        epochs=(times / rows["epoch"]).median(),
    )
