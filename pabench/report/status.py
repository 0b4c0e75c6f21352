"""What became of the cells of a results folder. No table is made: little of each record is looked at, none is kept."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container
from pathlib import Path
from typing import Any

from pabench.report.shape import as_study
from pabench.store.store import Store
from pabench.store.verdict import tally
from pabench.suite.cell import STATUSES, Cell
from pabench.words import one_line, plain


def counts(folder: Path) -> dict[str, Any]:
    """Cells by status (ok, failed, skipped, missing), `broken` records, flags, and failed cells with their reasons.

    MissingError, DataError: as `folders.read`.
    """
    store = Store(folder)
    manifest = store.manifest()
    statuses, flags, banked, whys = dict[str, str](), dict[str, tuple[str, ...]](), Counter[str](), dict[str, str]()
    read = set[str]()
    with as_study(folder):
        cells = {cell.key: cell for cell in Cell.all_from_json(manifest["cells"])}
        for record in store.each():
            read.add(record["key"])
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
            "broken": broken(folder, read),
            "banks": dict(banked),
            "flagged": flagged.cells,
            "flags": dict(flagged.by_flag),
            "failures": [{"cell": plain(cell.title), "why": why} for cell, why in failed],
        }


def broken(folder: Path, read: Container[str]) -> int:
    """Records that are there and cannot be used: in quarantine, or still in their place where nothing can be moved.

    `read` are the keys of those that can.
    """
    moved = [name for name in _listed(folder / "quarantine") if name.startswith("records-")]
    left = [name for name in _listed(folder / "records") if name.endswith(".json")]
    return len(moved) + sum(name.removesuffix(".json") not in read for name in left)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
