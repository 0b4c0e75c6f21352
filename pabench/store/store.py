"""Records, receipts and masks on disk: written once, checksummed, whole or absent.

study.json                   the manifest: what the study expects; earlier ones are study-<n>.json
records/<key>.json           one finished cell; receipts/<key>.json: one finished pruning (see `envelope`)
metrics/<key>.json           what was measured of masks and trainings (see `figures`)
checks/<key>.json            what was found on a criterion and a network before training
masks/<sha256>.safetensors   content-addressed
logs/<key>.log               what a cell's process printed, where it printed anything
checkpoints/<key>/           where trainings stand that have not ended
runners/, claims/            which runs are at work, and on what (see `pabench.run.claims`); empty otherwise
history/                     failed records that a retry replaced
quarantine/                  broken files, moved here and treated as absent; never deleted
log.txt                      what was moved, and second executions that differ from the first
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from pabench.errors import DataError, MissingError, RefusedError
from pabench.store import files, manifest as manifests
from pabench.store.envelope import BYTES_OF_A_VALUE, MAX_BYTES, Sealed, digest_in, seal, unseal
from pabench.store.verdict import DEAD
from pabench.suite.digest import canonical, digest

Kind = Literal["records", "receipts", "checks", "metrics"]
T = TypeVar("T")
FOLDERS = ("records", "receipts", "checks", "metrics", "masks", "history", "quarantine", "runners", "claims")
SHA256 = re.compile(r"[0-9a-f]{64}")


# far above what any study writes: a file of a stranger is not read into memory however large it is
MAX_MANIFEST_BYTES = 256 * 2**20
MAX_MASK_BYTES = 2**30

AXES = ("dataset", "model", "criterion")
"""What a study compares, and on what."""


# What may differ between two executions of one cell. Everything else must not.
VOLATILE = frozenset({"cost", "environment", "created", "attempt", "bank", "logits", "training_images", "cuda_graphs"})
# Entries of a result that older records lack; where top-1 and loss are the same, these are.
LATER = frozenset({"compared_by", "test", "right"})


# A study whose manifest differs in these alone was merely started again.
RESTARTED = frozenset({"created", "command", "notes"})


def log_of(folder: str | os.PathLike[str], key: str) -> str:
    """The file of what the processes of a task print."""
    return f"{folder}/logs/{key}.log"


def checkpoints_of(folder: str | os.PathLike[str], key: str) -> Path:
    """The folder of what a task keeps of a training on its way."""
    return Path(folder) / "checkpoints" / key


class Store:
    """The results folder of one study. Any number of processes may use it at once; reading needs no write access.

    `guest`: code of others runs in this process. What looks broken to it may be whole, and stays where it is.
    """

    def __init__(self, folder: str | os.PathLike[str], *, guest: bool = False) -> None:
        self.folder = Path(folder)
        self.guest = guest

    def open_study(self, manifest: dict[str, Any]) -> None:
        """Make the folder ready for the study `manifest["name"]`, before any compute.

        RefusedError if it cannot be written or holds another study: one of another name, or of this name that has
        nothing to do with it (`_stranger`). A changed manifest replaces the old one, which is kept as study-<n>.json;
        records of cells that are no longer expected stay.
        """
        files.make_folders(self.folder, *(self.folder / name for name in FOLDERS))
        for folder in (self.folder, *(self.folder / name for name in FOLDERS)):
            files.clear_abandoned(folder, files.check_writable(folder))
        with files.locked(self.folder):
            old = self._old_manifest()
            if old is not None and old.get("name") != manifest["name"]:
                raise RefusedError(
                    f"{self.folder}: holds the study {old.get('name')!r}, not {manifest['name']!r}; "
                    "choose another folder with -o"
                )
            if old is not None and _text(old, RESTARTED) == _text(manifest, RESTARTED):
                return
            if old is not None and (why := _stranger(old, manifest)):
                raise RefusedError(
                    f"{self.folder}: holds another study of the name {manifest['name']!r}: of this one it has no cell, "
                    f"and {why}; choose another folder with -o (if it is an edit of that study, remove "
                    f"{self._manifest_path.name} there: the records are kept, and cells that are in both are used)"
                )
            if old is not None:
                kept = _free_name(self.folder, "study", ".json")
                files.write_once(kept, self._manifest_path.read_bytes())
            text = canonical({**manifest, "sha256": digest(manifest)}).encode()
            files.replace(self._manifest_path, text + b"\n")

    def manifest(self) -> dict[str, Any]:
        """What `open_study` was given last. MissingError without a study; DataError if the file is broken."""
        try:
            limit = MAX_MANIFEST_BYTES
            text = files.read(self._manifest_path, limit=limit)
            most = limit // BYTES_OF_A_VALUE
            manifest = manifests.read(text, limit=limit, cells=most, values=most)
            if not isinstance(manifest, dict) or not _matches(text, manifest, manifest.pop("sha256", None)):
                raise DataError("does not match its SHA-256 (truncated or altered)")
        except FileNotFoundError:
            raise MissingError(
                f"{self.folder}: no study.json; expected the results folder of a `pabench run`"
            ) from None
        except DataError as error:
            remedy = "run the suite again to write it anew, the records are kept"
            raise DataError(f"{self._manifest_path}: {error}; {remedy}") from None
        return manifest

    def commit(self, kind: Kind, key: str, data: dict[str, Any], *, replace_failed: bool = False) -> bool:
        """True if `data` is now the record of this key, durable on return; False if there was one.

        An earlier one is compared with `data`, apart from VOLATILE, and a difference is logged: a free check of
        determinism. `replace_failed` moves an earlier one of status "failed" to history/. ValueError for NaN.
        """
        if data["key"] != key:
            raise ValueError(f"record of {data['key']} committed as {key}")
        path, sealed = self._path(kind, key), seal(data)
        first = self._put(path, sealed, partial(_record, key), MAX_BYTES)
        if first is None:
            return True
        if replace_failed and first["status"] == "failed":
            return self._replace_failed(path, sealed)
        self._log_difference(path, first, data)
        return False

    def get(self, kind: Kind, key: str) -> dict[str, Any] | None:
        """The record of this key, or None. A broken file counts as absent, and is moved to quarantine/ by all but
        guests."""
        return self._quick(kind, key, _record)

    def records(self, kind: Kind = "records") -> Mapping[str, dict[str, Any]]:
        """All valid records by key, in the order of keys. Each is read anew when it is asked for: changing one changes
        nothing."""
        return self.sealed(kind, self.digests(kind, self.keys(kind)))

    def keys(self, kind: Kind = "records") -> list[str]:
        """What records are called that have a file, valid or not, in their order."""
        keys = (name.removesuffix(".json") for name in files.names(self.folder / kind))
        return [key for key in keys if SHA256.fullmatch(key)]

    def digests(
        self, kind: Kind, keys: Iterable[str], see: Callable[[str, dict[str, Any]], None] | None = None
    ) -> dict[str, bytes]:
        """The SHA-256 of each of these records that is valid, by key. `see` is shown all of them on the way, for who
        would otherwise read each a second time."""
        digests = {}
        for key, (data, record) in self._each(kind, keys, _with_bytes):
            digests[key] = digest_in(data)
            if see:
                see(key, record)
        return digests

    def sealed(self, kind: Kind, digests: Mapping[str, bytes]) -> Mapping[str, dict[str, Any]]:
        """The records that have been found to have these SHA-256, each read anew when it is asked for."""
        return Sealed(digests, partial(self._bytes, kind))

    def each(self, kind: Kind = "records") -> Iterator[dict[str, Any]]:
        """All valid records in the order of keys, read one at a time: for who wants little of each."""
        return (record for _, record in self._each(kind, self.keys(kind), _record))

    def statuses(self, keys: Iterable[str]) -> dict[str, str]:
        """ok, failed, skipped or missing, by key in the given order."""
        found = ((key, self.get("records", key)) for key in keys)
        return {key: record["status"] if record else "missing" for key, record in found}

    def put_mask(self, data: bytes) -> str:
        """Keep a mask file; returns the SHA-256 it is known by."""
        sha = hashlib.sha256(data).hexdigest()
        self._put(self._mask_path(sha), data, partial(_mask, sha), MAX_MASK_BYTES)
        return sha

    def get_mask(self, sha: str) -> bytes:
        """The bytes of a mask file. DataError if there are none that match."""
        data = self._read(self._mask_path(sha), partial(_mask, sha), MAX_MASK_BYTES)
        if data is None:
            raise DataError(f"{self._mask_path(sha)}: no such mask; prune the cell again to make it")
        return data

    def has_mask(self, sha: str) -> bool:
        """Whether there is a mask file that matches its name."""
        return self._read(self._mask_path(sha), partial(_mask, sha), MAX_MASK_BYTES) is not None

    def quarantine(self, kind: Kind, key: str, reason: str) -> None:
        """Move a record away that turned out to be unusable: from now on it is absent."""
        self._quarantine(self._path(kind, key), reason)

    def taken_over(self, task: str) -> bool:
        """Whether another run had this task before who has it now: one that is gone, or that was to do less of it
        (`pabench.run.claims`)."""
        return any(name.startswith(f"{task}.") for name in files.names(self.folder / "claims"))

    def log(self, line: str) -> None:
        """Append a line to log.txt; a log that cannot be written stops nobody."""
        path, text = self.folder / "log.txt", f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}"
        # unbuffered: lines of several processes do not mix
        with contextlib.suppress(OSError), open(path, "ab", buffering=0, opener=_no_link) as file:
            file.write(text.replace("\n", " ").encode() + b"\n")

    @property
    def _manifest_path(self) -> Path:
        return self.folder / "study.json"

    def _path(self, kind: Kind, key: str) -> Path:
        return self.folder / kind / f"{_hexadecimal(key)}.json"

    def _mask_path(self, sha: str) -> Path:
        return self.folder / "masks" / f"{_hexadecimal(sha)}.safetensors"

    def _old_manifest(self) -> dict[str, Any] | None:
        try:
            return self.manifest()
        except MissingError:
            return None
        except DataError as error:
            self._quarantine(self._manifest_path, str(error))
            return None

    def _each(self, kind: Kind, keys: Iterable[str], decode: Callable[[str, bytes], T]) -> Iterator[tuple[str, T]]:
        for key in keys:
            found = self._quick(kind, key, decode)
            if found is not None:
                yield key, found

    def _quick(self, kind: Kind, key: str, decode: Callable[[str, bytes], T]) -> T | None:
        """What is in a record's file; None where there is none, or a broken one."""
        try:  # many thousands of `Path`s would take most of the time, and each leaves its name in memory
            return decode(key, files.read(f"{self.folder}/{kind}/{_hexadecimal(key)}.json", limit=MAX_BYTES))
        except FileNotFoundError:
            return None
        except DataError:
            return self._read(self._path(kind, key), partial(decode, key), MAX_BYTES)

    def _bytes(self, kind: Kind, key: str) -> bytes:
        """Of a file that was there a moment ago."""
        try:
            return files.read(self._path(kind, key), limit=MAX_BYTES)
        except FileNotFoundError:
            return b""

    def _put(self, path: Path, data: bytes, decode: Callable[[bytes], T], limit: int) -> T | None:
        """None if this call gave the file its name, else the valid content that was there."""
        for _ in range(3):  # a broken file in its place is moved away; nobody puts three there in good faith
            if files.write_once(path, data):
                return None
            first = self._read(path, decode, limit)
            if first is not None:
                return first  # a broken one is in quarantine now and the name is free
        raise RefusedError(f"{path}: broken, and cannot be moved to quarantine; move it by hand")

    def _read(self, path: Path, decode: Callable[[bytes], T], limit: int) -> T | None:
        try:
            return decode(files.read(path, limit=limit))
        except FileNotFoundError:
            return None
        except DataError:
            if self.guest:
                return None
        # Look again under the lock: another process may have moved the broken file and committed a good one since.
        try:
            with files.locked(self.folder):
                try:
                    return decode(files.read(path, limit=limit))
                except DataError as error:
                    self._quarantine(path, str(error))
        except (OSError, RefusedError) as error:
            self.log(f"{path.relative_to(self.folder)}: broken, and not moved to quarantine ({error})")
        return None

    def _quarantine(self, path: Path, reason: str) -> None:
        kept = _free_name(self.folder / "quarantine", f"{path.parent.name}-{path.stem}", path.suffix)
        os.rename(path, kept)
        self.log(f"{path.relative_to(self.folder)}: moved to quarantine/{kept.name}: {reason}")

    def _replace_failed(self, path: Path, sealed: bytes) -> bool:
        with files.locked(self.folder):
            try:
                old = files.read(path, limit=MAX_BYTES)
                if unseal(old)["status"] != "failed":
                    return False
            except (FileNotFoundError, DataError):
                return False
            kept = _free_name(self.folder / "history", f"{path.parent.name}-{path.stem}", ".json")
            files.write_once(kept, old)
            files.replace(path, sealed)
            return True

    def _log_difference(self, path: Path, first: dict[str, Any], second: dict[str, Any]) -> None:
        different = list(itertools.islice(_differences(json.loads(outcome(first)), json.loads(outcome(second))), 4))
        if different:
            name = path.relative_to(self.folder)
            ran = [(data.get("environment") or {}).get("threads") for data in (first, second)]
            threads = f" (with {ran[0]} and {ran[1]} threads)" if ran[0] != ran[1] else ""
            self.log(f"{name}: a second execution differs, the first is kept: {'; '.join(different)}{threads}")


def outcome(record: Mapping[str, Any]) -> str:
    """What two executions of one cell must share, as canonical JSON.

    Without what older records lack: the flag of a dead network, which follows from its logits, and `LATER`.
    """
    flags = [flag for flag in record.get("flags", ()) if flag["flag"] != DEAD]
    result = {key: value for key, value in (record.get("result") or {}).items() if key not in LATER}
    told = {**record, "flags": flags, "result": result or None}
    if isinstance(finding := record.get("finding"), Mapping):  # of a check
        told["finding"] = {key: value for key, value in finding.items() if key != "seconds"}
    return _text(told, VOLATILE)


def _record(key: str, data: bytes) -> dict[str, Any]:
    """The record of this key in a file's bytes; DataError: there is another, or none."""
    record = unseal(data)
    if record.get("key") != key:
        raise DataError(f"is the record of {str(record.get('key'))[:80]}")
    if not isinstance(record.get("status"), str):
        raise DataError("has no status")
    return record


def _with_bytes(key: str, data: bytes) -> tuple[bytes, dict[str, Any]]:
    """The record of this key in a file's bytes, after these."""
    return data, _record(key, data)


def _matches(text: bytes, manifest: Mapping[str, Any], sha: Any) -> bool:
    """Whether a manifest has this SHA-256: that of its canonical JSON, which is the file's text without this entry."""
    without = text.replace(f'"sha256":"{sha}",'.encode(), b"", 1).rstrip(b"\n")
    return hashlib.sha256(without).hexdigest() == sha or manifests.digest(manifest) == sha


def _mask(sha: str, data: bytes) -> bytes:
    if hashlib.sha256(data).hexdigest() != sha:
        raise DataError(f"{len(data)} bytes do not match their SHA-256 (truncated or altered)")
    return data


def _stranger(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Why a manifest is no edit of another one that shares no cell with it; "" where it is, or shares a cell.

    Who edits a suite in mid-study changes a part: another recipe or seed gives other cells everywhere, of the same
    datasets, models and criteria, and so does another model. Strangers' suites differ in most of their lines, or in
    what they compare.
    """
    expected = {canonical(cell) for cell in new["cells"]}
    if not expected or not old["cells"] or any(canonical(cell) in expected for cell in old["cells"]):
        return ""
    before, after = ({axis: _named(axis, manifest) for axis in AXES} for manifest in (old, new))
    apart = [axis for axis in AXES if before[axis] != after[axis] and not before[axis] & after[axis]]
    if len(apart) > 1:
        return f"no {' and no '.join(apart)}"
    lines, others = (Counter(filter(None, map(_bare, str(m["suite"]).splitlines()))) for m in (old, new))
    common, most = (lines & others).total(), max(lines.total(), others.total())
    return f"{common} of {most} lines of the suite" if 2 * common < most else ""


def _named(axis: str, manifest: Mapping[str, Any]) -> set[str]:
    """The names of the datasets, models or criteria of a study."""
    return {cell[axis]["name"] for cell in manifest["cells"] if cell[axis]}


def _bare(line: str) -> str:
    """A line of a suite without its comment."""
    return line.partition(" #")[0].strip() if not line.lstrip().startswith("#") else ""


def _no_link(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o666)


def _hexadecimal(key: str) -> str:
    if not SHA256.fullmatch(key):
        raise ValueError(f"{key!r} is not a key of 64 hexadecimal digits")
    return key


def _free_name(folder: Path, stem: str, suffix: str) -> Path:
    return next(path for n in itertools.count(1) if not os.path.lexists(path := folder / f"{stem}-{n}{suffix}"))


def _text(data: Mapping[str, Any], volatile: frozenset[str]) -> str:
    """What two files of one meaning share, as it stands on disk: tuples are lists there."""
    return canonical({key: value for key, value in data.items() if key not in volatile})


def _differences(first: Any, second: Any, at: str = "") -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            yield from _differences(first.get(key), second.get(key), f"{at}.{key}" if at else key)
    elif first != second:
        yield f"{at} {str(first)[:80]} and {str(second)[:80]}"
