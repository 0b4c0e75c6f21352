"""The scores that criteria gave to the weights of the dense network, before anything was removed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pabench.report.frame import pruned, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.words import NOTHING, percent, span

from .figure import COLORS, QUIET, SQUARES, WIDTH, Drawn, Grid, Panel, short

QUANTILES = ("0", "0.25", "0.5", "0.75", "1")
PER_DECADE = 4
FARTHEST = 1400
"""Bins from 1 that a size of float64 can be away; it has 308 powers of ten above 1 and 324 below."""


@dataclass(frozen=True)
class Scores:
    """A criterion on one model: median over `seeds` of each quantile, mean share of zeros, and the added histograms.

    `bins` are the lower ends of the bins in powers of ten, `positive` and `negative` shares of all scores in each.
    """

    criterion: str
    seeds: int
    quantiles: tuple[float, ...]
    zeros: float
    bins: np.ndarray
    positive: np.ndarray
    negative: np.ndarray


class ScoreDistributions(Section):
    """Five numbers of each criterion's scores, and histograms of their sizes where the receipts hold them."""

    name = "scores"
    title = "Scores"
    order = 42
    seen = "first"

    def render(self, study: Study) -> str | None:
        tables = _tables(study)
        if not tables:
            return None
        return self.fill("scores.html.j2", intro=(), tables=tables, figures=_figures(tables), value=value)

    def figures(self, study: Study) -> list[Drawn]:
        return _figures(_tables(study))


def _tables(study: Study) -> list[tuple[str, list[Scores]]]:
    found = [(title, list(distributions(study, rows))) for title, rows in strata(pruned(study.plain))]
    return [(title, scores) for title, scores in found if scores]


def _figures(tables: Sequence[tuple[str, list[Scores]]]) -> list[Drawn]:
    drawable = [(title, [one for one in scores if len(one.bins)]) for title, scores in tables]
    return [draw(scores, title) for title, scores in drawable if scores]


def distributions(study: Study, rows: pd.DataFrame) -> Iterator[Scores]:
    """What is known of each criterion's scores: of every seed one receipt, as all sparsities begin with the same."""
    for criterion, cells in rows.groupby("criterion", sort=False):
        receipts: list[Mapping[str, Any]] = []
        for _, keys in cells.groupby("seed", sort=False)["key"]:
            known = (study.records.get(key, {}).get("receipt") or {} for key in keys)
            whole = (r for r in known if all(_number(r.get("scores", {}).get(q)) for q in QUANTILES))
            receipts += islice(whole, 1)  # a record is parsed when it is asked for
        if receipts:
            yield _scores(str(criterion), receipts)


def _number(found: Any) -> bool:
    return isinstance(found, (int, float)) and math.isfinite(found)


def _drawable(found: Any) -> bool:
    """Whether a histogram has bins, all such as scores of float64 fall into: others would fill the memory."""
    if not isinstance(found, Mapping) or not all(
        isinstance(found.get(sign), list) for sign in ("positive", "negative")
    ):
        return False
    first, bins = found.get("first"), len(found["positive"])
    within = isinstance(first, int) and abs(first) <= FARTHEST
    return within and 0 < bins == len(found["negative"]) <= FARTHEST


def _scores(criterion: str, receipts: Sequence[Mapping[str, Any]]) -> Scores:
    quantiles = tuple(float(np.median([r["scores"][q] for r in receipts])) for q in QUANTILES)
    zeros = float(np.mean([r["zero_scores"] / r["total"] for r in receipts]))
    histograms: list[Any] = [r["score_histogram"] for r in receipts if _drawable(r.get("score_histogram"))]
    if not histograms:
        return Scores(criterion, len(receipts), quantiles, zeros, *(np.zeros(0) for _ in range(3)))
    low = min(h["first"] for h in histograms)
    high = max(h["first"] + len(h["positive"]) for h in histograms)
    counts = np.zeros((2, high - low))
    for h in histograms:
        at = slice(h["first"] - low, h["first"] - low + len(h["positive"]))
        counts[:, at] += np.array([h["positive"], h["negative"]], float)
    counts /= counts.sum() + sum(h["zero"] for h in histograms)
    return Scores(criterion, len(receipts), quantiles, zeros, np.arange(low, high) / PER_DECADE, *counts)


def draw(found: Sequence[Scores], title: str) -> Drawn:
    """A panel for each criterion: how many scores have which size, positive ones upwards, negative ones downwards."""
    panels = [
        Panel(
            partial(_paint, scores),
            WIDTH,
            1.9,
            f"scores-{scores.criterion}-{title}",
            f"Histogram of the scores of {scores.criterion}, {title}",
            _bins(scores),
        )
        for scores in found
    ]
    n = span(scores.seeds for scores in found)
    notes = [f"Four bins to a power of ten, all seeds together (n = {n}). Scores of 0 are in no bin."]
    if any(scores.negative.any() for scores in found):
        notes.append("Negative scores are drawn downwards.")
    return Drawn(title, tuple(panels), tuple(notes), of=title)


def _bins(scores: Scores) -> Grid:
    """Each bin with the shares of scores in it, for tooltips."""
    edges = [*scores.bins, scores.bins[-1] + 1 / PER_DECADE]
    sizes = [f"{_power(low)} to {_power(high)}" for low, high in pairwise(edges)]
    shares = [
        f"{_share(up)} of the weights" + (f" positive, {_share(down)} negative" if scores.negative.any() else "")
        for up, down in zip(scores.positive, scores.negative, strict=True)
    ]
    return Grid([scores.criterion], [f"scores of size {size}" for size in sizes], [shares])


def _power(exponent: float) -> str:
    """Of ten, even where a float cannot hold it.

    >>> _power(-3.75), _power(2.0)
    ('1.8e−4', '1e2')
    """
    whole = math.floor(exponent)
    return f"{10 ** (exponent - whole):.2g}e{whole}".replace("-", "−")


def _share(of: float) -> str:
    """
    >>> _share(0.0312), _share(0.0)
    ('3.12 %', '0 %')
    """
    return f"{100 * of:.3g} %"


def _paint(scores: Scores, figure: Figure) -> None:
    axes = figure.subplots()
    edges = np.append(scores.bins, scores.bins[-1] + 1 / PER_DECADE)
    axes.stairs(100 * scores.positive, edges, fill=True, color=COLORS[0])
    if scores.negative.any():
        axes.stairs(-100 * scores.negative, edges, fill=True, color=COLORS[1])
    zeros = f" · {percent(round(scores.zeros, 4))} are 0" if scores.zeros >= 1e-4 else ""
    axes.axvspan(edges[0], edges[-1], facecolor=QUIET, alpha=0, gid=SQUARES)
    axes.set_title(short(scores.criterion, 24) + zeros, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"1e{x:.0f}".replace("-", "−")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(y):g} %"))
    axes.grid(axis="y")
    axes.set_xlabel("size of the score")
    axes.set_ylabel("share of weights")


def value(number: float) -> str:
    """Three significant digits.

    >>> value(-0.00012345), value(0.0)
    ('−1.23e-04', '0')
    """
    if not math.isfinite(number):
        return NOTHING
    text = f"{number:.3g}" if number == 0 or 1e-3 <= abs(number) < 1e5 else f"{number:.2e}"
    return text.replace("-", "−", 1) if number < 0 else text
