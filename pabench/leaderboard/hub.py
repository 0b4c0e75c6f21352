"""Results folders, submissions and sites on the Hugging Face Hub, with a list of all files and their SHA-256.

A study is a dataset repository there, a site a static Space. The list, SHA256SUMS as `sha256sum -c` reads it, is sent
last: where it lacks, or says otherwise, the folder is not whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pabench.errors import DataError, MissingError, PabenchError, RefusedError
from pabench.leaderboard import sitefiles
from pabench.leaderboard.verification.folder import FOLDERS, README, STUDY, SUBMISSION, TOP
from pabench.source import bytes_digest
from pabench.store import files as stored
from pabench.words import one_line

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
PAGE = "report.html"
EACH = 500
"""Files of a commit: the Hub takes hundreds at a time."""
AT_ONCE = 8
"""Downloads beside each other."""
LARGEST = 2**30
"""Bytes of a file; nothing that pabench writes is larger."""
Kind = Literal["dataset", "space"]


@dataclass(frozen=True)
class Copied:
    """What was copied: the repository as `pull` takes it, how many files, how many of them were not there, bytes."""

    repo: str
    files: int
    new: int
    bytes: int


def contents(folder: Path) -> tuple[Kind, list[str]]:
    """What a folder is on the Hub, and which of its files are sent: those that others can use.

    Of a study no logs, no history and nothing broken; of a site what `publish` wrote. MissingError: it is neither.
    """
    if listed := sitefiles.manifest(folder):
        own = [name for name in sitefiles.KEPT if (folder / name).is_file()]
        return "space", sorted({*listed, sitefiles.MANIFEST, *own})
    submitted = (folder / SUBMISSION).is_file()
    if not submitted and not (folder / STUDY).is_file():
        raise MissingError(f"{folder}: no {STUDY} and no {sitefiles.MANIFEST}; expected a results folder or a site")
    top = [name for name in (*TOP, PAGE) if name != README and (folder / name).is_file()]
    # in a results folder what is called `criteria` is somebody's own
    inner = [name for name in FOLDERS if (folder / name).is_dir() and (submitted or name != "criteria")]
    inside = [f"{name}/{file}" for name in inner for file in os.listdir(folder / name) if FOLDERS[name][0].match(file)]
    return "dataset", sorted([*top, *inside])


def push(folder: Path, repo: str, *, public: bool = False) -> Copied:
    """Send a folder to the repository `USER/NAME`, which is made where it is not there: private, unless `public`.

    What is there and in no folder any more stays. MissingError: the Hub does not answer, or takes nothing from here.
    """
    kind, names = contents(folder)
    sizes = {name: (folder / name).stat().st_size for name in names}
    sums = {name: bytes_digest(stored.read(folder / name, limit=LARGEST)) for name in names}
    with _hub() as (hub, add):
        sdk = {"space_sdk": "static"} if kind == "space" else {}
        hub.create_repo(repo, repo_type=kind, private=not public, exist_ok=True, **sdk)
        commit = partial(hub.create_commit, repo, repo_type=kind)
        for i in range(0, len(names), EACH):
            added = [add(name, str(folder / name)) for name in names[i : i + EACH]]
            commit(operations=added, commit_message=f"{folder.name}: {len(added)} files")
        text = "".join(f"{sums[name]}  {name}\n" for name in names)
        commit(operations=[add(SUMS, text.encode())], commit_message=f"{folder.name}: {SUMS}")
    return Copied(f"spaces/{repo}" if kind == "space" else repo, len(names), len(names), sum(sizes.values()))


def pull(repo: str, out: Path) -> Copied:
    """Fetch a repository, `USER/NAME` or `spaces/USER/NAME`, into a folder: all of it, or nothing.

    Files that are there and the same stay. DataError: one does not match its SHA-256, or the repository is no whole
    folder of pabench; RefusedError: a file is there and another; MissingError: the Hub does not answer, or has none.
    """
    kind, name = ("space", repo.removeprefix("spaces/")) if repo.startswith("spaces/") else ("dataset", repo)
    stored.make_folders(out.parent)
    with TemporaryDirectory(prefix=".pabench-pull-", dir=out.parent) as scratch, _hub() as (hub, _):
        commit = hub.repo_info(name, repo_type=kind).sha  # one state of it, whatever is sent meanwhile
        fetch = partial(hub.hf_hub_download, name, repo_type=kind, revision=commit, local_dir=scratch)
        if not hub.file_exists(name, SUMS, repo_type=kind, revision=commit):
            raise DataError(f"{repo}: no {SUMS}: not sent by `pabench push`, or not to its end")
        sums = _sums(repo, Path(fetch(SUMS)).read_text())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(fetch, sums))
        return _placed(repo, Path(scratch), out, sums)


def _placed(repo: str, scratch: Path, out: Path, sums: Mapping[str, str]) -> Copied:
    """Everything is compared before anything is written."""
    new, total = [], 0
    for name, sha in sums.items():
        data = stored.read(scratch / name, limit=LARGEST)
        total += len(data)
        if bytes_digest(data) != sha:
            raise DataError(f"{repo}: {name}: {len(data)} bytes do not match their SHA-256; nothing was written")
        if not os.path.lexists(out / name):
            new.append(name)
        elif bytes_digest(stored.read(out / name, limit=LARGEST)) != sha:
            raise RefusedError(f"{out / name}: is there, and another; choose another folder with -o")
    for name in new:
        stored.make_folders((out / name).parent)
        if not stored.write_once(out / name, (scratch / name).read_bytes()):
            raise RefusedError(f"{out / name}: written by somebody else meanwhile; choose another folder with -o")
    return Copied(repo, len(sums), len(new), total)


def _sums(repo: str, text: str) -> dict[str, str]:
    """SHA-256 by file. DataError: a line says something else, or leads out of the folder."""
    found = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        path = PurePosixPath(match[2]) if match else PurePosixPath("/")
        if match is None or path.is_absolute() or ".." in path.parts or path.parts[0] in (SUMS, ".git", ".cache"):
            raise DataError(f"{repo}: {SUMS}: {one_line(line, 200)!r} is no SHA-256 and file")
        found[match[2]] = match[1]
    return found


@contextmanager
def _hub() -> Iterator[tuple[Any, Any]]:
    """The client of `huggingface_hub`, which finds user and token by itself, and what makes a file part of a commit."""
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise MissingError(f"{error}; pip install 'pabench[hub]'") from None
    disable_progress_bars()
    try:
        yield HfApi(endpoint=os.environ.get("HF_ENDPOINT")), CommitOperationAdd
    except PabenchError:
        raise
    except Exception as error:  # of the Hub, of the network, of a name that is none: the client has many, and says why
        raise MissingError(f"Hugging Face Hub: {one_line(error)}") from error
