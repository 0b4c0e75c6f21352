"""Results folders and submissions to a static site: checked again, rendered, and written over an earlier one."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pabench import durable, frame
from pabench.comparable import Badge, Published
from pabench.errors import DataError, RefusedError, SuiteError
from pabench.foreign import SUBMISSION, content
from pabench.judgement import recorded
from pabench.submission import submit
from pabench.verification import Verification, verify
from pabench.wording import count, plain

MANIFEST = "data/v1/manifest.json"
STUDIES = "data/v1/studies"
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
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


def publish(
    folders: Sequence[str],
    out: Path,
    *,
    verified: Iterable[Path] = (),
    title: str = "Pruning at initialization: leaderboards",
    authors: Sequence[str] = (),
    plugins: Sequence[Path] = (),
    incomplete: bool = False,
    masks: bool = True,
) -> Written:
    """Write the site of these folders, each `DIR` or `NAME=DIR`. RefusedError: one does not pass levels 1 and 2, two
    have one name, or a file that this site needs was written by somebody else."""
    from pabench import site

    records = [recorded(path) for path in _record_files(verified)]
    notes: list[str] = []
    with ExitStack() as stack:
        published: list[Published] = []
        items: dict[str, Item] = {}
        for given in folders:
            name, folder = _named(given)
            first = _digest(folder)
            if not (folder / SUBMISSION).is_file():
                scratch = Path(stack.enter_context(TemporaryDirectory(prefix="pabench-publish-")))
                made = submit(folder, scratch / "submission", incomplete=incomplete, plugins=plugins)
                notes += [f"{folder}: {note}" for note in made.notes]
                folder = made.folder
            found = verify(folder, 2)
            if found.exit_code:
                lines = [f"  {flaw}" for flaw in found.levels[-1].flaws[:5]]
                raise RefusedError("\n".join([f"{given}: not published: `pabench verify` rejects it:", *lines]))
            study = _published(found, name, {first, found.digest}, records)
            if any(other.slug == study.slug for other in published):
                raise RefusedError(f"two studies are called {study.slug!r}; give one another name: NAME=DIR")
            published.append(study)
            items |= dict(_submission(found, study.slug, masks=masks))
        known = {study.digest for study in published} | {d for study in published for d in _also(study)}
        notes += [
            f"the verification of {plain(one['study'])}, digest {str(one['digest'])[:16]}, is of none of these studies "
            "as they are now: not used"
            for one in records
            if one["digest"] not in known
        ]
        pages = site.pages(published, plain(title), [plain(author) for author in authors])
        items |= {path: _item(data) for path, data in pages.items()}
        return _written(out, items, notes)


def _also(study: Published) -> list[str]:
    return [str((study.verified or {}).get("digest", ""))]


def _digest(folder: Path) -> str:
    from pabench.foreign import read

    return read(folder).digest


def _named(given: str) -> tuple[str, Path]:
    name, mark, path = given.partition("=")
    if not mark or Path(given).exists():
        return "", Path(given)
    if not SLUG.fullmatch(name):
        raise SuiteError(f"{given}: {name!r} is no name; expected letters, digits, . _ -")
    return name, Path(path)


def _published(found: Verification, name: str, digests: set[str], records: Sequence[Mapping[str, Any]]) -> Published:
    foreign = found.found.foreign
    manifest = foreign.study or {}
    study = frame.study(manifest, found.found.records, foreign.all("metrics").values())
    best = max(
        (one for one in records if one["digest"] in digests), key=lambda one: int(one.get("passed", 0)), default=None
    )
    slug = name or re.sub(r"[^A-Za-z0-9._-]", "-", str(manifest["name"]))[:64].strip(".-") or "study"
    title = plain(manifest.get("title") or manifest["name"])
    return Published(slug, title, foreign.digest, study, found.found.cells, _badges(best), best)


def _badges(record: Mapping[str, Any] | None) -> dict[str, Badge]:
    """By row what a verification proves: that of a level that passed, for the rows of which it looked at a cell."""
    found: dict[str, Badge] = {}
    levels = {level["level"]: level for level in (record or {}).get("levels", []) if level["passed"]}
    if 3 in levels and {1, 2} <= set(levels):
        for row, outcomes in _by_row(levels[3]).items():
            told = ", ".join(sorted({str(o["outcome"]) for o in outcomes}))
            found[row] = Badge(1, f"masks of {count(len(outcomes), 'cell')} re-derived ({plain(told)})")
        if 4 in levels:
            for row, outcomes in _by_row(levels[4]).items():
                if row in found:
                    n = sum(len(o["fresh"]) for o in outcomes)
                    worst = max(float(o["detectable"]) for o in outcomes)
                    told = f"{n} trainings with fresh seeds agree; a difference of {worst:.1f} points would show (80 %)"
                    found[row] = Badge(2, f"{found[row].detail}; {told}")
    return found


def _by_row(level: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in level["outcomes"]:
        rows.setdefault(str(outcome["row"]), []).append(outcome)
    return rows


def _record_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob("*.json")) if path.is_dir() else [path]


def _submission(found: Verification, slug: str, *, masks: bool) -> Iterator[tuple[str, Item]]:
    """The submission itself: what others point --bank at."""
    foreign = found.found.foreign
    for path, sha in foreign.files.items():
        if masks or not path.startswith("masks/"):
            load = partial(content, foreign.folder, path, sha)
            yield f"{STUDIES}/{slug}/{path}", Item(sha, foreign.sizes[path], load)


def _item(data: bytes) -> Item:
    return Item(hashlib.sha256(data).hexdigest(), len(data), lambda: data)


def _written(out: Path, items: dict[str, Item], notes: list[str]) -> Written:
    """Everything is compared before anything is written; what an earlier site wrote and this one lacks goes."""
    before = _before(out)
    foreign = [path for path in items if path not in before and _differs(out / path, items[path])]
    for path in [path for path in foreign if path in KEPT]:
        notes.append(f"{out / path}: written by somebody else, left as it is")
        del items[path]
        foreign.remove(path)
    if foreign:
        raise RefusedError(
            f"{out / foreign[0]}: not written by `pabench publish`; move it away or choose another folder with -o"
        )
    listed = {path: item.sha256 for path, item in sorted(items.items())}
    items[MANIFEST] = _item(json.dumps({"schema": 1, "files": listed}, indent=1).encode() + b"\n")
    changed = [path for path, item in items.items() if _sha(out / path) != item.sha256]
    for path in changed:
        durable.make_folders((out / path).parent)
        durable.replace(out / path, items[path].load())
    stale = [path for path, sha in before.items() if path not in items and _sha(out / path) == sha]
    for path in stale:
        os.unlink(out / path)
        _prune(out, (out / path).parent)
    total = sum(item.size for item in items.values())
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


def _differs(path: Path, item: Item) -> bool:
    return os.path.lexists(path) and _sha(path) != item.sha256


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
