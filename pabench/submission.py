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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pabench import durable, scrub
from pabench.aggregates import aggregates
from pabench.cell import Cell, canonical, digest
from pabench.envelope import seal
from pabench.errors import DataError, RefusedError
from pabench.foreign import AGGREGATES, STUDY, SUBMISSION
from pabench.source import is_built_in, is_built_in_source
from pabench.sources import find
from pabench.store import Store

SCHEMA = 1
KIND = "pabench-submission"
SHOWN = 8


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
    manifest = store.manifest()
    cells = [Cell.from_json(data) for data in manifest["cells"]]
    records = store.records()
    expected = [cell for cell in cells if cell.key in records]
    missing = [cell for cell in cells if cell.key not in records]
    if missing and not incomplete:
        named = [f"  {cell.title}" for cell in missing[:SHOWN]]
        more = [f"  and {len(missing) - SHOWN} more"] if len(missing) > SHOWN else []
        told = (
            f"{folder}: {len(missing)} of {len(cells)} cells have no record; run the suite to its end, or submit what "
            "there is with --incomplete, which the leaderboard will show:"
        )
        raise RefusedError("\n".join([told, *named, *more]))
    if not expected:
        raise RefusedError(f"{folder}: no cell of the study has a record; run the suite first")
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise RefusedError(f"{out}: there already; choose a folder that is new or empty with -o")
    _refuse_paths(cells)
    sources, criteria, notes = _criteria(cells, manifest, plugins)
    kept = {cell.key: _record(records[cell.key]) for cell in expected}
    files = {f"records/{key}.json": seal(record) for key, record in kept.items()}
    files |= _beside(store, cells, {cell.key: cell for cell in expected})
    files |= {f"criteria/{name}": data for name, data in sources.items()}
    files[STUDY] = _manifest(manifest, cells)
    files[AGGREGATES] = _json({"schema": SCHEMA, "rows": aggregates(cells, kept)})
    masks, lost = _masks(store, kept.values())
    if lost:
        raise DataError(
            f"{folder}: no mask file of {lost}; run the suite again to make it anew (where that gives another mask, "
            "the run says so and what to do)"
        )
    return _written(out, folder, files, masks, manifest, cells, missing, criteria, notes)


def _written(
    out: Path,
    folder: Path,
    files: dict[str, bytes],
    masks: Mapping[str, str],
    manifest: Mapping[str, Any],
    cells: list[Cell],
    missing: list[Cell],
    criteria: list[dict[str, Any]],
    notes: list[str],
) -> Submitted:
    """Everything in a temporary folder beside `out`, which takes its name at the end."""
    durable.make_folders(out.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=durable.TEMPORARY, dir=out.parent))
    except OSError as error:
        raise RefusedError(f"{out.parent}: cannot be written ({error.strerror}); choose another folder") from None
    try:
        total = 0
        listed = {path: {"sha256": _sha(data), "bytes": len(data)} for path, data in files.items()}
        for path, data in files.items():
            (temporary / path).parent.mkdir(exist_ok=True)
            durable.write_once(temporary / path, data)
            total += len(data)
        store = Store(folder)
        for sha in masks:
            data = store.get_mask(sha)
            (temporary / "masks").mkdir(exist_ok=True)
            durable.write_once(temporary / "masks" / f"{sha}.safetensors", data)
            listed[f"masks/{sha}.safetensors"] = {"sha256": sha, "bytes": len(data)}
            total += len(data)
        whole = digest({path: entry["sha256"] for path, entry in listed.items()})
        stated = {
            "schema": SCHEMA,
            "kind": KIND,
            "study": manifest["name"],
            "title": manifest.get("title", ""),
            "pabench": manifest.get("pabench", ""),
            "digest": whole,
            "cells": len(cells),
            "incomplete": [cell.key for cell in missing],
            "criteria": criteria,
            "files": dict(sorted(listed.items())),
        }
        durable.write_once(temporary / SUBMISSION, _json(stated))
        if out.is_dir():
            out.rmdir()
        temporary.chmod(0o755)
        os.rename(temporary, out)
    except OSError as error:
        raise RefusedError(f"{out}: cannot be written ({error.strerror}); choose another folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Submitted(out, whole, len(cells), len(missing), total, tuple(notes))


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


def _manifest(manifest: Mapping[str, Any], cells: list[Cell]) -> bytes:
    private = ("suite", "suite_path", "overrides", "command", "environment")
    kept = {key: scrub.everything(value) if key in private else value for key, value in manifest.items()}
    kept["cells"] = [_cell(data) for data in manifest["cells"]]
    return canonical({**kept, "sha256": digest(kept)}).encode() + b"\n"


def _beside(store: Store, cells: list[Cell], finished: Mapping[str, Cell]) -> dict[str, bytes]:
    """Receipts, findings and figures of the cells; what is left from earlier states of the study stays behind."""
    prunings = {cell.pruning_key for cell in finished.values() if cell.criterion}
    checks = {cell.check_key for cell in cells if cell.criterion}
    files: dict[str, bytes] = {}
    for kind, keys in (("receipts", prunings), ("checks", checks)):
        found = ((key, store.get(kind, key)) for key in sorted(keys))  # type: ignore[arg-type]
        files |= {f"{kind}/{key}.json": seal(_record(data)) for key, data in found if data is not None}
    known = prunings | set(finished)
    for key, data in store.records("metrics").items():
        if known.issuperset(of for entry in data["entries"] for of in entry["of"]):
            files[f"metrics/{key}.json"] = seal(_record(data))
    return files


def _masks(store: Store, records: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str], str]:
    """The masks that records name, and the cell of one that is not there."""
    wanted: dict[str, str] = {}
    for record in records:
        sha = (record.get("receipt") or {}).get("mask")
        if sha:
            wanted.setdefault(sha, Cell.from_json(record["cell"]).title)
    lost = next((title for sha, title in wanted.items() if not store.has_mask(sha)), "")
    return wanted, lost


def _criteria(
    cells: list[Cell], manifest: Mapping[str, Any], plugins: Iterable[Path]
) -> tuple[dict[str, bytes], list[dict[str, Any]], list[str]]:
    """Source files by their name in the submission, what the submission says of each criterion, and notes."""
    rules = {digest(cell.criterion.identity()): cell.criterion for cell in cells if cell.criterion}
    foreign = {r.source: r for r in rules.values() if not is_built_in_source(r.source)}
    found = find(foreign, manifest, plugins)
    files: dict[str, bytes] = {}
    stated, notes = [], []
    for rule in rules.values():
        entry = {"label": rule.label, "name": rule.name, "version": rule.version, "source": rule.source}
        if is_built_in_source(rule.source):
            stated.append({**entry, "origin": "pabench", "file": ""})
        elif rule.source in found:
            name = f"{_file_name(rule.name)}-{rule.source[:8]}.py"
            files[name] = found[rule.source]
            stated.append({**entry, "origin": "submission", "file": f"criteria/{name}"})
        elif is_built_in(rule.name):
            stated.append({**entry, "origin": "pabench, other source", "file": ""})
            notes.append(f"{rule.label}: comes with pabench, but its file has changed since the study was run")
        else:
            raise RefusedError(
                f"{rule.name}: the file that defines it (SHA-256 {rule.source[:12]}...) is not found; "
                "name it with --plugin FILE, unchanged since the run"
            )
    return files, stated, notes


def _refuse_paths(cells: Iterable[Cell]) -> None:
    """Parameters are part of a key and cannot be cut; one that holds a path would tell where it lay."""
    for cell in cells:
        for what, args in (("dataset", cell.dataset.args), ("model", cell.model.args), ("criterion", _args(cell))):
            for key, value in args.items():
                if isinstance(value, str) and value != scrub.text(value) and key != "title":
                    raise RefusedError(
                        f"{cell.title}: the {what}'s parameter {key} is the path {value!r}, part of the cell's key; "
                        "give a relative path or one that starts with $VARIABLE, and run the suite again"
                    )


def _args(cell: Cell) -> Mapping[str, Any]:
    return cell.criterion.args if cell.criterion else {}


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name.partition("@")[0])[:48] or "criterion"


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
