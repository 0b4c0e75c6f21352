"""The command `pabench conformance`: examine one criterion or all, print what came of it, and say it by exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pabench import registry
from pabench.conformance import NETWORKS, Examination, examine, names, overlaps
from pabench.testimony import aligned, matrix, rows, summary, to_json

REFERENCE = Path("tests/reference")
STYLES = {"pass": "green", "FAIL": "bold red", "does not apply": "dim", "for information": "cyan"}


def one(name: str, plugins: Sequence[Path], reference: Path | None, *, as_json: bool) -> int:
    """The table of one criterion; 3 where a check failed. SuiteError: no criterion of this name."""
    _load(plugins)
    found = examine(name, reference=_reference(reference))
    if as_json:
        print(json.dumps(to_json(found), indent=2))
    elif sys.stdout.isatty():
        table = Table("check", "verdict", "figure", "reason", title=summary(found).partition("\n")[0])
        for row in rows(found):
            table.add_row(*row, style=STYLES[row[1]])
        Console().print(table)
    else:
        print(f"{summary(found)}\n\n{aligned([('check', 'verdict', 'figure', 'reason'), *rows(found)])}")
    return 3 if found.failed else 0


def every(plugins: Sequence[Path], reference: Path | None, *, as_json: bool) -> int:
    """All criteria and variants, one summary each as soon as it is there, then the overlaps of their masks."""
    _load(plugins)
    criteria = names()
    found: list[Examination] = []
    for name in criteria:
        found.append(examine(name, reference=_reference(reference)))
        if not as_json:
            print(summary(found[-1]), flush=True)
    shared = {specimen.name: overlaps(criteria, specimen) for specimen in NETWORKS}
    broken = [f"{b.origin}: {b.reason}" for b in registry.group("criteria").broken]
    if as_json:
        pairs = {
            network: [{"a": a, "b": b, **(asdict(o) if o else {})} for (a, b), o in there.items()]
            for network, there in shared.items()
        }
        print(json.dumps({"criteria": [to_json(e) for e in found], "overlaps": pairs, "broken": broken}, indent=2))
    else:
        for network, there in shared.items():
            print(f"\noverlap of masks at 90 % sparsity, network {network}")
            print(f"(above the diagonal: by chance at the same layer densities)\n{aligned(matrix(criteria, there))}")
    for line in broken:
        print(f"broken: {line}", file=sys.stderr)
    return 3 if broken or any(e.failed for e in found) else 0


def _load(plugins: Sequence[Path]) -> None:
    for path in plugins:
        registry.drop_in(path)


def _reference(given: Path | None) -> Path | None:
    return given or (REFERENCE if (REFERENCE / "index.json").is_file() else None)
