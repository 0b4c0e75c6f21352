"""YAML text to a `Tree`: a safe part of YAML 1.2, read once, every position kept.

`1e-3` is a number and `no` is a string. Tags, anchors, aliases, directives, further documents, duplicate keys, keys
that are not text, numbers that are not finite, more than 1 MiB and more than 32 levels are findings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from pabench.yamltree import Path, Place, Tree, shown

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_DIGITS = 18

# The core schema (YAML 1.2.2, section 10.3.2). ruamel's own resolver adds dates and `1_000`.
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_TOO_LARGE = "larger than 1 MiB; a suite names things, it holds no data"
_REMEDIES = {
    "'\\t'": "use spaces, not tabs",
    "mapping values are not allowed": 'put text that contains ": " in quotes',
    "unexpected end of stream": "close the quote",
    "special characters": "remove it",
    "block end": "align the lines of one list or mapping",
    "document start": "keep one document in a file",
}


def decode(data: bytes, tree: Tree) -> str:
    """The text of a file; too many bytes and a byte that is not UTF-8 are findings."""
    if len(data) > MAX_BYTES:
        tree.find_at((1, 1), (), _TOO_LARGE)
        return ""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place_in(data[: error.start].decode("utf-8"))
        tree.find_at(place, (), f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8")
        return ""


def read(text: str, tree: Tree) -> None:
    """Fill a tree from YAML text; what cannot be read is a finding."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        tree.find_at((1, 1), (), _TOO_LARGE)
        return
    for number, line in enumerate(text.split("\n"), 1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent and line.strip():
            tree.find_at((number, indent.index("\t") + 1), (), "a tab in the indentation; use spaces")
    if not tree.findings:
        _Reader(text, tree).read()


class _TooDeep(Exception):
    """Reading stops: the document is deeper than anything a suite needs."""


class _Reader:
    """One walk over the events of the parser, which expands nothing and recurses nowhere."""

    def __init__(self, text: str, tree: Tree) -> None:
        self.text = text
        self.tree = tree
        self.place: Place = (1, 1)
        self.events = self._events()

    def read(self) -> None:
        try:
            self._documents()
        except _TooDeep:
            self.tree.find_at(self.place, (), f"nested deeper than {MAX_DEPTH} levels; write it flatter")
        except ReaderError as error:
            problem = f"character U+{ord(self.text[error.position]):04X} is not allowed; remove it"
            self.tree.find_at(_place_in(self.text[: error.position]), (), problem)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = (mark.line + 1, mark.column + 1) if mark else self.place
            problem = " ".join(str(error.problem or error.context).split())
            hints = (remedy for part, remedy in _REMEDIES.items() if part in problem)
            hint = next(hints, "check the indentation, quotes and brackets")
            self.tree.find_at(place, (), f"not YAML: {problem}; {hint}")
        except (ValueError, OverflowError) as error:
            # What ruamel.yaml raises from an escape such as "\ud800" or "\UFFFFFFFF".
            self.tree.find_at(self.place, (), f"not YAML: an escape names no character ({error}); remove it")

    def _events(self) -> Iterator[Event]:
        for event in YAML(typ="safe", pure=True).parse(self.text):
            self.place = (event.start_mark.line + 1, event.start_mark.column + 1)
            yield event

    def _documents(self) -> None:
        next(self.events)
        start: Any = next(self.events)
        if isinstance(start, StreamEndEvent):
            self.tree.find_at((1, 1), (), "the file is empty; a suite starts with `protocol: pai-v1`")
            return
        if start.version or start.tags:
            self.tree.find_at(self.place, (), "a % directive; remove it, suites are YAML 1.2")
        root = next(self.events)
        self.tree.places[()] = self.place
        self.tree.value = self._node(root, ())
        if any(isinstance(event, DocumentStartEvent) for event in self.events):
            self.tree.find_at(self.place, (), "a second document; keep one document in a file")

    def _node(self, event: Any, path: Path) -> Any:
        if isinstance(event, AliasEvent):
            self.tree.find_at(self.place, path, f"the alias *{event.anchor}; write the value out")
            return None
        if event.anchor:
            self.tree.find_at(self.place, path, f"the anchor &{event.anchor}; remove it, suites have no aliases")
        if event.ctag is not None:
            self.tree.find_at(self.place, path, f"the tag {event.ctag}; remove it, values are plain")
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            raise _TooDeep
        return self._list(path) if isinstance(event, SequenceStartEvent) else self._mapping(path)

    def _list(self, path: Path) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            item = (*path, len(values))
            self.tree.places[item] = self.place
            values.append(self._node(event, item))
        return values

    def _mapping(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            place = self.place
            key = self._node(event, (*path, "?"))
            if not isinstance(key, str):
                self.tree.find_at(place, (), f"the key {shown(key)} is not text; put it in quotes")
                self._node(next(self.events), (*path, "?"))
                continue
            if key in values:
                first = self.tree.places[*path, key][0]
                self.tree.find_at(place, (*path, key), f"duplicate key; it stands in line {first} already")
            else:
                self.tree.places[*path, key] = place
            values[key] = self._node(next(self.events), (*path, key))
        return values

    def _scalar(self, event: ScalarEvent, path: Path) -> Any:
        text = event.value
        if re.search("[\ud800-\udfff]", text):
            self.tree.find_at(self.place, path, "an escape names half a character; remove it")
            return ""
        if not event.implicit[0]:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text):
            if len(text) <= MAX_DIGITS:
                return int(text, 0 if text[:2] in ("0o", "0x") else 10)
            self.tree.find_at(self.place, path, f"a number of more than {MAX_DIGITS} digits; put text in quotes")
            return None
        if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and not math.isfinite(float(text))):
            self.tree.find_at(self.place, path, f"{shown(text)} is not a finite number; put text in quotes")
            return None
        return float(text) if _FLOAT.fullmatch(text) else text


def _place_in(before: str) -> Place:
    line = before.count("\n") + 1
    return line, len(before) - before.rfind("\n")
