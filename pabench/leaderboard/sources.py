"""Which files define the criteria of a study: found by their SHA-256, without importing anything."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import entry_points
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from pabench.errors import SuiteError
from pabench.source import bytes_digest
from pabench.suite.suite import parse

LARGEST = 2**17
"""Bytes of a file that is read: no criterion is longer, a folder may hold anything, and parsed a file takes 500 times
its size."""


def find(sources: Iterable[str], manifest: Mapping[str, Any], given: Iterable[Path]) -> dict[str, bytes]:
    """The files whose SHA-256 are `sources`, among those given, those the study was run with and installed plugins."""
    wanted = set(sources)
    found: dict[str, bytes] = {}
    for path in chain(given, _of_study(manifest), _installed()):
        if wanted <= set(found):
            break
        with suppress(OSError):
            data = path.read_bytes() if path.is_file() and path.stat().st_size <= LARGEST else b""
            if (sha := bytes_digest(data)) in wanted:
                found[sha] = data
    return found


def _of_study(manifest: Mapping[str, Any]) -> Iterator[Path]:
    """`--plugin` files of the study's command, files in `criteria/` beside its suite, and those its suite lists."""
    with suppress(ValueError):  # quotes that are not closed: whoever wrote it, no shell took it
        words = shlex.split(str(manifest.get("command", "")))
        yield from (Path(value) for flag, value in pairwise(words) if flag == "--plugin")
    suite = Path(str(manifest.get("suite_path") or "."))
    yield from sorted((suite.parent / "criteria").glob("*.py"))
    with suppress(SuiteError):
        parsed = parse(str(manifest.get("suite", "")), str(suite), manifest.get("overrides", ()))
        yield from (suite.parent / plugin for plugin in parsed.plugins)


def _installed() -> Iterator[Path]:
    """Python files of the distributions that offer criteria, pabench's own left out."""
    for entry in entry_points(group="pabench.criteria"):
        if entry.dist is not None and entry.dist.name != "pabench":
            yield from (Path(str(file.locate())) for file in entry.dist.files or () if file.suffix == ".py")
