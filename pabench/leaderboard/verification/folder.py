"""A folder that a stranger made: every file read once, from inside the folder, hashed and parsed from the same bytes.

Nothing is followed out of the folder (links are refused, names are fixed patterns), nothing is executed, and nothing
but JSON and safetensors is parsed. A results folder is read in the same way; what it has besides is left aside there.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pabench.errors import DataError, MissingError, RefusedError
from pabench.leaderboard.sources import LARGEST
from pabench.store import files as stored, manifest, maskbits
from pabench.store.envelope import MAX_BYTES, MAX_VALUES, parse, unseal
from pabench.store.manifest import MAX_CELLS, MAX_LISTED
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.words import plain

STUDY, SUBMISSION, AGGREGATES, README = "study.json", "submission.json", "aggregates.json", "README.md"
# a document takes 64 MiB at most while it is read: what is parsed or unpacked stands in memory beside its file
MAX_STUDY_BYTES = 32 * 2**20
MAX_TEXT_BYTES = 2**20
MAX_MASK_BYTES = 28 * 2**20
"""Of 234 million weights: with VGG-16 it is 17 MB."""
MAX_FLAWS = 10_000
"""That are looked for: where everything is wrong, nobody reads on."""
LONGEST = 2000
"""Characters of what a flaw tells of a file."""


# far above any study: a folder of more is not looked through
MAX_FILES = 500_000
MAX_TOTAL_BYTES = 64 * 2**30
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


# folder: the names of its files, and how many bytes one may have
FOLDERS: Mapping[str, tuple[re.Pattern[str], int]] = {
    **dict.fromkeys(("records", "receipts", "checks", "metrics"), (re.compile(r"[0-9a-f]{64}\.json"), MAX_BYTES)),
    "masks": (re.compile(r"[0-9a-f]{64}\.safetensors"), MAX_MASK_BYTES),
    "criteria": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,80}\.py"), LARGEST),
}
# file: how many bytes it may have, and how many values and keys
TOP = {
    STUDY: (MAX_STUDY_BYTES, MAX_VALUES),  # besides what its cells share
    SUBMISSION: (MAX_STUDY_BYTES, 7 * MAX_LISTED),
    AGGREGATES: (MAX_STUDY_BYTES // 2, 30 * MAX_CELLS),  # a row has eleven entries, and is of one cell at least
    README: (MAX_TEXT_BYTES, 0),
}


@dataclass(frozen=True)
class Flaw:
    """One thing that a verification found. `level` is the level that found it; `cell` its title, "" for a whole file.

    `unable`: nothing is proved wrong, the check could not be made here.
    """

    level: int
    file: str
    expected: str
    found: str
    field: str = ""
    cell: str = ""
    unable: bool = False

    def __post_init__(self) -> None:
        # a stranger's text may have 64 million characters, and stand in 10,000 flaws
        for name in ("file", "expected", "found", "field", "cell"):
            object.__setattr__(self, name, _short(getattr(self, name), LONGEST))

    def __str__(self) -> str:
        where = ": ".join(filter(None, [self.file, self.cell, self.field]))
        verdict = f"expected {_short(self.expected)}, found {_short(self.found)}"
        return plain(f"level {self.level}: {_short(where, 400)}: {verdict}").replace("\n", " ")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "text": str(self)}

    @classmethod
    def of(cls, level: int, cell: Cell, field: str, expected: Any, found: Any, unable: bool = False) -> Flaw:
        """One in the record of a cell."""
        return cls(level, f"records/{cell.key}.json", str(expected), str(found), field, cell.title, unable)


@dataclass(frozen=True)
class MaskFacts:
    """What a mask file says: `name`, `shape`, `total` and `kept` of each layer in order, as receipts name them, and
    the receipt in its header. `unformed` are the layers that are not of the form that its `pattern` parameter says."""

    layers: Sequence[Mapping[str, Any]]
    receipt: Mapping[str, Any]
    unformed: Sequence[str] = ()


@dataclass
class Foreign:
    """A folder as it was read. `files` are SHA-256 by path, `sizes` bytes; `documents` are the parsed JSON files by
    path, out of their envelopes; `masks` are by their SHA-256; `flaws` are what could not be read."""

    folder: Path
    files: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    masks: dict[str, MaskFacts] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    total: int = 0

    def find(self, file: str, expected: str, there: str) -> None:
        """Add a flaw of level 1."""
        if len(self.flaws) < MAX_FLAWS:
            self.flaws.append(Flaw(1, file, expected, there))

    @property
    def is_submission(self) -> bool:
        """Whether it says itself that it is one; else it is a results folder."""
        return SUBMISSION in self.files

    @property
    def digest(self) -> str:
        """What a verification is made of: the hash of all files' hashes, the list of files itself left out."""
        return digest({path: sha for path, sha in self.files.items() if path not in (SUBMISSION, README)})

    @property
    def sources(self) -> dict[str, str]:
        """The paths of the files of criteria, by SHA-256."""
        return {sha: path for path, sha in self.files.items() if path.startswith("criteria/")}

    @property
    def study(self) -> dict[str, Any] | None:
        return self.documents.get(STUDY)

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """The documents of a folder by their key."""
        found = (path for path in self.documents if path.startswith(f"{kind}/"))
        return {path[len(kind) + 1 : -5]: self.documents[path] for path in found}


def read(folder: Path) -> Foreign:
    """Everything in a submission or a results folder. MissingError: there is no such folder, or no study in it."""
    try:
        top = os.open(folder, FOLDER)
    except OSError as error:
        raise MissingError(f"{folder}: {error.strerror}; expected a submission or a results folder") from None
    with _closing(top):
        names = sorted(_names(top, MAX_FILES))
        if STUDY not in names and SUBMISSION not in names:
            raise MissingError(f"{folder}: no {STUDY}; expected a submission or the results folder of a `pabench run`")
        found, strict = Foreign(folder), SUBMISSION in names
        for name in names:
            # a submission has nothing else; another folder may have, and what is called like these there is its own
            if name in TOP and (strict or name != README):
                _file(found, top, name, TOP[name][0])
            elif name in FOLDERS and (strict or name != "criteria"):
                _folder(found, top, name, strict=strict)
            elif strict:
                found.find(name, f"nothing but {', '.join([*TOP, *FOLDERS])}", "another file")
    return found


def content(folder: Path, path: str, sha256: str) -> bytes:
    """The bytes of a file that was read before; DataError where it is not the same any more."""
    inner, _, name = path.rpartition("/")
    limit = FOLDERS[inner][1] if inner else TOP[name][0]
    with _closing(os.open(folder / inner, FOLDER | os.O_NOFOLLOW)) as handle:
        data = _bytes(handle, name, limit)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path}: changed while it was looked at")
    return data


def _folder(found: Foreign, top: int, name: str, *, strict: bool) -> None:
    pattern, limit = FOLDERS[name]
    try:
        inner = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=top)
    except OSError as error:
        found.find(name, "a folder", f"something else ({error.strerror})")
        return
    with _closing(inner):
        names = _names(inner, MAX_FILES + 1)
        if len(names) > MAX_FILES:
            found.find(name, f"at most {MAX_FILES:,} files", "more")
            return
        for entry in sorted(names):
            if pattern.fullmatch(entry):
                _file(found, inner, f"{name}/{entry}", limit)
            elif strict:
                found.find(f"{name}/{entry}", f"names like {pattern.pattern}", "another name")


def _names(folder: int, most: int) -> list[str]:
    """Of a folder's entries so many at most: there may be millions."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, most)]


def _file(found: Foreign, folder: int, path: str, limit: int) -> None:
    """One file of an open folder: hashed, and parsed from the bytes that were hashed."""
    try:
        if found.total > MAX_TOTAL_BYTES:
            raise DataError(f"more than {MAX_TOTAL_BYTES} bytes in all")
        data = _bytes(folder, path.rpartition("/")[2], limit)
        sha = hashlib.sha256(data).hexdigest()
        # before it is parsed: a file that is listed and broken is no missing file
        found.files[path], found.sizes[path] = sha, len(data)
        found.total += len(data)
        if path.startswith("masks/"):
            found.masks[sha] = _mask(data, sha, path)
        elif path.endswith(".json"):
            document = unseal(data) if "/" in path else _document(data, path)
            if not isinstance(document, dict):
                raise DataError(f"holds a {type(document).__name__}")
            found.documents[path] = document
    except DataError as error:
        found.find(path, "a whole file that matches its hash", str(error))


def _document(data: bytes, name: str) -> Any:
    """What a file of the folder itself holds."""
    limit, values = TOP[name]
    if name == STUDY:
        return manifest.read(data, limit=limit, cells=MAX_CELLS, values=values)
    return parse(data, limit=limit, values=values)


def _mask(data: bytes, sha: str, path: str) -> MaskFacts:
    if path != f"masks/{sha}.safetensors":
        raise DataError(f"holds the SHA-256 {sha}, which its name is not (truncated or altered)")
    layers, receipt = maskbits.counted(data)
    parameters = receipt.get("parameters")
    pattern = parameters.get("pattern", "") if isinstance(parameters, dict) else ""
    if not isinstance(pattern, str) or not re.fullmatch("channels|[1-9][0-9]?:[1-9][0-9]?", pattern):
        return MaskFacts(layers, receipt, [])
    return MaskFacts(layers, receipt, maskbits.unformed_layers(data, pattern))


def _bytes(folder: int, name: str, limit: int) -> bytes:
    try:
        return stored.read(name, limit=limit, folder=folder)
    except (FileNotFoundError, RefusedError) as error:
        raise DataError(f"no regular file ({error})") from None


@contextmanager
def _closing(folder: int) -> Iterator[int]:
    try:
        yield folder
    finally:
        os.close(folder)


def _short(text: str, longest: int = 160) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
