"""Decoded arrays kept on disk, so that one process decodes and all others map the file into memory.

They lie under `cache_folder()`/decoded/<key>/ with the SHA-256 of each file, and may be deleted
at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pabench.catalogue import cache_folder

Arrays = dict[str, np.ndarray[Any, Any]]
MANIFEST = "manifest.json"
DAY = 86_400


def decoded(key: str, build: Callable[[], Arrays]) -> Arrays:
    """The arrays stored under a key, memory-mapped; built first if they are absent or not what was written.

    The maps are copy-on-write: nothing written to them reaches the disk. A cache that cannot be written costs time,
    never the result.
    """
    folder = cache_folder() / "decoded" / key
    arrays = _open(folder)
    if arrays is None:
        fresh = build()
        try:
            _publish(folder, fresh)
        except OSError as error:
            logging.getLogger(__name__).warning("%s: cannot keep decoded images (%s)", folder, error)
        arrays = _open(folder) or fresh
    return arrays


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes; read once per process, or per study (`trust`), as long as nobody has touched it."""
    name, stamp = str(path), _stamp(path.stat())
    if name not in _hashed or _hashed[name].stamp != stamp:
        began = time.time_ns()
        with open(path, "rb") as file:
            sha = hashlib.file_digest(file, "sha256").hexdigest()
        # clocks of file systems are coarse: a file could change in the tick after it was read, and look the same
        settled = began - max(stamp[-2:]) > SETTLED
        _hashed[name] = _Hashed(stamp, sha, settled)
    return _hashed[name].sha


def hashed() -> dict[str, tuple[list[int], str]]:
    """What this process has read: stamp and hash of the `MOST` largest files, as plain data. Those written just before
    are left out."""
    settled = [(name, known) for name, known in _hashed.items() if known.settled]
    settled.sort(key=lambda entry: entry[1].size, reverse=True)
    return {name: (list(known.stamp), known.sha) for name, known in settled[:MOST]}


def trust(found: Mapping[str, tuple[Sequence[int], str]]) -> None:
    """Take over what another process of the same study has read (`hashed`).

    A file of another stamp is read again: one that was written to, replaced or copied, whatever its time was set to
    afterwards, and any file on another machine.
    """
    for name, (stamp, sha) in found.items():
        _hashed[name] = _Hashed(tuple(stamp), sha, settled=True)


MOST = 100
"""Data sets in few files have fewer; of a folder of pictures every process reads the small ones anew."""
SETTLED = 2_000_000_000
"""Nanoseconds after which a file's time tells one change from the next on every usual file system."""


@dataclass(frozen=True)
class _Hashed:
    stamp: tuple[int, ...]
    sha: str
    settled: bool

    @property
    def size(self) -> int:
        return self.stamp[2]


_hashed: dict[str, _Hashed] = {}


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    """Where a file lies, its size and its times. The last, of its inode, can be set by nobody."""
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _open(folder: Path) -> Arrays | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if not all(sha256_of(folder / f"{name}.npy") == sha for name, sha in manifest.items()):
            return None
        return {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in manifest} or None
    except (OSError, ValueError, AttributeError):  # absent or torn
        return None


def _publish(folder: Path, arrays: Arrays) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(".new-*"):  # of builders that were killed
        if time.time() - left.stat().st_mtime > DAY:  # no builder at work takes that long
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent, ignore_cleanup_errors=True) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()  # the temporary folder itself is closed to the others who share the cache
        for name, array in arrays.items():
            np.save(new / f"{name}.npy", array)
        (new / MANIFEST).write_text(json.dumps({name: sha256_of(new / f"{name}.npy") for name in arrays}))
        try:
            new.rename(folder)
        except OSError:
            if _open(folder) is None:  # what lies there is broken, not another process's finished work
                folder.rename(new.with_name("broken"))
                new.rename(folder)
