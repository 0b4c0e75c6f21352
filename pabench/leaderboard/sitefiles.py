"""Files of a site that are no pages (tables, JSON, citation, front matter), and its folder: what an earlier one left,
what is replaced, and what belongs to others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pabench.errors import DataError, RefusedError
from pabench.leaderboard.boards import Published
from pabench.source import bytes_digest
from pabench.store import files as stored
from pabench.words import plain

MANIFEST = "data/v1/manifest.json"
LARGEST = 2**28
"""Bytes of a manifest that is read: what lies in the folder may be somebody else's."""
KEPT = ("README.md",)
"""Files that stay as they are where somebody else wrote them: the front page of the repository around the site."""
FORMULA = tuple("=+-@\t\r")
"""What spreadsheets take for the beginning of a formula."""


def table(frame: pd.DataFrame) -> bytes:
    """A table whose texts, headers included, no spreadsheet takes for a formula."""
    safe = frame.map(_harmless).rename(columns=lambda name: _harmless(str(name)))
    return safe.to_csv(index=False, lineterminator="\n").encode()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def citation(title: str, authors: Sequence[str], studies: Sequence[Published], licence: str) -> bytes:
    """Citation File Format 1.2.0; JSON strings are YAML strings."""
    names = authors or [f"Contributors to {title}"]
    lines = ["cff-version: 1.2.0", 'message: "Please cite the studies that you use, and this leaderboard."']
    lines += ["type: dataset", f"title: {json.dumps(title)}", "authors:"]
    lines += [f"  - name: {json.dumps(plain(name))}" for name in names]
    lines += [f"license: {json.dumps(licence)}", "identifiers:"]
    for study in studies:
        lines += ["  - type: other", f"    value: {json.dumps(f'sha256:{study.digest}')}"]
        lines += [f"    description: {json.dumps(f'The submission {study.slug}: {study.title}')}"]
    return "\n".join([*lines, ""]).encode()


def readme(title: str, links: Sequence[tuple[str, str]]) -> bytes:
    """What Hugging Face reads to serve a static Space; on GitHub it is the front page of the repository."""
    front = ["---", f"title: {json.dumps(title)}", "sdk: static", "app_file: index.html", "pinned: false", "---", ""]
    body = [f"# {plain(title)}", "", "A static site made by `pabench publish`. Open `index.html`.", ""]
    body += [f"- [{escaped(name)}]({target})" for name, target in links]
    return "\n".join([*front, *body, ""]).encode()


def escaped(text: str) -> str:
    """A line of text as Markdown that is nothing but text, in a table, too.

    >>> print(escaped("a_b | <c>"))
    a\\_b \\| \\<c\\>
    """
    return re.sub(r"([\\\[\]<>`*_|&~])", r"\\\1", text)


# --- the folder -------------------------------------------------------------------------------------------------------


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
    return Item(bytes_digest(data), len(data), lambda: data)


def update(out: Path, items: dict[str, Item], notes: list[str], published: str) -> Written:
    """Make the folder hold these items by path, and a manifest of them with the date on which they are published.

    Everything is compared before anything is written; what an earlier site wrote and this one lacks goes.
    RefusedError: somebody else wrote or edited a file that this site needs.
    """
    before = manifest(out)
    for path, one in sorted(items.items()):
        if not os.path.lexists(out / path) or _sha(out / path) in (one.sha256, before.get(path)):
            continue
        if path not in KEPT:
            whose = "edited since `pabench publish` wrote it" if path in before else "not written by `pabench publish`"
            raise RefusedError(f"{out / path}: {whose}; move it away, or choose another folder with -o")
        notes.append(f"{out / path}: written or edited by somebody else, left as it is")
        del items[path]
    listed = {path: one.sha256 for path, one in sorted(items.items())}
    told = {"schema": 1, "published": published, "files": listed}
    items[MANIFEST] = item(json.dumps(told, indent=1).encode() + b"\n")
    changed = [path for path, one in items.items() if _sha(out / path) != one.sha256]
    for path in changed:
        stored.make_folders((out / path).parent)
        stored.replace(out / path, items[path].load())
    stale = [path for path, sha in before.items() if path not in items and _sha(out / path) == sha]
    for path in stale:
        os.unlink(out / path)
        with suppress(OSError):  # raised by the first folder that is not empty: at the latest the site's own
            os.removedirs((out / path).parent)
    total = sum(one.size for one in items.values())
    return Written(out, len(items), len(changed), len(stale), total, tuple(notes))


def unchanged(out: Path, items: Mapping[str, Item]) -> bool:
    """Whether an earlier `pabench publish` wrote just these items; files that others may have replaced are left out."""
    shas = {path: one.sha256 for path, one in items.items()}
    return {**shas, **dict.fromkeys(KEPT)} == {**manifest(out), **dict.fromkeys(KEPT)}


def published(out: Path) -> str:
    """The date on the pages of an earlier site, "" where there is none."""
    date = str(_manifest(out).get("published", ""))
    return date if re.fullmatch(r"\d{4}-\d\d-\d\d", date) else ""


def manifest(out: Path) -> dict[str, str]:
    """What an earlier `pabench publish` wrote; a path out of the site is none of it."""
    listed = _manifest(out)["files"]
    return {p: s for p, s in listed.items() if not Path(p).is_absolute() and ".." not in Path(p).parts}


def _manifest(out: Path) -> dict[str, Any]:
    try:
        found = json.loads(stored.read(out / MANIFEST, limit=LARGEST))
        return {**found, "files": dict(found["files"])}
    except FileNotFoundError:
        return {"files": {}}
    except (DataError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{out / MANIFEST}: no manifest of a site; move it away, or publish into another folder"
        ) from None


def _sha(path: Path) -> str:
    try:
        return bytes_digest(path.read_bytes()) if path.is_file() and not path.is_symlink() else ""
    except OSError:
        return ""
