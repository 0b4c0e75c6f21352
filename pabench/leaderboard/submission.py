"""A results folder made ready for others to check: a folder of records, masks and sources, with all their hashes.

submission.json   what it is, every file with its SHA-256, the criteria and where their source is
study.json        as in the results folder: the suite, the expected cells, the environment
aggregates.json   means over seeds, which a verification recomputes
records/ receipts/ checks/ metrics/ masks/   as in the results folder, without what tells of the submitter's machine
criteria/         the file of each criterion that does not come with pabench
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pabench.errors import DataError, RefusedError
from pabench.leaderboard import scrub
from pabench.leaderboard.aggregates import aggregates
from pabench.leaderboard.sources import find
from pabench.leaderboard.verification.folder import AGGREGATES, STUDY, SUBMISSION
from pabench.source import bytes_digest, is_built_in, is_built_in_file
from pabench.store import files as stored
from pabench.store.envelope import seal
from pabench.store.figures import about
from pabench.store.manifest import MAX_CELLS
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.suite.digest import canonical, digest
from pabench.suite.specs import CriterionSpec

SCHEMA = 1
SHOWN = 8
"""Cells without a record that an error names."""
OTHER_SOURCE = "pabench, other source"
TEXTS = (
    *("message", "traceback", "flags", "environment", "entries", "finding", "remedy", "after"),
    *("suite", "suite_path", "overrides", "command", "notes"),
)
"""Entries of records, receipts, findings, figures (the first line) and manifests that may tell where they were made."""


@dataclass(frozen=True)
class Submitted:
    """What was made: its folder, its digest, how many cells and bytes, and what its reader should know."""

    folder: Path
    digest: str
    cells: int
    missing: int
    bytes: int
    notes: tuple[str, ...]


def submit(folder: Path, out: Path, *, incomplete: bool = False, plugins: Iterable[Path] = ()) -> Submitted:
    """Make a submission of a results folder. RefusedError: cells are missing, a source is not found, `out` is taken."""
    store = Store(folder)
    manifest, records = store.manifest(), store.records()
    cells = [Cell.from_json(data) for data in manifest["cells"]]
    done = [cell for cell in cells if cell.key in records]
    missing = [cell for cell in cells if cell.key not in records]
    if len(cells) > MAX_CELLS:
        raise RefusedError(
            f"{folder}: {len(cells):,} cells; a submission has at most {MAX_CELLS:,}: run each dataset or model as a "
            "suite of its own"
        )
    if missing and not incomplete:
        raise RefusedError(_incomplete(folder, missing, len(cells)))
    if not done:
        raise RefusedError(f"{folder}: no cell of the study has a record; run the suite first")
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise RefusedError(f"{out}: there already; choose a folder that is new or empty with -o")
    _refuse_paths(cells)
    rules = {digest(cell.criterion.identity()): cell.criterion for cell in cells if cell.criterion}.values()
    sources = find({r.sha256 for r in rules if not is_built_in_file(r.sha256)}, manifest, plugins)
    criteria = [_criterion(rule, sources) for rule in rules]
    documents = {f"records/{cell.key}": records[cell.key] for cell in done} | _beside(store, cells, done)
    files = {f"{path}.json": seal(_scrubbed(data)) for path, data in documents.items()}
    files |= {one["file"]: sources[one["sha256"]] for one in criteria if one["file"]}
    kept = _scrubbed(manifest)
    files[STUDY] = canonical({**kept, "sha256": digest(kept)}).encode() + b"\n"
    files[AGGREGATES] = document({"schema": SCHEMA, "rows": aggregates(cells, records)})
    stated = {
        "schema": SCHEMA,
        "kind": "pabench-submission",
        "study": manifest["name"],
        "title": manifest.get("title", ""),
        "pabench": manifest.get("pabench", ""),
        "cells": len(cells),
        "incomplete": [cell.key for cell in missing],
        "criteria": criteria,
    }
    # masks are read one at a time: together they may not fit into memory
    masks = ((f"masks/{sha}.safetensors", store.get_mask(sha)) for sha in _masks(store, done, records))
    whole, size = _written(out, chain(files.items(), masks), stated)
    notes = tuple(
        f"{one['label']}: comes with pabench, but its file has changed since the study was run"
        for one in criteria
        if one["origin"] == OTHER_SOURCE
    )
    return Submitted(out, whole, len(cells), len(missing), size, notes)


def _incomplete(folder: Path, missing: Sequence[Cell], every: int) -> str:
    named = [f"  {cell.title}" for cell in missing[:SHOWN]]
    more = [f"  and {len(missing) - SHOWN} more"] if len(missing) > SHOWN else []
    told = (
        f"{folder}: {len(missing)} of {every} cells have no record; run the suite to its end, or submit what "
        "there is with --incomplete, which the leaderboard will show:"
    )
    return "\n".join([told, *named, *more])


def _written(out: Path, contents: Iterable[tuple[str, bytes]], stated: Mapping[str, Any]) -> tuple[str, int]:
    """Write a submission of these contents by path, with the list of them: its digest, and how many bytes they are."""
    listed: dict[str, dict[str, Any]] = {}
    with _in_place(out) as folder:
        for path, data in contents:
            (folder / path).parent.mkdir(exist_ok=True)
            stored.write_once(folder / path, data)
            listed[path] = {"sha256": bytes_digest(data), "bytes": len(data)}
        whole = digest({path: entry["sha256"] for path, entry in listed.items()})
        stored.write_once(folder / SUBMISSION, document({**stated, "digest": whole, "files": listed}))
    return whole, sum(entry["bytes"] for entry in listed.values())


@contextmanager
def _in_place(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`, which takes its name at the end: a submission is whole or not there."""
    stored.make_folders(out.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=stored.TEMPORARY, dir=out.parent))
    except OSError as error:
        raise RefusedError(f"{out.parent}: cannot be written ({error.strerror}); choose another folder") from None
    try:
        yield temporary
        if out.is_dir():
            out.rmdir()
        temporary.chmod(0o755)  # mkdtemp's is its maker's alone, and others are to read it
        os.rename(temporary, out)
    except OSError as error:
        raise RefusedError(f"{out}: cannot be written ({error.strerror}); choose another folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _scrubbed(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is for others: identity and numbers untouched, texts without absolute paths."""
    kept = {key: scrub.everything(value) if key in TEXTS else value for key, value in told.items()}
    if "cell" in kept:
        kept["cell"] = _cell(kept["cell"])
    if "cells" in kept:
        kept["cells"] = [_cell(cell) for cell in kept["cells"]]
    return kept


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell without the absolute path of its data or weights; one that starts with a $VARIABLE stays."""
    dataset, model = cell["dataset"], cell["model"]
    found = {**cell, "dataset": {**dataset, "path": _public(dataset.get("path", ""))}}
    return (
        found
        if "checkpoint" not in model
        else {**found, "model": {**model, "checkpoint": _public(model["checkpoint"])}}
    )


def _public(path: str) -> str:
    """The path, or "" for one that tells of a machine."""
    return "" if scrub.text(str(path)) != path or path.startswith(("..", "~")) else path


def _beside(store: Store, cells: Iterable[Cell], done: Iterable[Cell]) -> dict[str, dict[str, Any]]:
    """Receipts, findings and figures of the cells by path; what is left from earlier states of the study stays
    behind."""
    prunings = {cell.pruning_key for cell in done if cell.criterion}
    checks = {cell.check_key for cell in cells if cell.criterion}
    found = {f"receipts/{key}": store.get("receipts", key) for key in prunings}
    found |= {f"checks/{key}": store.get("checks", key) for key in checks}
    measured = about(store.records("metrics"), prunings | {cell.key for cell in done})
    found |= {f"metrics/{key}": data for key, data in measured.items()}
    return {path: data for path, data in found.items() if data is not None}


def _masks(store: Store, done: Iterable[Cell], records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The masks that records name. DataError: one is not there."""
    wanted: dict[str, Cell] = {}
    for cell in done:
        if sha := (records[cell.key].get("receipt") or {}).get("mask"):
            wanted.setdefault(sha, cell)
    for sha, cell in wanted.items():
        if not store.has_mask(sha):
            raise DataError(
                f"{store.folder}: no mask file of {cell.title}; run the suite again to make it anew (where that gives "
                "another mask, the run says so and what to do)"
            )
    return list(wanted)


def _criterion(rule: CriterionSpec, sources: Container[str]) -> dict[str, Any]:
    """What a submission says of a criterion: where its source is, which is in a file of it unless built in."""
    stated = {"label": rule.label, "name": rule.name, "version": rule.version, "sha256": rule.sha256, "file": ""}
    if is_built_in_file(rule.sha256):
        return {**stated, "origin": "pabench"}
    if rule.sha256 in sources:
        # shorter than what a verification takes (`verification.folder.FOLDERS`), so that a hash has room
        name = re.sub(r"[^A-Za-z0-9._+-]", "_", rule.name.partition("@")[0])[:48] or "criterion"
        return {**stated, "origin": "submission", "file": f"criteria/{name}-{rule.sha256[:8]}.py"}
    if is_built_in(rule.name):
        return {**stated, "origin": OTHER_SOURCE}
    raise RefusedError(
        f"{rule.name}: the file that defines it (SHA-256 {rule.sha256[:12]}...) is not found; "
        "name it with --plugin FILE, unchanged since the run (one that has several files must be put into one first)"
    )


def _refuse_paths(cells: Iterable[Cell]) -> None:
    """Parameters are part of a key and cannot be cut; one that holds a path would tell where it lay."""
    for cell in cells:
        for what, part in (("dataset", cell.dataset), ("model", cell.model), ("criterion", cell.criterion)):
            for name, value in (part.args if part else {}).items():
                if isinstance(value, str) and value != scrub.text(value) and name != "title":
                    raise RefusedError(
                        f"{cell.title}: the {what}'s parameter {name} is the path {value!r}, part of the cell's key; "
                        "give a relative path or one that starts with $VARIABLE, and run the suite again"
                    )


def document(value: Any) -> bytes:
    """JSON to be read by people as well: sorted, a line an entry."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
