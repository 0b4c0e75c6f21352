"""Plain values that remember where in a YAML file they stand, and what is wrong with them, one line a finding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pabench.errors import SuiteError

Path = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, both from 1


@dataclass
class Tree:
    """A document: its plain `value`, the place of each path (of the key, for a key of a mapping), and the findings."""

    file: str
    value: Any = None
    places: dict[Path, Place] = field(default_factory=lambda: {(): (1, 1)})
    overridden: list[Path] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)
    findings: list[tuple[tuple[int, ...], str]] = field(default_factory=list)

    def where(self, path: Path) -> str:
        """`file:line:column` of a path or of the nearest thing around it; `--set a.b` for what an override wrote."""
        if self._override(path) is not None:
            return f"--set {dotted(path)}"
        line, column = self._place(path)
        return f"{self.file}:{line}:{column}"

    def line(self, path: Path, problem: str) -> str:
        """The one line a user meets: where, what, problem."""
        where = self.where(path)
        named = path and self._override(path) is None
        return printable(f"{where}: {dotted(path)}: {problem}" if named else f"{where}: {problem}")

    def find(self, path: Path, problem: str) -> None:
        """Add a finding about a value; nothing is told twice of a value that is refused already."""
        if any(path[:n] in self.refused for n in range(len(path) + 1)):
            return
        override = self._override(path)
        order = (0, *self._place(path)) if override is None else (1, override, 0)
        self.findings.append((order, self.line(path, problem)))
        self.refused.add(path)

    def find_at(self, place: Place, path: Path, problem: str) -> None:
        """Add a finding about the text; what stands at the path, unless it is the document, is not judged further."""
        what = f"{dotted(path)}: " if path else ""
        self.findings.append(((0, *place), printable(f"{self.file}:{place[0]}:{place[1]}: {what}{problem}")))
        if path:
            self.refused.add(path)

    def find_override(self, assignment: str, problem: str) -> None:
        """Add a finding about a `--set` that could not be applied."""
        name = assignment.partition("=")[0].strip()
        self.findings.append(((1, len(self.overridden), 1), printable(f"--set {name}: {problem}")))

    def raise_findings(self) -> None:
        """Raise all findings, in the order of the file, one a line; overrides last."""
        if self.findings:
            raise SuiteError("\n".join(line for _, line in sorted(self.findings)))

    def _override(self, path: Path) -> int | None:
        hits = [i for i, known in enumerate(self.overridden) if path[: len(known)] == known]
        return hits[-1] if hits else None

    def _place(self, path: Path) -> Place:
        return next(self.places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.places)


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
