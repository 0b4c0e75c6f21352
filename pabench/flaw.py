"""What is wrong with somebody's results: which file, which cell, which field, what was expected and what is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pabench.wording import plain

LONGEST = 160


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

    def __str__(self) -> str:
        where = ": ".join(filter(None, [self.file, self.cell, self.field]))
        verdict = f"expected {_short(self.expected)}, found {_short(self.found)}"
        return plain(f"level {self.level}: {_short(where, 400)}: {verdict}").replace("\n", " ")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "text": str(self)}


def _short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
