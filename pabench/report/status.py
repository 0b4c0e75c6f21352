"""What became of the cells of a results folder. No table is made: little of each record is looked at, none is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pabench.report.shape import as_study
from pabench.store.store import Store
from pabench.store.verdict import tally
from pabench.suite.cell import STATUSES, Cell
from pabench.words import one_line, plain


def counts(folder: Path) -> dict[str, Any]:
    """Cells by status (ok, failed, skipped, missing), flags, and the failed ones with their reasons.

    MissingError, DataError: as `folders.read`.
    """
    store = Store(folder)
    manifest = store.manifest()
    statuses, flags, banked, whys = dict[str, str](), dict[str, tuple[str, ...]](), Counter[str](), dict[str, str]()
    with as_study(folder):
        cells = {cell.key: cell for cell in Cell.all_from_json(manifest["cells"])}
        for record in store.each():
            if "bank" in record:
                banked[f"{plain(record['bank']['study'])} ({record['bank']['digest'][:12]})"] += 1
            if (key := record["key"]) in cells:
                statuses[key] = record["status"]
                flags[key] = tuple(plain(flag["flag"]) for flag in record.get("flags", ()))
                whys[key] = one_line(f"{record['kind']}: {record['message']}") if record["status"] == "failed" else ""
        failed = [(cell, whys[key]) for key, cell in cells.items() if statuses.get(key) == "failed"]
        by_status = Counter(statuses.get(key, "missing") for key in cells)
        flagged = tally(flags.values())
        return {
            "study": str(manifest["name"]),
            "cells": len(cells),
            **{status: by_status[status] for status in STATUSES},
            "banks": dict(banked),
            "flagged": flagged.cells,
            "flags": dict(flagged.by_flag),
            "failures": [{"cell": plain(cell.title), "why": why} for cell, why in failed],
        }
