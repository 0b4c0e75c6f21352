"""What published studies say of the spread of one that did not run yet: a table, and which of its rows are like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path

import numpy as np
import pandas as pd

from pabench.statistics.spread import Spread
from pabench.words import span

FILE = Path(__file__).with_name("precedents.csv")
ALIKE = 4
"""Times as many images shown in training (epochs times images) at most: those with 15,000 differ by 2.6 points, those
with 8,000,000 by 0.3, whatever the network; nothing is published between."""
NOTHING_LIKE = "nothing like it is published, so this is a range and no promise:"
NEXT = 2
"""Sparsities of a study that are looked at for one: the spread changes with it, and those of others lie between."""


@dataclass(frozen=True)
class Precedent:
    """A published study at one sparsity: the SD of the difference of two criteria between blocks, in points.

    `low`, `middle` and `high` are quantiles over `pairs` of criteria (10, 50, 90 %), each SD corrected for its few
    blocks. It trained for `epochs` on as many `images`, in `blocks` blocks (seeds). Not `paired`: the runs of two
    criteria share nothing, as far as is known. Made by `docs/make.py precedents`.
    """

    source: str
    dataset: str
    model: str
    sparsity: float
    epochs: int
    images: int
    blocks: int
    paired: bool
    pairs: int
    low: float
    middle: float
    high: float

    @property
    def shown(self) -> int:
        """Images shown to the network in training."""
        return self.epochs * self.images


@dataclass(frozen=True)
class Setting:
    """What is planned on one dataset and model. `images` is None where nobody knows how many are trained on."""

    dataset: str
    model: str
    sparsities: tuple[float, ...]
    epochs: int
    images: int | None

    def __str__(self) -> str:
        on = f"{self.images:,} images" if self.images else "an unknown number of images"
        return f"{self.dataset} / {self.model}, {self.epochs} epochs of {on}"


@cache
def published() -> tuple[Precedent, ...]:
    """The table of this package."""
    return tuple(Precedent(**row) for row in pd.read_csv(FILE).to_dict("records"))


def training_images(dataset: str) -> int | None:
    """The training images of the whole dataset, as far as it is published."""
    return max((row.images for row in published() if row.dataset == dataset), default=None)


def expected(setting: Setting, table: Sequence[Precedent] | None = None) -> Spread:
    """The spread that studies like it had, from the least to the most, with a line that says which they are.

    Like it are those on the same dataset that showed the network up to `ALIKE` times as many images or as few; of
    these those of the same network, where there are any. Where there is none, all that were trained alike or, without
    such, all there are give ends, and no middle. Sparsities: `NEXT` of each study for each of the suite's, the nearest
    by the logarithm of the density. A block's mean over several sparsities is taken to vary as these do on average, as
    if they rose and fell together: if not, it varies less.
    """
    table = published() if table is None else table
    trained = [row for row in table if _alike(row, setting)]
    like = [row for row in trained if row.dataset == setting.dataset]
    chosen = [row for row in like if row.model == setting.model] or like or trained or list(table)
    near = [_nearest(chosen, sparsity) for sparsity in setting.sparsities] or [chosen]
    low, middle, high = np.mean([_ends(rows) for rows in near], axis=0)
    used = list(dict.fromkeys(row for rows in near for row in rows))
    line = f"{setting}: {'from' if like else NOTHING_LIKE} {_told(used)}"
    pairs, blocks = sum(row.pairs for row in used), min(row.blocks for row in used)
    return Spread(float(low), float(middle) if like else None, float(high), pairs, blocks, (line,))


def together(spreads: Sequence[Spread]) -> Spread:
    """That of a suite of several datasets and models: the mean of their variances, as in a mean over all of them."""
    middles = [one.sd for one in spreads if one.sd is not None]
    return Spread(
        low=_root_mean_square([one.low for one in spreads]),
        sd=_root_mean_square(middles) if len(middles) == len(spreads) else None,
        high=_root_mean_square([one.high for one in spreads]),
        pairs=sum(one.pairs for one in spreads),
        blocks=min(one.blocks for one in spreads),
        sources=tuple(line for one in spreads for line in one.sources),
    )


def _root_mean_square(sds: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(sds))))


def _alike(row: Precedent, setting: Setting) -> bool:
    shown = setting.epochs * (setting.images or 0)
    return shown / ALIKE <= row.shown <= shown * ALIKE


def _nearest(rows: Sequence[Precedent], sparsity: float) -> list[Precedent]:
    """Of each study the rows of the sparsities nearest to this one."""
    studies: dict[tuple[str, str, str], list[Precedent]] = {}
    for row in rows:
        studies.setdefault((row.source, row.dataset, row.model), []).append(row)
    found = []
    for of in studies.values():
        found += sorted(of, key=lambda row: abs(log((1 - row.sparsity) / (1 - sparsity))))[:NEXT]
    return found


def _ends(rows: Sequence[Precedent]) -> tuple[float, float, float]:
    """The least low end, the middle one of the middles, the most of the high ends."""
    middle = float(np.median([row.middle for row in rows]))
    return min(row.low for row in rows), middle, max(row.high for row in rows)


def _told(rows: Sequence[Precedent]) -> str:
    """Which studies rows are of, in words."""
    networks: dict[str, list[str]] = {}
    for row in rows:
        networks.setdefault(row.dataset, []).append(row.model)
    on = ", ".join(f"{dataset} / {' '.join(dict.fromkeys(models))}" for dataset, models in networks.items())
    pairs, seeds = sum(row.pairs for row in rows), span(row.blocks for row in rows)
    low, high = min(row.sparsity for row in rows), max(row.sparsity for row in rows)
    at = f"sparsity {low:.4g}" if low == high else f"sparsities {low:.4g} to {high:.4g}"
    trained = f"{span(row.epochs for row in rows)} epochs of {span(row.images for row in rows)} images"
    sources = "; ".join(dict.fromkeys(f"{row.source}{'' if row.paired else ', unpaired'}" for row in rows))
    return f"{pairs} published pairs on {on}, {trained}, {at}, {seeds} seeds ({sources})"
