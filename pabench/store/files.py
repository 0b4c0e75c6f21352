"""Files that are whole or absent, whatever is killed or unplugged: written once, first writer wins.

A file is written under a temporary name in its own folder, synced, linked to its name, and the folder is synced.
`link` fails when the name exists, so of many writers one wins, without a lock and on network file systems too.
Where a file system has no hard links (FAT, some FUSE mounts) the name is looked up and the file renamed to it: files
are still whole, but two writers of one name in the same instant may both believe that they won.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pabench.errors import DataError, RefusedError

T = TypeVar("T")
TEMPORARY = ".tmp-"
ABANDONED_SECONDS = 600
"""A write takes seconds: what is older is of a process that was killed."""
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
FULL = {errno.ENOSPC, errno.EDQUOT}
NO_FOLDER = {errno.EEXIST, errno.ENOTDIR}
UNSETTLED = {errno.EEXIST, errno.ENOENT, errno.ESTALE}
"""What a network file system says of a folder that another machine is making: it exists and is none, it is missing."""
SETTLED_SECONDS = 1.0
"""How long it may say so; on GlusterFS it was 5 ms at most."""


def write_once(path: Path, data: bytes) -> bool:
    """True if this call gave the file its name; False if the name was taken. Durable in both cases on return."""
    with _refusals(path, len(data)), _temporary(path.parent, data) as temporary:
        try:
            os.link(temporary, path)
            won = True
        except FileExistsError:
            # over NFS the answer to a link that succeeded can be lost and the repeated request then fails
            won = os.stat(temporary).st_nlink == 2
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            won = not os.path.lexists(path)
            if won:
                os.rename(temporary, path)
        sync_folder(path.parent)
    return won


def replace(path: Path, data: bytes) -> None:
    """Give the name to new content at once: a reader sees the old or the new."""
    with _refusals(path, len(data)), _temporary(path.parent, data) as temporary:
        os.replace(temporary, path)
        sync_folder(path.parent)


def read(path: str | Path, *, limit: int, folder: int | None = None) -> bytes:
    """The bytes of a regular file, read once; `folder` is an open one that a relative path starts from.

    FileNotFoundError if absent; DataError for a link, a device, too many.
    """

    def attempt() -> bytes:
        # a pipe must not block, and what is behind a link is not what was asked for
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise DataError("no regular file")
            if status.st_size > limit:
                raise DataError(f"{status.st_size} bytes, more than {limit}")
            return _content(handle, status.st_size)
        finally:
            os.close(handle)

    try:
        try:
            return attempt()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            return attempt()  # over NFS: it was replaced just after it was opened
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path}: no such file") from None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
            raise DataError("no regular file") from None
        raise RefusedError(f"{path}: cannot be read ({error.strerror})") from None


def names(folder: Path) -> list[str]:
    """What is in a folder, in order, without files that are being written; nothing where there is no such folder."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith(TEMPORARY))
    except FileNotFoundError:
        return []
    except OSError as error:
        if error.errno == errno.ENOTDIR and not os.path.lexists(folder):  # a file is in the way to it
            return []
        raise RefusedError(f"{folder}: cannot be read ({error.strerror})") from None


def _content(handle: int, size: int) -> bytes:
    """The bytes of an open file, no more than were looked at and one, should it grow meanwhile."""
    data = os.read(handle, size + 1)
    while len(data) <= size and (more := os.read(handle, size + 1 - len(data))):
        data += more
    return data


def make_folders(*folders: Path) -> None:
    """Create folders with their parents, each entry synced; RefusedError where nothing can be written."""
    for folder in folders:
        with _refusals(folder / "x", 0):
            _make_folder(folder)


def check_writable(folder: Path) -> float:
    """Try what a commit does; returns the file system's own time, which on a network is not the machine's."""
    with _refusals(folder / "x", 1), _temporary(folder, b"x") as temporary:
        return os.stat(temporary).st_mtime


def clock(folder: Path) -> float:
    """The time by which files of a folder are dated; the machine's own where nothing can be written there."""
    try:
        return check_writable(folder)
    except RefusedError:
        return time.time()


def clear_abandoned(folder: Path, now: float) -> None:
    """Remove temporary files of writers that were killed minutes ago."""
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            old = now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_SECONDS
            if entry.name.startswith(TEMPORARY) and old:
                os.unlink(entry.path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time, for the rare steps that move a file away. The kernel frees it when its holder dies."""
    with _refusals(folder / ".lock", 0):
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems whose folders need no sync
            raise
    finally:
        os.close(handle)


def _make_folder(folder: Path) -> None:
    def make() -> None:
        if not folder.is_dir():
            _make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)

    _settled(folder, make)


def _settled(folder: Path, act: Callable[[], T]) -> T:
    """What `act` returns, tried again for a moment where another machine may be making the folder that it needs."""
    until = time.monotonic() + SETTLED_SECONDS
    while True:
        try:
            return act()
        except OSError as error:
            something_else = os.path.lexists(folder) and not os.path.isdir(folder)
            if error.errno not in UNSETTLED or something_else or time.monotonic() > until:
                raise
            time.sleep(0.01)


@contextlib.contextmanager
def _temporary(folder: Path, data: bytes) -> Iterator[Path]:
    """A synced file of this content, which is gone afterwards unless it was renamed."""
    path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = _settled(folder, lambda: os.open(path, new, 0o666))
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        yield path
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def _refusals(path: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise RefusedError(
                f"{path.parent}: disk full: {needed} bytes needed, {_free(path.parent)} free; make room and run the "
                "same command again, what is finished is kept"
            ) from error
        why = "a file is in its way" if error.errno in NO_FOLDER else error.strerror
        raise RefusedError(
            f"{path.parent}: cannot be written ({why}); expected a writable folder: choose one with -o"
        ) from error


def _free(folder: Path) -> str:
    try:
        return str(shutil.disk_usage(folder).free)
    except OSError:
        return "unknown"
