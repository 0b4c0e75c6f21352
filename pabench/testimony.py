"""Examinations and overlaps in words: for a terminal and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pabench.conformance import Examination, Overlap
from pabench.wording import NOTHING, plain

Table = list[tuple[str, ...]]


def rows(examination: Examination) -> Table:
    """Check, verdict, figure and reason of every outcome."""
    return [(name, o.verdict, o.figure, plain(o.reason)) for name, o in examination.outcomes.items()]


def summary(examination: Examination) -> str:
    """One line of counts, and one for each check that failed.

    >>> from pabench.law import Outcome
    >>> print(summary(Examination("mine", {"ties": Outcome("pass"), "zeros": Outcome("FAIL", "2 of 3", "9 kept")})))
    mine: 1 passed, 1 failed, 0 do not apply, 0 for information
      FAIL zeros: 2 of 3; 9 kept
    """
    counts = Counter(o.verdict for o in examination.outcomes.values())
    line = (
        f"{examination.criterion}: {counts['pass']} passed, {counts['FAIL']} failed, "
        f"{counts['does not apply']} do not apply, {counts['for information']} for information"
    )
    outcomes = [(name, examination.outcomes[name]) for name in examination.failed]
    return "\n".join([line, *(f"  FAIL {n}: {o.figure}; {plain(o.reason)}" for n, o in outcomes)])


def aligned(table: Table) -> str:
    """Lines with columns of equal width.

    >>> print(aligned([("a", "bb"), ("ccc", "d")]))
    a    bb
    ccc  d
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return "\n".join(line.rstrip() for line in lines)


def to_json(examination: Examination) -> dict[str, Any]:
    checks = [{"check": n, "verdict": v, "figure": f, "reason": r} for n, v, f, r in rows(examination)]
    return {"criterion": examination.criterion, "passed": not examination.failed, "checks": checks}


def matrix(names: Sequence[str], found: Mapping[tuple[str, str], Overlap | None]) -> Table:
    """Below the diagonal the overlap found, above it what chance gives at the same layer densities.

    >>> for row in matrix(["a", "b"], {("a", "b"): Overlap(found=0.31, chance=0.05)}):
    ...     print(row)
    ('', '1', '2')
    ('1 a', '', '.05')
    ('2 b', '.31', '')
    """
    table: Table = [("", *(str(i) for i in range(1, len(names) + 1)))]
    for i, a in enumerate(names):
        cells = [_cell(found, b, a, "found") if j < i else _cell(found, a, b, "chance") for j, b in enumerate(names)]
        table.append((f"{i + 1} {a}", *cells))
    return table


def _cell(found: Mapping[tuple[str, str], Overlap | None], a: str, b: str, which: str) -> str:
    if a == b:
        return ""
    overlap = found[a, b]
    return f"{getattr(overlap, which):.2f}".removeprefix("0") if overlap else NOTHING
