"""What `pabench criteria test` prints of one criterion or of all: for a terminal and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich.table

from pabench import registry
from pabench.cli.display import Screen
from pabench.cli.terminal import say
from pabench.diagnostics.conformance import NETWORKS, Examination, MaskOverlap, examine, names, overlaps
from pabench.words import NOTHING, plain

REFERENCE = Path("tests/reference")
STYLES = {"pass": "green", "FAIL": "bold red", "does not apply": "dim", "for information": "cyan"}
Table = list[tuple[str, ...]]


def one(name: str, reference: Path | None, *, as_json: bool) -> int:
    """The table of one criterion; 3 where a check failed. SuiteError: no criterion of this name."""
    found = examine(name, reference=_reference(reference))
    if as_json:
        say(json.dumps(to_json(found), indent=2))
    elif (screen := Screen()).is_terminal:
        table = rich.table.Table("check", "verdict", "figure", "reason", title=summary(found).partition("\n")[0])
        for row in rows(found):
            table.add_row(*row, style=STYLES[row[1]])
        screen.print(table)
    else:
        say(f"{summary(found)}\n\n{aligned([('check', 'verdict', 'figure', 'reason'), *rows(found)])}")
    return 3 if found.failed else 0


def every(reference: Path | None, *, as_json: bool) -> int:
    """All criteria and variants, one summary each as soon as it is there, then the overlaps of their masks."""
    criteria = names()
    found: list[Examination] = []
    for name in criteria:
        found.append(examine(name, reference=_reference(reference)))
        if not as_json:
            say(summary(found[-1]))
    shared = {specimen.name: overlaps(criteria, specimen) for specimen in NETWORKS}
    broken = [f"{b.origin}: {b.reason}" for b in registry.group("criteria").broken]
    if as_json:
        pairs = {network: _pairs(there) for network, there in shared.items()}
        say(json.dumps({"criteria": [to_json(e) for e in found], "overlaps": pairs, "broken": broken}, indent=2))
    else:
        for network, there in shared.items():
            say(f"\noverlap of masks at 90 % sparsity, network {network}")
            say(f"(above the diagonal: by chance at the same layer densities)\n{aligned(matrix(criteria, there))}")
    for line in broken:
        say(f"broken: {line}", error=True)
    return 3 if broken or any(e.failed for e in found) else 0


def _pairs(found: Mapping[tuple[str, str], MaskOverlap | None]) -> list[dict[str, Any]]:
    return [{"a": a, "b": b, **(asdict(overlap) if overlap else {})} for (a, b), overlap in found.items()]


def _reference(given: Path | None) -> Path | None:
    return given or (REFERENCE if (REFERENCE / "index.json").is_file() else None)


def rows(examination: Examination) -> Table:
    """Check, verdict, figure and reason of every outcome."""
    return [(name, o.verdict, o.figure, plain(o.reason)) for name, o in examination.outcomes.items()]


def summary(examination: Examination) -> str:
    """One line of counts, and one for each check that failed.

    >>> from pabench.diagnostics.laws.law import judged
    >>> print(summary(Examination("mine", {"ties": judged(True, "", ""), "zeros": judged(False, "2 of 3", "9 kept")})))
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


def matrix(names: Sequence[str], found: Mapping[tuple[str, str], MaskOverlap | None]) -> Table:
    """Below the diagonal the overlap found, above it what chance gives at the same layer densities.

    >>> for row in matrix(["a", "b"], {("a", "b"): MaskOverlap(found=0.31, chance=0.05)}):
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


def _cell(found: Mapping[tuple[str, str], MaskOverlap | None], a: str, b: str, which: str) -> str:
    if a == b:
        return ""
    overlap = found[a, b]
    return f"{getattr(overlap, which):.2f}".removeprefix("0") if overlap else NOTHING
