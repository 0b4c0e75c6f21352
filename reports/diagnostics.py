"""What masks are like before any training, and how long training takes: the metrics, and how much masks overlap."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from pabench.report.frame import criteria_of, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.words import NOTHING, count, plain

from .figure import Drawn
from .overlaps import draw, overlaps

# column of the frame: what the page calls it
TITLES = {
    "effective_density": "effective density",
    "effective_density.of_kept": "of the kept",
    "layer_collapse.dead": "layers without weights",
    "layer_collapse.disconnected": "cut-off layers",
    "gradient_norm.change": "gradient norm ratio",
    "synflow_r.log10": "log10 R",
    "ntk.trace": "NTK trace",
    "ntk.condition": "NTK condition",
    "jacobian.mean": "Jacobian s. v., mean",
    "jacobian.min": "least",
    "jacobian.max": "largest",
}
OWN = ("effective_density", "layer_collapse", "gradient_norm", "synflow_r", "ntk", "jacobian", "steps_to", "planted")
"""Metrics of which the columns above are shown, and of steps_to the epochs; `planted` has a section of its own. Of any
other, all columns."""
RATIO = "gradient_norm.change"
GEOMETRIC = (RATIO, "ntk.trace", "ntk.condition")
SHARES = ("effective_density", "effective_density.of_kept")


@dataclass(frozen=True)
class Value:
    """A mean over seeds as it is printed, and how many of the seeds it is of ("" where it is of all)."""

    text: str
    note: str


@dataclass(frozen=True)
class Line:
    """A criterion at one sparsity on one model."""

    criterion: str
    sparsity: float
    density: str
    values: tuple[Value, ...]
    seeds: int
    collapsed: bool


@dataclass(frozen=True)
class Table:
    """All lines of one dataset and model."""

    title: str
    lines: tuple[Line, ...]


class Diagnostics(Section):
    """The metrics of each criterion and sparsity, and the overlap of masks."""

    name = "diagnostics"
    title = "Diagnostics"
    order = 45

    def render(self, study: Study) -> str | None:
        frame = with_norms(study.plain)
        columns = shown(study, frame)
        tables = [
            Table(title, tuple(_lines(rows, columns)))
            for title, rows in strata(frame)
            if columns and rows[columns].notna().any(axis=None)
        ]
        figures = self.figures(study)
        problems = missing(study)
        if not (tables or figures or problems):
            return None
        heads = [TITLES.get(c) or _title(study, c) for c in columns]
        overlap: str | Markup = self.fill("figures.html.j2", intro=(), figures=figures) if figures else ""
        return self.fill(
            "diagnostics.html.j2", tables=tables, heads=heads, columns=columns, overlap=overlap, problems=problems
        )

    def figures(self, study: Study) -> list[Drawn]:
        criteria = criteria_of(study.plain)
        return [draw(pairs, criteria, title) for title, pairs in strata(overlaps(study))]


def with_norms(frame: pd.DataFrame) -> pd.DataFrame:
    """With the gradient norm ratio of the receipts, where the study did not ask for it as a metric."""
    if RATIO in frame:
        return frame
    before, after = frame["gradient_norm_before"], frame["gradient_norm_after"]
    ratio = (after / before).where(before > 0)
    return frame.assign(**{RATIO: ratio}) if ratio.notna().any() else frame


def shown(study: Study, frame: pd.DataFrame) -> list[str]:
    """The columns of the table: the built-in ones in their order, epochs to accuracies, then those of plugins."""
    known = [c for c in TITLES if c in frame.columns]
    epochs = [c for c in frame.columns if c.startswith("steps_to.epochs_")]
    epochs.sort(key=lambda c: float(c.rpartition("_")[2]))
    others = [study.columns(spec.name) for spec in study.metrics if spec.name not in OWN]
    return known + epochs + [column for columns in others for column in columns]


def missing(study: Study) -> list[str]:
    """Metrics that raised, with their reasons and how often."""
    errors = list(study.measured.errors(study.metrics))
    expected = study.cells.keys() | {cell.pruning_key for cell in study.cells.values()} if errors else set()
    found = Counter((plain(spec.title), plain(why)) for of, spec, why in errors if expected.issuperset(of))
    return [f"{title}: missing {count(n, 'time')}: {why}" for (title, why), n in sorted(found.items())]


def _lines(rows: pd.DataFrame, columns: list[str]) -> Iterable[Line]:
    for (criterion, sparsity), cells in rows.groupby(["criterion", "sparsity"], sort=False):
        if cells[columns].isna().all(axis=None):
            continue
        reached = cells["sparsity_reached"].mean()
        density = 1 - (float(reached) if math.isfinite(reached) else float(sparsity))
        measured = int(cells[columns].notna().any(axis=1).sum())
        values = tuple(_value(cells[c].to_numpy(float), c, measured) for c in columns)
        dead = "layer_collapse.disconnected" in columns and bool((cells["layer_collapse.disconnected"] > 0).any())
        yield Line(str(criterion), float(sparsity), _share(density), values, measured, dead)


def _value(numbers: np.ndarray, column: str, seeds: int) -> Value:
    """Mean over the seeds that have a number; geometric for what is a factor."""
    some = numbers[np.isfinite(numbers)]
    if not len(some):
        return Value(NOTHING, "")
    geometric = column in GEOMETRIC and (some > 0).all()
    mean = float(np.exp(np.log(some).mean()) if geometric else some.mean())
    return Value(
        _share(mean) if column in SHARES else digits(mean), f"{len(some)} of {seeds}" if len(some) < seeds else ""
    )


def digits(value: float) -> str:
    """Three significant digits; powers of ten beyond three places or below a ten-thousandth.

    >>> digits(0.12345), digits(18), digits(123456789.0), digits(-0.5)
    ('0.123', '18', '1.23e8', '−0.5')
    """
    text = f"{value:.3g}"
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def _share(value: float) -> str:
    return f"{digits(100 * value)} %"


def _title(study: Study, column: str) -> str:
    name, _, number = column.partition(".")
    titles: Mapping[str, str] = {spec.name: spec.title or spec.name for spec in study.metrics}
    if name == "steps_to":
        return f"epochs to {number.rpartition('_')[2]} %"
    return plain(f"{titles[name]} {number.replace('_', ' ')}").strip()
