"""`study.json` read cell by cell, what cells have in common being one object: a study has thousands of cells, of few
datasets, models, criteria and recipes.

Parsed as a whole a manifest takes ten times the memory of its text. Cells are parsed one at a time here, and what they
hold is kept once. What an honest manifest then takes is little, so one that takes much is refused before it has filled
the memory.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

import orjson

from pabench.errors import DataError
from pabench.store.envelope import MAX_VALUES, parse
from pabench.suite.digest import canonical

MAX_CELL = 2**16
"""Characters of a cell, which has some hundreds: its names stand in every line that is said of it."""
MAX_CELLS = 20_000
"""Of a submission."""
MAX_LISTED = 4 * MAX_CELLS
"""Files of a submission: of each cell a record, a receipt, a mask and what was measured."""
FIELDS = 16
"""Of a cell, which has nine: what it has besides counts as values of the manifest."""
CELLS, BETWEEN = b'"cells":[{', b"},{"
PARTS = (dict, list, str)
"""What cells may share."""


def read(data: bytes, *, limit: int, cells: int, values: int = MAX_VALUES) -> Any:
    """The strict JSON of a manifest of at most `limit` bytes and `cells` cells, with at most `values` values and keys
    besides, of which those that cells share are counted once. DataError: it is not that.

    Equal parts of cells are one object, which nobody may change. What is not written as pabench writes it is read as
    any other document of so many values.
    """
    if len(data) > limit:
        raise DataError(f"{len(data)} bytes, more than {limit}")
    begin = data.find(CELLS)
    listed, end = _listed(data, begin + len(CELLS) - 1, cells, values) if begin >= 0 else ([], 0)
    if not end:
        return parse(data, limit=limit, values=values)
    mark = next(text for n in count() if (text := b'"%d cells"' % n) not in data)
    view = memoryview(data)  # which takes no copy of either part
    outer = parse(b"".join((view[: begin + len(CELLS) - 2], mark, view[end:])), limit=limit, values=values)
    if not isinstance(outer, dict) or outer.get("cells") != mark.decode()[1:-1]:
        raise DataError("a list of cells that is not the study's")
    outer["cells"] = listed
    return outer


def _listed(data: bytes, at: int, cells: int, values: int) -> tuple[list[dict[str, Any]], int]:
    """The objects of a list, the first of which begins at `at`, and where the list has ended; 0 where it holds others.

    A text is cut where an object might end and the next one begin. If what is between two cuts is an object, the cut
    was right: objects that are joined by what was cut are a list of these objects and nothing else.
    """
    found: list[dict[str, Any]] = []
    known: dict[bytes, Any] = {}
    left = values
    while len(found) < cells:
        cell, at = _next(data, at)
        left -= max(0, len(cell) - FIELDS)
        shared = {}
        for name, part in cell.items():
            if isinstance(part, PARTS):
                text = _text(part)
                known_by = hashlib.sha256(text).digest()
                if known_by not in known:
                    known[known_by] = part
                    left -= text.count(b",") + 1
                part = known[known_by]
            shared[sys.intern(name)] = part
        if left < 0:
            raise DataError(f"cells that share too little: together more than {values:,} values")
        found.append(shared)
        behind = data[at : at + 2]
        if behind[:1] == b"]":
            return found, at + 1
        if behind != b",{":
            return found, 0
        at += 1
    raise DataError(f"more than {cells:,} cells")


def _next(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The object that begins at `at`, and where it has ended."""
    cut = data.find(BETWEEN, at, at + MAX_CELL) + 1
    if cut:
        with suppress(DataError):  # what ends there may be an object in a list within it
            return parse(data[at:cut]), cut
    text = data[at : at + MAX_CELL].decode(errors="replace")
    try:
        _, length = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        length = len(text)
    end = at + len(text[:length].encode())
    if end - at >= MAX_CELL:
        raise DataError(f"a cell of {MAX_CELL:,} characters or more")
    return parse(data[at:end]), end


def _text(part: Any) -> bytes:
    """A text of a part; equal texts are equal values."""
    try:
        return orjson.dumps(part)
    except TypeError:  # an integer of more than 64 bits, half a surrogate pair
        return repr(part).encode("ascii", "backslashreplace")


def digest(manifest: Mapping[str, Any]) -> str:
    """`suite.digest.digest` of a manifest, whose text as a whole would take as much memory as its file."""
    found = hashlib.sha256()
    for piece in _pieces(manifest):
        found.update(piece.encode())
    return found.hexdigest()


def _pieces(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The canonical JSON, cell by cell; what cells share is made a text once."""
    texts: dict[int, str] = {}

    def text(part: Any) -> str:
        if not isinstance(part, PARTS):
            return canonical(part)
        return texts.get(id(part)) or texts.setdefault(id(part), canonical(part))

    for number, (name, value) in enumerate(sorted(manifest.items())):
        yield f"{'{,'[number > 0]}{canonical(name)}:"
        if name != "cells" or not isinstance(value, list):
            yield canonical(value)
            continue
        for index, cell in enumerate(value):
            if isinstance(cell, dict) and cell:
                inner = ",".join(f"{text(name)}:{text(part)}" for name, part in sorted(cell.items()))
                yield f"{'[,'[index > 0]}{{{inner}}}"
            else:
                yield f"{'[,'[index > 0]}{canonical(cell)}"
        yield "]" if value else "[]"
    yield "}" if manifest else "{}"
