"""What a results folder holds, in words and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from pabench.errors import SuiteError
from pabench.report.folders import read
from pabench.report.frame import title
from pabench.report.study import Shared
from pabench.store.verdict import tally
from pabench.suite.cell import STATUSES
from pabench.words import count, one_line, plain


def counts(folder: Path) -> dict[str, Any]:
    """Cells by status (ok, failed, skipped, missing), flags, and the failed ones with their reasons."""
    study = read(folder)
    by_status = Counter(study.frame["status"])
    failed = study.frame[study.frame["status"] == "failed"].itertuples()
    banked = Counter(
        f"{plain(record['bank']['study'])} ({record['bank']['digest'][:12]})"
        for record in study.records.values()
        if "bank" in record
    )
    flagged = tally(study.frame["flags"])
    return {
        "study": study.manifest["name"],
        "cells": len(study.frame),
        **{status: by_status[status] for status in STATUSES},
        "banks": dict(banked),
        "flagged": flagged.cells,
        "flags": dict(flagged.by_flag),
        "failures": [{"cell": title(row), "why": one_line(f"{row.kind}: {row.message}")} for row in failed],
    }


def pairings(folder: Path) -> dict[str, Any]:
    """Blocks whose finished cells share weights, order, augmentation and scoring batch, and those that do not.

    An ablation that changes one of these is compared with its like in that one, and must differ from the plain cells:
    it stands `apart`.
    """
    study = read(folder)
    apart = {f"{one.ablation} in {one.part}" for one in study.shared if one.ablation}
    return {
        "blocks": study.pairing["block"].nunique(),
        "cells": study.pairing["key"].nunique(),
        "unpaired": [line for one in study.shared for line in _unproven(one)],
        "apart": sorted(apart),
    }


def _unproven(one: Shared) -> Iterator[str]:
    where = f"block {one.block[:12]}{f' ({one.ablation})' if one.ablation else ''}: {one.part}"
    if len(one.hashes) > 1:
        yield f"{where} has {len(one.hashes)} different hashes"
    if one.nameless:
        yield f"{where} has {count(one.nameless, 'finished cell')} without a hash"
    if one.unchanged:
        yield f"{where} is that of the plain cells, which the ablation should have changed"


def load(folder: str | Path) -> pd.DataFrame:
    """The table of a results folder, one row per expected cell, whatever became of it: what `pabench export` writes.

    Columns are described in docs/results.md; `flags` are one text, numbers that a cell has not are NaN. MissingError:
    there is no study in the folder.
    """
    frame = read(Path(folder)).frame.copy()
    frame["flags"] = frame["flags"].map(lambda flags: "; ".join(map(str, flags)))
    return frame


def export(folder: Path, output: Path) -> int:
    """Write one row per expected cell; returns how many."""
    frame = load(folder)
    if output.suffix == ".csv":
        frame.to_csv(output, index=False)
    elif output.suffix == ".json":
        frame.to_json(output, orient="records", indent=2)
    elif output.suffix == ".parquet":
        frame.to_parquet(output, index=False)
    else:
        raise SuiteError(f"{output}: expected a name that ends in .csv, .json or .parquet")
    return len(frame)
