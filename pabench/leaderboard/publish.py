"""Results folders and submissions to a static site: checked again, rendered, and written over an earlier one."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pabench.errors import RefusedError, SuiteError
from pabench.leaderboard import site
from pabench.leaderboard.bank import SITE
from pabench.leaderboard.boards import Badge, Published, boards
from pabench.leaderboard.compute import UNKNOWN, Watts, compute
from pabench.leaderboard.rejudged import rejudged
from pabench.leaderboard.site import LICENCE, About, named_in_errors
from pabench.leaderboard.sitefiles import Item, Written, item, published, unchanged, update
from pabench.leaderboard.submission import Submitted, submit
from pabench.leaderboard.verification import consistent, maskless
from pabench.leaderboard.verification.certificate import recorded, rejection
from pabench.leaderboard.verification.folder import SUBMISSION, Flaw, content, read
from pabench.leaderboard.verification.verify import Verification, verify
from pabench.report import frame
from pabench.suite.provenance import spoken
from pabench.suite.specs import DatasetSpec
from pabench.words import count, plain

SHOWN = 5
"""Flaws that an error names: `pabench verify` says all."""
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class _Admitted:
    """A study that passed: its files on the site, the `digests` that verifications of it may have, and what is to be
    said of it."""

    study: Published
    items: dict[str, Item]
    digests: set[str]
    notes: list[str]


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
    claims: Path | None = None,
    licence: str = LICENCE,
    watts: Watts = UNKNOWN,
) -> Written:
    """Write the site of these folders, each `DIR` or `NAME=DIR`. RefusedError: one does not pass levels 1 and 2 or has
    regression data, two have one name, or one title for datasets of different content, or a file that this site needs
    was written by somebody else. SuiteError: `licence` is no name of one.

    `claims` is what `pabench claims --json` wrote.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}", licence):
        raise SuiteError(f"--licence {licence}: expected a name of https://spdx.org/licenses, as {LICENCE}")
    _refuse_places(out, [_named(given)[1] for given in folders])
    records = [recorded(path) for path in _record_files(verified)]
    submitted = partial(submit, incomplete=incomplete, plugins=plugins)
    with named_in_errors(str(claims)):
        judged, notes = rejudged(claims) if claims else ([], [])
    about = About(plain(title), [plain(author) for author in authors], licence, watts, judged)
    with TemporaryDirectory(prefix="pabench-publish-") as scratch:
        admitted: list[_Admitted] = []
        for number, given in enumerate(folders):
            with named_in_errors(given):
                admitted.append(_admitted(given, Path(scratch) / f"{number}", submitted, records, masks=masks))
        studies = [one.study for one in admitted]
        slugs = [study.slug for study in studies]
        if twice := [slug for slug in slugs if slugs.count(slug) > 1]:
            raise RefusedError(f"two studies are called {twice[0]!r}; give one another name: NAME=DIR")
        _refuse_one_title(studies)
        with named_in_errors(", ".join(slugs)):
            found = boards(studies)
            tables = site.of_studies(studies, about)
            pages = partial(site.pages, studies, found, about, tables=tables)
            items = {path: item(data) for path, data in tables.items()}
            for one in admitted:
                items |= one.items
            made, date = _dated(out, items, pages)
        known: set[str] = set()
        for one in admitted:
            notes += one.notes
            known |= one.digests
        notes += [
            f"the verification of {plain(record['study'])}, digest {record['digest'][:16]}, is of none of these "
            "studies as they are now: not used"
            for record in records
            if record["digest"] not in known
        ]
        notes += [f"{board.slug}: {told}" for board in found for told in board.disputed]
        return update(out, made, notes, date)


def _dated(
    out: Path, items: Mapping[str, Item], pages: Callable[[str], Mapping[str, bytes]]
) -> tuple[dict[str, Item], str]:
    """All files of the site and the date on its pages: today's, or that of the site there if nothing else changed."""
    before, today = published(out), datetime.now(UTC).date().isoformat()
    for date in filter(None, (before, today)):
        made = {**items, **{path: item(data) for path, data in pages(date).items()}}
        if date == today or unchanged(out, made):
            break
    return made, date


def _named(given: str) -> tuple[str, Path]:
    """The name that is given to a study, "" for its own, and its folder."""
    name, mark, path = given.partition("=")
    if not mark or Path(given).exists():
        return "", Path(given)
    if not SLUG.fullmatch(name):
        raise SuiteError(f"{given}: {name!r} is no name; expected letters, digits, . _ -")
    return name, Path(path)


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


def _refuse_one_title(studies: Iterable[Published]) -> None:
    """RefusedError where readers would take two datasets for one: one title, and another content by its digest.

    Subsets of one dataset have one content, and boards say what they are cut to.
    """
    seen: dict[str, tuple[str, DatasetSpec]] = {}
    for study in studies:
        for dataset in {cell.dataset.text: cell.dataset for cell in study.study.cells.values()}.values():
            if not dataset.fingerprint:  # its data were not there: nothing was run
                continue
            slug, other = seen.setdefault(spoken(dataset.label), (study.slug, dataset))
            if other.fingerprint != dataset.fingerprint:
                both = ((slug, other), (study.slug, dataset))
                told = ", ".join(f"in {name} {_content(one)}" for name, one in both)
                raise RefusedError(
                    f"two datasets are called {plain(dataset.label)!r} and have different content: {told}; "
                    "give one of them another `title:` in its suite, and run that again (no cell is computed anew)"
                )


def _content(dataset: DatasetSpec) -> str:
    """What tells a dataset from another of its title."""
    coding = f", {plain(dataset.coding)}-coded" if dataset.coding else ""
    return f"{dataset.fingerprint[:16]} ({plain(dataset.name)}{coding})"


def _admitted(
    given: str, scratch: Path, submitted: Callable[..., Submitted], records: Sequence[Mapping[str, Any]], *, masks: bool
) -> _Admitted:
    """A study of the site, from its submission, which is made in `scratch` where a results folder is given.

    RefusedError: verification rejects it; the folder changed meanwhile, so that nobody knows which state it is of.
    """
    name, folder = _named(given)
    digests, notes = set(), []
    if not (folder / SUBMISSION).is_file():
        digests.add(read(folder).digest)
        made = submitted(folder, scratch)
        if read(folder).digest not in digests:
            raise RefusedError(f"{folder}: changed while it was published; publish it again when its run has ended")
        notes += [f"{folder}: {note}" for note in made.notes]
        folder = made.folder
    found = verify(folder, 2)
    digests.add(whole := _whole(given, found, records))
    study = _published(found, whole, name, [one for one in records if one["digest"] in digests])
    if study.rejected:
        notes.append(f"{given}: {study.rejected}; no row of it has a badge, and the site says so")
    # the submission itself is what others point --bank at
    foreign = found.found.foreign
    items = {
        f"{SITE}/{study.slug}/{path}": Item(sha, foreign.sizes[path], partial(content, folder, path, sha))
        for path, sha in foreign.files.items()
        if masks or not path.startswith("masks/")
    }
    return _Admitted(study, items, digests, notes)


def _whole(given: str, found: Verification, records: Iterable[Mapping[str, Any]]) -> str:
    """The digest of a submission that passed. RefusedError: it did not.

    Of one whose masks an earlier site left out they were looked at by a verification that is recorded; the rest is
    looked at again.
    """
    wrong: Sequence[Flaw] = found.levels[-1].flaws
    if whole := maskless.whole(found.found.foreign):
        if not any(one["digest"] == whole and one["passed"] >= 2 for one in records):
            raise RefusedError(
                f"{given}: not published: its masks are not here, and no record of a verification that saw them is "
                "among those of --verified"
            )
        # level 2 trusts what level 1 has found in order
        wrong = maskless.besides(found.found.flaws) or maskless.besides(consistent.check(found.found))
    if wrong:
        lines = [f"  {flaw}" for flaw in wrong[:SHOWN]]
        raise RefusedError("\n".join([f"{given}: not published: `pabench verify` rejects it:", *lines]))
    return whole or found.digest


def _published(found: Verification, whole: str, name: str, records: Sequence[Mapping[str, Any]]) -> Published:
    """The study as the site shows it, with what verifications of it prove (`records`); `whole` is its digest."""
    foreign = found.found.foreign
    manifest = foreign.study or {}
    study = frame.study(manifest, found.found.records, foreign.all("metrics").values())
    if datasets := frame.in_r2(study.frame):
        raise RefusedError(f"{name}: boards are of accuracies, and {', '.join(datasets)} is told in R²; leave it out")
    # of several the best counts, unless one has proved something wrong: then no other sample makes it right
    ordered = sorted(records, key=lambda one: int(one["passed"]))
    best = next((one for one in ordered if rejection(one)), ordered[-1] if ordered else None)
    rejected = rejection(best) if best else ""
    slug = name or re.sub(r"[^A-Za-z0-9._-]", "-", str(manifest["name"]))[:64].strip(".-") or "study"
    title = plain(manifest.get("title") or manifest["name"])
    badges = _badges(best) if best and not rejected else {}
    took = compute(study, found.found.receipts)
    return Published(slug, title, whole, study, badges, best, plain(rejected), took)


def _badges(record: Mapping[str, Any]) -> dict[str, Badge]:
    """By row what a verification proves: that of a level that passed, for the rows of which it looked at a cell."""
    levels = {level["level"]: level for level in record["levels"] if level["passed"]}
    if not {1, 2, 3} <= set(levels):
        return {}
    found = {}
    for row, outcomes in _by_row(levels[3]).items():
        told = ", ".join(sorted({o["outcome"] for o in outcomes}))
        found[row] = Badge(1, f"masks of {count(len(outcomes), 'cell')} re-derived ({plain(told)})")
    for row, outcomes in _by_row(levels.get(4, {})).items():
        if row in found:
            n = sum(len(o["fresh"]) for o in outcomes)
            worst = max(o["detectable"] for o in outcomes)
            told = f"{n} trainings with fresh seeds agree; a difference of {worst:.1f} points would show (80 %)"
            found[row] = Badge(2, f"{found[row].detail}; {told}")
    return found


def _by_row(level: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Outcomes of finished cells: one that is said to have no result, and has none, proves nothing of a row."""
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for outcome in level.get("outcomes", []):
        if not outcome.get("ended"):
            rows[outcome["row"]].append(outcome)
    return rows


def _record_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob("*.json")) if path.is_dir() else [path]
