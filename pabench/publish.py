"""Results folders and submissions to a static site: checked again, rendered, and written over an earlier one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pabench import frame
from pabench.comparable import Badge, Published, boards
from pabench.errors import DataError, RefusedError, SuiteError
from pabench.foreign import SUBMISSION, content, read
from pabench.judgement import recorded, rejection
from pabench.sitefolder import Item, Written, item, update
from pabench.submission import Submitted, submit
from pabench.verification import Verification, verify
from pabench.wording import count, plain

STUDIES = "data/v1/studies"
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UNFORESEEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


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
    _refuse_places(out, [_named(given)[1] for given in folders])
    records = [recorded(path) for path in _record_files(verified)]
    notes: list[str] = []
    with ExitStack() as stack:
        published: list[Published] = []
        items: dict[str, Item] = {}
        for given in folders:
            name, folder = _named(given)
            with _named_in_errors(given):
                digests: set[str] = set()
                if not (folder / SUBMISSION).is_file():
                    scratch = Path(stack.enter_context(TemporaryDirectory(prefix="pabench-publish-")))
                    made, digests = _submitted(folder, scratch, incomplete=incomplete, plugins=plugins)
                    notes += [f"{folder}: {note}" for note in made.notes]
                    folder = made.folder
                found = verify(folder, 2)
                if found.exit_code:
                    lines = [f"  {flaw}" for flaw in found.levels[-1].flaws[:5]]
                    raise RefusedError("\n".join([f"{given}: not published: `pabench verify` rejects it:", *lines]))
                study = _published(found, name, {*digests, found.digest}, records)
                if any(other.slug == study.slug for other in published):
                    raise RefusedError(f"two studies are called {study.slug!r}; give one another name: NAME=DIR")
                published.append(study)
                items |= dict(_submission(found, study.slug, masks=masks))
                if study.rejected:
                    notes.append(f"{given}: {study.rejected}; no row of it has a badge, and the site says so")
        known = {study.digest for study in published} | {d for study in published for d in _also(study)}
        notes += [
            f"the verification of {plain(one['study'])}, digest {str(one['digest'])[:16]}, is of none of these studies "
            "as they are now: not used"
            for one in records
            if one["digest"] not in known
        ]
        pages, differing = _pages(published, plain(title), [plain(author) for author in authors])
        notes += differing
        items |= {path: item(data) for path, data in pages.items()}
        return update(out, items, notes)


def _refuse_places(out: Path, folders: Iterable[Path]) -> None:
    """RefusedError where the site would be written into what it is made of, or over it; SuiteError where `out` is a
    file."""
    if os.path.lexists(out) and not out.is_dir():
        raise SuiteError(f"-o {out}: a file; name the folder of the site")
    there = os.path.realpath(out)
    for folder in folders:
        here = os.path.realpath(folder)
        if os.path.commonpath([here, there]) in (here, there):
            inner, outer = (out, folder) if there.startswith(here) else (folder, out)
            raise RefusedError(f"-o {out}: {inner} lies in {outer}; keep the site and what it is made of apart")


@contextmanager
def _named_in_errors(given: str) -> Iterator[None]:
    """What no check foresaw in a stranger's folder is an error that names the folder, and no traceback."""
    try:
        yield
    except UNFORESEEN as error:
        raise DataError(
            f"{given}: cannot be shown ({type(error).__name__}: {plain(error)[:200]}), although nothing is found wrong "
            "with it; leave it out, and report this"
        ) from error


def _submitted(folder: Path, scratch: Path, *, incomplete: bool, plugins: Sequence[Path]) -> tuple[Submitted, set[str]]:
    """The submission of a results folder, and the digest of the folder, of which a verification may be.

    RefusedError: the folder changed meanwhile, so that nobody knows which state it is of.
    """
    before = read(folder).digest
    made = submit(folder, scratch / "submission", incomplete=incomplete, plugins=plugins)
    if read(folder).digest != before:
        raise RefusedError(f"{folder}: changed while it was published; publish it again when its run has ended")
    return made, {before}


def _pages(studies: Sequence[Published], title: str, authors: Sequence[str]) -> tuple[dict[str, bytes], list[str]]:
    """The files of the site, and what its maker must know of results that studies do not agree on."""
    from pabench import site

    try:
        found = boards(studies)
        return site.pages(studies, title, authors), [
            f"{board.slug}: {told}" for board in found for told in board.disputed
        ]
    except UNFORESEEN as error:
        for study in studies:
            with _named_in_errors(study.slug):
                site.pages([study], title, authors)
        names = ", ".join(study.slug for study in studies)
        raise DataError(
            f"{names}: cannot be shown on one site ({type(error).__name__}: {plain(error)[:200]})"
        ) from error


def _also(study: Published) -> list[str]:
    return [str((study.verified or {}).get("digest", ""))]


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
    own = sorted((one for one in records if one["digest"] in digests), key=lambda one: int(one["passed"]))
    # of several the best counts, unless one has proved something wrong: then no other sample makes it right
    best = next((one for one in own if rejection(one)), own[-1] if own else None)
    rejected = rejection(best) if best else ""
    slug = name or re.sub(r"[^A-Za-z0-9._-]", "-", str(manifest["name"]))[:64].strip(".-") or "study"
    title = plain(manifest.get("title") or manifest["name"])
    badges = {} if rejected else _badges(best)
    return Published(slug, title, foreign.digest, study, found.found.cells, badges, best, plain(rejected))


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
    """Outcomes of finished cells: one that is said to have no result, and has none, proves nothing of a row."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for outcome in level.get("outcomes", []):
        if not outcome.get("ended"):
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
