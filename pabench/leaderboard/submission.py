"""A results folder made ready for others to check: a folder of records, masks and sources, with all their hashes.

submission.json   what it is, every file with its SHA-256, the criteria and where their source is
study.json        as in the results folder: the suite, the expected cells, the environment
aggregates.json   means over seeds, which a verification recomputes
records/ receipts/ checks/ metrics/ masks/   as in the results folder, without what tells of the submitter's machine
criteria/         the file of each criterion that does not come with pabench
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pabench.errors import DataError, RefusedError
from pabench.leaderboard import scrub
from pabench.leaderboard.aggregates import aggregates
from pabench.leaderboard.sources import find
from pabench.leaderboard.verification.folder import AGGREGATES, STUDY, SUBMISSION
from pabench.source import is_built_in, is_built_in_file
from pabench.store import files as stored
from pabench.store.envelope import seal
from pabench.store.store import Kind, Store
from pabench.suite.cell import Cell
from pabench.suite.digest import canonical, digest

SCHEMA = 1
KIND = "pabench-submission"
SHOWN = 8
"""Cells without a record that an error names."""


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
    missing = [cell for cell in cells if cell.key not in records]
    if missing and not incomplete:
        raise RefusedError(_incomplete(folder, missing, len(cells)))
    if len(missing) == len(cells):
        raise RefusedError(f"{folder}: no cell of the study has a record; run the suite first")
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise RefusedError(f"{out}: there already; choose a folder that is new or empty with -o")
    _refuse_paths(cells)
    criteria = _criteria(cells, manifest, plugins)
    kept = {cell.key: _record(records[cell.key]) for cell in cells if cell.key in records}
    files = {f"records/{key}.json": seal(record) for key, record in kept.items()}
    files |= _beside(store, cells, kept)
    files |= criteria.files
    files[STUDY] = _manifest(manifest)
    files[AGGREGATES] = _json({"schema": SCHEMA, "rows": aggregates(cells, kept)})
    masks = _masks(store, kept.values())
    stated = {
        "schema": SCHEMA,
        "kind": KIND,
        "study": manifest["name"],
        "title": manifest.get("title", ""),
        "pabench": manifest.get("pabench", ""),
        "cells": len(cells),
        "incomplete": [cell.key for cell in missing],
        "criteria": criteria.stated,
    }
    # masks are read one at a time: together they may not fit into memory
    contents = chain(files.items(), ((f"masks/{sha}.safetensors", store.get_mask(sha)) for sha in masks))
    whole, size = _written(out, contents, stated)
    return Submitted(out, whole, len(cells), len(missing), size, tuple(criteria.notes))


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
            listed[path] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        whole = digest({path: entry["sha256"] for path, entry in listed.items()})
        stored.write_once(folder / SUBMISSION, _json({**stated, "digest": whole, "files": listed}))
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


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record or receipt for others: identity and numbers untouched, texts without absolute paths."""
    private = ("message", "traceback", "flags", "environment", "entries", "finding", "remedy", "after")
    kept = {key: scrub.everything(value) if key in private else value for key, value in record.items()}
    if "cell" in kept:
        kept["cell"] = _cell(kept["cell"])
    return kept


def _cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell without the absolute path of its data; one that starts with a $VARIABLE stays."""
    path = str(cell["dataset"].get("path", ""))
    private = scrub.text(path) != path or path.startswith(("..", "~"))
    return {**cell, "dataset": {**cell["dataset"], "path": "" if private else path}}


def _manifest(manifest: Mapping[str, Any]) -> bytes:
    private = ("suite", "suite_path", "overrides", "command", "environment")
    kept = {key: scrub.everything(value) if key in private else value for key, value in manifest.items()}
    kept["cells"] = [_cell(data) for data in manifest["cells"]]
    return canonical({**kept, "sha256": digest(kept)}).encode() + b"\n"


def _beside(store: Store, cells: list[Cell], finished: Container[str]) -> dict[str, bytes]:
    """Receipts, findings and figures of the cells; what is left from earlier states of the study stays behind."""
    pruned = [cell for cell in cells if cell.criterion]
    prunings = {cell.pruning_key for cell in pruned if cell.key in finished}
    checks = {cell.check_key for cell in pruned}
    wanted: list[tuple[Kind, str]] = [*(("receipts", key) for key in prunings), *(("checks", key) for key in checks)]
    files = {}
    for kind, key in sorted(wanted):
        if (data := store.get(kind, key)) is not None:
            files[f"{kind}/{key}.json"] = seal(_record(data))
    known = prunings | {cell.key for cell in cells if cell.key in finished}
    for key, data in store.records("metrics").items():
        if known.issuperset(of for entry in data["entries"] for of in entry["of"]):
            files[f"metrics/{key}.json"] = seal(_record(data))
    return files


def _masks(store: Store, records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The masks that records name. DataError: one is not there."""
    wanted: dict[str, None] = {}
    for record in records:
        sha = (record.get("receipt") or {}).get("mask")
        if sha and sha not in wanted and not store.has_mask(sha):
            raise DataError(
                f"{store.folder}: no mask file of {Cell.from_json(record['cell']).title}; run the suite again to make "
                "it anew (where that gives another mask, the run says so and what to do)"
            )
        if sha:
            wanted[sha] = None
    return list(wanted)


@dataclass
class _Criteria:
    """Source `files` by their path in the submission, what it has `stated` of each criterion, and notes."""

    files: dict[str, bytes] = field(default_factory=dict)
    stated: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _criteria(cells: list[Cell], manifest: Mapping[str, Any], plugins: Iterable[Path]) -> _Criteria:
    rules = {digest(cell.criterion.identity()): cell.criterion for cell in cells if cell.criterion}
    found = find({r.sha256 for r in rules.values() if not is_built_in_file(r.sha256)}, manifest, plugins)
    made = _Criteria()
    for rule in rules.values():
        origin, file = "pabench", ""
        if rule.sha256 in found:
            origin, file = "submission", f"criteria/{_file_name(rule.name)}-{rule.sha256[:8]}.py"
            made.files[file] = found[rule.sha256]
        elif not is_built_in_file(rule.sha256) and is_built_in(rule.name):
            origin = "pabench, other source"
            made.notes.append(f"{rule.label}: comes with pabench, but its file has changed since the study was run")
        elif not is_built_in_file(rule.sha256):
            raise RefusedError(
                f"{rule.name}: the file that defines it (SHA-256 {rule.sha256[:12]}...) is not found; "
                "name it with --plugin FILE, unchanged since the run"
            )
        entry = {"label": rule.label, "name": rule.name, "version": rule.version, "sha256": rule.sha256}
        made.stated.append({**entry, "origin": origin, "file": file})
    return made


def _refuse_paths(cells: Iterable[Cell]) -> None:
    """Parameters are part of a key and cannot be cut; one that holds a path would tell where it lay."""
    for cell in cells:
        criterion = cell.criterion.args if cell.criterion else {}
        for what, args in (("dataset", cell.dataset.args), ("model", cell.model.args), ("criterion", criterion)):
            private = [k for k, v in args.items() if isinstance(v, str) and v != scrub.text(v) and k != "title"]
            if private:
                raise RefusedError(
                    f"{cell.title}: the {what}'s parameter {private[0]} is the path {args[private[0]]!r}, part of the "
                    "cell's key; give a relative path or one that starts with $VARIABLE, and run the suite again"
                )


def _file_name(name: str) -> str:
    # shorter than what a verification takes (`verification.folder.FOLDERS`), so that a hash has room
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name.partition("@")[0])[:48] or "criterion"


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
