"""What each difference is a claim about: new seeds on these test images, these networks on new images, or the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pabench.report.frame import pruned, strata
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.report.told import NOTHING, Told
from pabench.statistics.board import REFERENCE
from pabench.statistics.images import Claims, Table, adjusted, claims
from pabench.statistics.paired import Pair, pairs, stratified
from pabench.store.imagebits import unpacked
from pabench.words import count, percent

from .comparison import pvalue

Right = tuple[str, np.ndarray[Any, Any]]
"""The hash of a test set, and which of its images are right."""


@dataclass(frozen=True)
class Row:
    """`a` minus `b` at one sparsity, or averaged over all of them (`scope`); p values after Holm's correction."""

    a: str
    b: str
    scope: str
    pair: Pair
    claims: Claims

    @property
    def holds(self) -> str:
        """What may be said, and what is open beside it; "" where nothing is."""
        side = "better" if self.pair.mean > 0 else "worse"
        seeds, images, task = (claim.holds for claim in self.claims)
        if task:
            return f"{side} on this task"
        if seeds and images:
            return f"{side} with new seeds and {side} on new images, one at a time; not shown for both at once"
        if seeds:
            return f"{side} on these test images with new seeds; not shown on new images"
        if images:
            return f"these networks are {side}, on new images too; not shown with new seeds"
        return ""


@dataclass(frozen=True)
class Shown:
    """The differences of one dataset and model, of so many test `images`; of `without` pairs nothing is known."""

    title: str
    images: int
    rows: tuple[Row, ...]
    without: int

    @property
    def verdict(self) -> str:
        """How many of the differences hold as which claim."""
        seeds, images, task = (
            sum(claim.holds for claim in of) for of in zip(*(r.claims for r in self.rows), strict=True)
        )
        told = f"Of {count(len(self.rows), 'difference')}, {seeds} hold for new seeds on these test images"
        return f"{told}, {images} for these networks on new images, {task} for both new: on this task."


class Images(Section):
    """The test set is a sample, too."""

    name = "images"
    title = "New seeds, new images"
    order = 27
    boards = True

    def render(self, study: Study) -> str | None:
        found = [shown(study, title, rows) for title, rows in strata(study.plain)]
        if not any(one.rows for one in found):
            return None
        return self.fill("images.html.j2", boards=found, pvalue=pvalue)


def shown(study: Study, title: str, frame: pd.DataFrame) -> Shown:
    """Each ranked criterion against random, or against one another in a study without it; `frame` is of one model."""
    rights = {key: found for key in frame["key"] if (found := _right(study.told.get(key, NOTHING)))}
    if not rights:
        return Shown(title, 0, (), 0)
    names = [standing.criterion for standing in study.boards[title].ranked]
    names.sort(key=lambda name: name == REFERENCE)  # the last of each of its pairs
    rows, without = list[Row](), 0
    for scope, cells in _scopes(stratified(pruned(frame))):
        keys = cells[cells["top1"].notna()].pivot(index="block", columns=["criterion", "sparsity"], values="key")
        for (a, b), pair in pairs(cells, [name for name in names if name in keys]).items():
            if pair.n and (b == REFERENCE or REFERENCE not in names):
                made = table(keys[a], keys[b], rights)
                rows += [Row(a, b, scope, pair, claims(pair, made))] if made else []
                without += made is None
    held = adjusted([row.claims for row in rows])
    images = max((one.images.interval.n for one in held), default=0)
    return Shown(title, images, tuple(replace(row, claims=one) for row, one in zip(rows, held, strict=True)), without)


def _scopes(cells: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The cells of all sparsities, which are averaged, where there are several; and those of each."""
    sparsities = sorted(cells["sparsity"].unique())
    if len(sparsities) > 1:
        yield "mean of all", cells
    for sparsity in sparsities:
        yield percent(sparsity), cells[cells["sparsity"] == sparsity]


def _right(told: Told) -> Right | None:
    """Which images a cell was tested on and which of them are right; None of an older record or one without result."""
    if not told.right or not told.tested or not told.tested.sha256:
        return None
    return told.tested.sha256, unpacked(told.right, told.tested.images)


def table(a: pd.DataFrame, b: pd.DataFrame, rights: Mapping[str, Right]) -> Table | None:
    """The blocks (rows) that both finished at every sparsity (columns), from the keys of their cells.

    None where one of them does not say which images were right, or was tested on other images than the rest.
    """
    whole = a.notna().all(axis=1) & b.notna().all(axis=1)
    first, second = (keys[whole].to_numpy() for keys in (a, b))
    used = {*first.ravel(), *second.ravel()}
    if not used <= rights.keys() or len({rights[key][0] for key in used}) > 1:
        return None
    return Table.of(*(np.stack([[rights[key][1] for key in row] for row in keys]) for keys in (first, second)))
