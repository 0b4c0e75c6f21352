"""YAML text to a `Tree`: plain values that remember where in a file they stand, and what is wrong with them.

A safe part of YAML 1.2 is read, once: `1e-3` is a number and `no` is a string. Tags, anchors, aliases, directives,
further documents, duplicate keys, keys that are not text, numbers that are not finite, more than 1 MiB, more than 32
levels and more than 50,000 values are findings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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

from pabench.errors import SuiteError

# Bounds of what a hostile file costs: no suite is near them.
MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_EVENTS = 50_000  # values, keys, beginnings and ends: what takes some seconds to read
MAX_FINDINGS = 1_000  # what is looked for
SHOWN_FINDINGS = 100  # and told; a person mends some and asks again
MAX_DIGITS = 18  # what 64 bits with a sign hold, as readers of JSON and numpy do
Path = tuple[str | int, ...]


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


class Place(NamedTuple):
    """Where something stands: line and column of the file, both from 1, or in the n-th `--set`.

    Places sort as findings are told: in the order of the file, and overrides after it.
    """

    override: int
    line: int
    column: int


START = Place(0, 1, 1)


@dataclass
class Tree:
    """A document: its plain `value`, the place of each path (of the key, for a key of a mapping), and the findings.

    A path that is `refused` has a finding, and what stands there is not judged further.
    """

    file: str
    value: Any = None
    places: dict[Path, Place] = field(default_factory=lambda: {(): START})
    refused: set[Path] = field(default_factory=set)
    findings: list[tuple[Place, str]] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """The place of a path, or of the nearest thing around it."""
        return next(self.places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.places)

    def where(self, path: Path) -> str:
        """`file:line:column` of a path or of the nearest thing around it; `--set a.b` for what an override wrote."""
        place = self.place(path)
        return f"--set {dotted(path)}" if place.override else f"{self.file}:{place.line}:{place.column}"

    def line(self, path: Path, problem: str) -> str:
        """The one line a user meets: where, what, problem."""
        what = f"{dotted(path)}: " if path and not self.place(path).override else ""
        return printable(f"{self.where(path)}: {what}{problem}")

    def find(self, path: Path, problem: str) -> None:
        """Add a finding about a value; nothing is told twice of a value that is refused already."""
        if any(path[:n] in self.refused for n in range(len(path) + 1)):
            return
        self.findings.append((self.place(path), self.line(path, problem)))
        self.refused.add(path)

    def add(self, path: Path, problem: str) -> None:
        """Add a finding about a value that may have others, each told once; a refused value has none of them."""
        if len(self.findings) >= MAX_FINDINGS:
            return
        found = (self.place(path), self.line(path, problem))
        if found not in self.findings and not any(path[:n] in self.refused for n in range(len(path) + 1)):
            self.findings.append(found)

    def find_at(self, place: Place, path: Path, problem: str) -> None:
        """Add a finding about the text; what stands at the path, unless it is the document, is not judged further."""
        what = f"{dotted(path)}: " if path else ""
        self.findings.append((place, printable(f"{self.file}:{place.line}:{place.column}: {what}{problem}")))
        if path:
            self.refused.add(path)

    def overridden(self, path: Path, number: int) -> None:
        """What the n-th `--set` wrote at a path: what stood there before, with its findings, is forgotten."""
        self.places = {known: place for known, place in self.places.items() if known[: len(path)] != path}
        self.refused = {known for known in self.refused if known[: len(path)] != path}
        self.places[path] = Place(number, 0, 0)

    def within(self, key: str) -> Tree:
        """What stands under a key of the document, as a document of its own at the same places."""
        inner = Tree(self.file, self.value[key])
        inner.places = {(): self.place((key,))}
        inner.places |= {path[1:]: place for path, place in self.places.items() if path[:1] == (key,)}
        inner.refused = {path[1:] for path in self.refused if path[:1] == (key,)}
        inner.findings = list(self.findings)
        return inner

    def raise_findings(self) -> None:
        """Raise all findings, one a line; of very many the first, and how many there are besides."""
        if self.findings:
            lines = [line for _, line in sorted(self.findings)]
            more = len(lines) - SHOWN_FINDINGS
            raise SuiteError("\n".join(lines[:SHOWN_FINDINGS] + [f"and {more:,} more"] * (more > 0)))


def decode(data: bytes, tree: Tree) -> str:
    """The text of a file; too many bytes and a byte that is not UTF-8 are findings."""
    if len(data) > MAX_BYTES:
        tree.find_at(START, (), _TOO_LARGE)
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
        tree.find_at(START, (), _TOO_LARGE)
        return
    for number, line in enumerate(text.split("\n"), 1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent and line.strip():
            tree.find_at(Place(0, number, indent.index("\t") + 1), (), "a tab in the indentation; use spaces")
    if not tree.findings:
        _Reader(text, tree).read()


class _TooMuch(Exception):
    """Reading stops: the document is deeper or longer than anything a suite needs, as the message says."""


class _Reader:
    """One walk over the events of the parser, which expands nothing and recurses nowhere."""

    def __init__(self, text: str, tree: Tree) -> None:
        self.text = text
        self.tree = tree
        self.place = START
        self.events = self._events()

    def read(self) -> None:
        try:
            self._documents()
        except _TooMuch as error:
            self.tree.find_at(self.place, (), str(error))
        except ReaderError as error:
            problem = f"character U+{ord(self.text[error.position]):04X} is not allowed; remove it"
            self.tree.find_at(_place_in(self.text[: error.position]), (), problem)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = _place_of(mark) if mark else self.place
            problem = " ".join(str(error.problem or error.context).split())
            hints = (remedy for part, remedy in _REMEDIES.items() if part in problem)
            hint = next(hints, "check the indentation, quotes and brackets")
            self.tree.find_at(place, (), f"not YAML: {problem}; {hint}")
        except (ValueError, OverflowError) as error:
            # What ruamel.yaml raises from an escape such as "\ud800" or "\UFFFFFFFF".
            self.tree.find_at(self.place, (), f"not YAML: an escape names no character ({error}); remove it")

    def _events(self) -> Iterator[Event]:
        for number, event in enumerate(YAML(typ="safe", pure=True).parse(self.text)):
            self.place = _place_of(event.start_mark)
            if number > MAX_EVENTS:
                raise _TooMuch(f"more than {MAX_EVENTS:,} values; a suite names things, it holds no data")
            yield event

    def _documents(self) -> None:
        next(self.events)
        start: Any = next(self.events)
        if isinstance(start, StreamEndEvent):
            self.tree.find_at(START, (), "the file is empty; a suite starts with `protocol: pai-v1`")
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
            raise _TooMuch(f"nested deeper than {MAX_DEPTH} levels; write it flatter")
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
                first = self.tree.places[*path, key].line
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
            self.tree.find_at(
                self.place, path, f"{shown(text)} is not a finite number; write one that is, or put text in quotes"
            )
            return None
        return float(text) if _FLOAT.fullmatch(text) else text


def _place_in(before: str) -> Place:
    """Where a text goes on after `before`."""
    return Place(0, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _place_of(mark: Any) -> Place:
    return Place(0, mark.line + 1, mark.column + 1)


# --- In words -------------------------------------------------------------------------------------------------------


def dotted(path: Iterable[str | int]) -> str:
    """A path as messages and `--set` write it.

    >>> dotted(("criteria", 5, "steps"))
    'criteria.5.steps'
    """
    return ".".join(_short(str(part)) for part in path)


def shown(value: Any) -> str:
    """A value as messages name it.

    >>> shown("3"), shown(True), shown(None), shown([1])
    ('"3"', 'true', 'nothing', 'a list')
    """
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f'"{_short(value)}"'
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return _short(str(value))


def printable(text: str) -> str:
    r"""The text on one line and without terminal escapes.

    >>> printable("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
