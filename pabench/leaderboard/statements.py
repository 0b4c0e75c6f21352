"""What a claim may state of a study's numbers, a closed set of sentences, and what the numbers say of each.

What several blocks (dataset, model, seed) say is judged by the intervals of `pabench.statistics`, as on a report's
page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from pabench.statistics.intervals import LEVEL, Interval, stratified_interval
from pabench.statistics.outcomes import FINISHED, MISSING
from pabench.statistics.paired import Pair, paired, stratified
from pabench.statistics.power import could_see
from pabench.suite.entries import STRICT
from pabench.suite.suite import Ablation, Some, Sparsity
from pabench.suite.yaml import shown
from pabench.words import count, percent

CONFIRMED, CONTRADICTED, NOT_SEPARABLE, NOT_RUN = "confirmed", "contradicted", "not separable", "not run"
ACCURACY = "accuracy"
"""The quantity that is of a training; all others are of masks, or metrics' own."""


@dataclass(frozen=True)
class Finding:
    """What one test came to, and the numbers that say so, in one line."""

    verdict: str
    said: str


def _named(value: Any) -> Any:
    if isinstance(value, str):
        return {"criterion": value}
    if not isinstance(value, dict | BaseModel):
        raise ValueError(f"expected the label of a criterion, or a mapping with one, not {shown(value)}")
    return value


class Who(BaseModel):
    """Cells of a criterion, by its label in the suite: the plain ones, or those of an ablation."""

    model_config = STRICT

    criterion: str = Field(examples=["random"])
    ablation: Literal[""] | Ablation = ""

    def __str__(self) -> str:
        return f"{self.criterion}, {self.ablation}" if self.ablation else self.criterion


Cells = Annotated[Who, BeforeValidator(_named)]


class Statement(BaseModel):
    """What all statements have: a quantity, and at which sparsities of the suite (all, where none is named)."""

    model_config = STRICT

    of: str = Field(examples=["accuracy"])
    sparsities: Annotated[tuple[Sparsity, ...], Some] | None = None

    sides: ClassVar[tuple[str, ...]] = ()
    """The keys that say whose cells it is about."""

    @property
    def cells(self) -> list[Who]:
        return [one for side in self.sides if (one := getattr(self, side)) is not None]

    @property
    def names(self) -> list[str]:
        """What its values are of (`gathered`)."""
        return [str(one) for one in self.cells]

    def said(self, found: str) -> str:
        """What was found, after what it was found of."""
        where = ", ".join(percent(s) for s in self.sparsities) if self.sparsities else "all sparsities"
        return f"{self.of} at {where}: {found}"


class Order(Statement):
    """In the mean over blocks `higher` has more than `lower`, by more than `margin`; with a negative one, no less by so
    much."""

    higher: Cells = Field(examples=["random"])
    lower: Cells = Field(examples=["random"])
    margin: float = 0.0

    sides = ("higher", "lower")

    def judged(self, rows: pd.DataFrame) -> Finding:
        """By the interval of the paired difference; where cells collapsed, and there is none, by its test."""
        found = _Difference.of(self, rows)
        low, high = found.interval.low, found.interval.high
        if low is not None and high is not None:
            verdict = _verdict(low > self.margin, high < self.margin)
        else:
            sure = self.margin == 0 and (p := found.pair.test.p) is not None and p < LEVEL
            verdict = _verdict(sure and found.interval.mean > 0, sure and found.interval.mean < 0)
        return found.finding(verdict, f"more than {_number(self.margin)}", self.margin)


class Near(Statement):
    """In the mean over blocks `a` and `b` differ by less than `margin`."""

    a: Cells = Field(examples=["random"])
    b: Cells = Field(examples=["random"])
    margin: Annotated[float, Field(gt=0)] = Field(examples=[1.0])

    sides = ("a", "b")

    def judged(self, rows: pd.DataFrame) -> Finding:
        """Confirmed where the whole interval of the paired difference is within the margin, contradicted where it is
        wholly outside."""
        found = _Difference.of(self, rows)
        low, high, m = found.interval.low, found.interval.high, self.margin
        verdict = NOT_SEPARABLE
        if low is not None and high is not None:
            verdict = _verdict(-m < low and high < m, low > m or high < -m)
        return found.finding(verdict, f"within ± {_number(m)}", m, "± ")


class Bound(Statement):
    """In every block and at every sparsity `who` has at least, or at most, so much; of a metric of two masks, `who`
    and `beside` have it together."""

    who: Cells = Field(examples=["random"])
    beside: Cells | None = None
    at_least: float | None = None
    at_most: float | None = None

    sides = ("who", "beside")

    @model_validator(mode="after")
    def _bounded(self) -> Bound:
        if self.at_least is None and self.at_most is None:
            raise ValueError("neither at_least nor at_most; name one")
        return self

    @property
    def names(self) -> list[str]:
        return [" and ".join(map(str, self.cells))]

    def judged(self, rows: pd.DataFrame) -> Finding:
        """Contradicted by any one value."""
        least, most = float(rows["value"].min()), float(rows["value"].max())
        limits = [("at least", self.at_least), ("at most", self.at_most)]
        asked = " and ".join(f"{words} {_number(limit, 12)}" for words, limit in limits if limit is not None)
        held = (self.at_least is None or least >= self.at_least) and (self.at_most is None or most <= self.at_most)
        spread = " to ".join(dict.fromkeys([_number(least), _number(most)]))
        found = f"{self.names[0]} {spread} in {count(len(rows), 'value')}; asked: {asked}"
        return Finding(CONFIRMED if held else CONTRADICTED, self.said(found))


def finding(statement: Order | Near | Bound, rows: pd.DataFrame) -> Finding:
    """What a statement comes to with these values (`gathered`)."""
    lost = rows["outcome"][~rows["outcome"].isin(FINISHED)].value_counts()
    if MISSING in lost or set(statement.names) - set(rows["of"]):
        there = int((rows["outcome"] != MISSING).sum())
        return Finding(NOT_RUN, statement.said(f"{there} of {count(len(rows), 'value')} are there"))
    if len(lost):
        told = ", ".join(f"{n} {name}" for name, n in lost.items())
        return Finding(NOT_SEPARABLE, statement.said(f"of {count(len(rows), 'value')} {told}"))
    return statement.judged(rows)


@dataclass(frozen=True)
class _Difference:
    """Of two sides in the blocks that both have, averaged over the sparsities of a block."""

    statement: Order | Near
    pair: Pair
    interval: Interval

    @classmethod
    def of(cls, statement: Order | Near, rows: pd.DataFrame) -> _Difference:
        a, b = statement.names
        pair = paired(stratified(rows.rename(columns={"of": "criterion", "value": "top1"})), [(a, b)])[a, b]
        # an accuracy has limits, and none where cells collapsed; what is measured of masks has neither
        interval = pair.interval if statement.of == ACCURACY else stratified_interval(pair.sample)
        return cls(statement, pair, interval)

    def finding(self, verdict: str, asked: str, margin: float, sign: str = "") -> Finding:
        """With the true difference that would have been told from the `margin`, where this one was not."""
        a, b = self.statement.names
        low, high, n = self.interval.low, self.interval.high, count(self.pair.common, "block")
        limits = f" [{_number(low)}, {_number(high)}]" if low is not None and high is not None else self._no_interval
        seen = could_see(self.pair.sample, LEVEL) if verdict == NOT_SEPARABLE and not self.pair.collapsed else None
        told = f"; {sign}{_number(margin + seen)} or more could have been seen" if seen else ""
        said = f"{a} − {b} = {_number(self.interval.mean)}{limits} in {n}{told}; asked: {asked}"
        return Finding(verdict, self.statement.said(said))

    @property
    def _no_interval(self) -> str:
        if self.pair.collapsed:
            return f" (cells collapsed: no interval, {_p(self.pair.test.p)})"
        return " (no spread, no interval)"


def _verdict(confirmed: bool, contradicted: bool) -> str:
    return CONFIRMED if confirmed else CONTRADICTED if contradicted else NOT_SEPARABLE


def _p(value: float | None) -> str:
    """
    >>> _p(0.0078125), _p(3e-21), _p(None)
    ('p = 0.007812', 'p < 0.001', 'no p')
    """
    return "no p" if value is None else "p < 0.001" if value < 0.001 else f"p = {_number(value)}"


def _number(value: float, digits: int = 4) -> str:
    """So many digits that count, a true minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")
