"""The folder of a site: what an earlier one left, what is replaced, and what belongs to others."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pabench import durable
from pabench.errors import DataError, RefusedError

MANIFEST = "data/v1/manifest.json"
KEPT = ("README.md",)
"""Files that stay as they are where somebody else wrote them: the front page of the repository around the site."""


@dataclass(frozen=True)
class Written:
    """What became of the site's files, and what its maker should know."""

    folder: Path
    files: int
    changed: int
    removed: int
    bytes: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    sha256: str
    size: int
    load: Callable[[], bytes]


def item(data: bytes) -> Item:
    return Item(hashlib.sha256(data).hexdigest(), len(data), lambda: data)


def update(out: Path, items: dict[str, Item], notes: list[str]) -> Written:
    """Make the folder hold these items by path.

    Everything is compared before anything is written; what an earlier site wrote and this one lacks goes.
    RefusedError: somebody else wrote or edited a file that this site needs.
    """
    before = _before(out)
    others = {path for path in items if _differs(out / path, items[path]) and _sha(out / path) != before.get(path)}
    for path in sorted(others.intersection(KEPT)):
        notes.append(f"{out / path}: written or edited by somebody else, left as it is")
        del items[path]
    for path in sorted(others.difference(KEPT)):
        who = "edited since" if path in before else "not written by"
        raise RefusedError(
            f"{out / path}: {who} `pabench publish`{' wrote it' * (path in before)}; move it away, or choose another "
            "folder with -o"
        )
    listed = {path: one.sha256 for path, one in sorted(items.items())}
    items[MANIFEST] = item(json.dumps({"schema": 1, "files": listed}, indent=1).encode() + b"\n")
    changed = [path for path, one in items.items() if _sha(out / path) != one.sha256]
    for path in changed:
        durable.make_folders((out / path).parent)
        durable.replace(out / path, items[path].load())
    stale = [path for path, sha in before.items() if path not in items and _sha(out / path) == sha]
    for path in stale:
        os.unlink(out / path)
        _prune(out, (out / path).parent)
    total = sum(one.size for one in items.values())
    return Written(out, len(items), len(changed), len(stale), total, tuple(notes))


def _before(out: Path) -> dict[str, str]:
    """What an earlier `pabench publish` wrote; a path out of the site is none of it."""
    try:
        listed = json.loads(durable.read(out / MANIFEST, limit=2**28))["files"]
        return {p: s for p, s in listed.items() if not Path(p).is_absolute() and ".." not in Path(p).parts}
    except FileNotFoundError:
        return {}
    except (DataError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{out / MANIFEST}: no manifest of a site; move it away, or publish into another folder"
        ) from None


def _differs(path: Path, wanted: Item) -> bool:
    return os.path.lexists(path) and _sha(path) != wanted.sha256


def _sha(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
    except OSError:
        return ""


def _prune(out: Path, folder: Path) -> None:
    """Folders that are left empty, up to the site's own."""
    while folder != out and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
