"""What one level of a verification found, and what became of each cell that it computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pabench.leaderboard.verification.folder import Flaw
from pabench.leaderboard.verification.sampling import place, row
from pabench.suite.cell import Cell

NAMES = {1: "well-formed", 2: "consistent", 3: "masks re-derived", 4: "reproduced"}


@dataclass(frozen=True)
class Recheck:
    """A sampled cell (level 3) or setting (level 4): what came of it here in a few words, and its flaws.

    `ended`: the submission says that it has no result. `more` stands beside the outcome, or in place of what
    is told of every cell.
    """

    cell: Cell
    outcome: str
    flaws: Sequence[Flaw] = ()
    ended: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def behind(self, flaws: Sequence[Flaw]) -> Recheck:
        """The same with these flaws before its own."""
        return replace(self, flaws=[*flaws, *self.flaws])

    def to_json(self) -> dict[str, Any]:
        cell, ended = self.cell, {"ended": True} if self.ended else {}
        told = {"key": cell.key, "title": cell.title, "row": row(cell), "place": place(cell), "outcome": self.outcome}
        return {**told, **ended, **self.more}


@dataclass(frozen=True)
class Level:
    """What one level found. `outcomes` are of the cells (3) or settings (4) that were sampled."""

    number: int
    flaws: tuple[Flaw, ...] = ()
    notes: tuple[str, ...] = ()
    outcomes: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, number: int, rechecks: Sequence[Recheck], notes: Sequence[str], *flaws: Flaw) -> Level:
        """The level that these make up; `flaws` are of no single one of them."""
        theirs = [flaw for one in rechecks for flaw in one.flaws]
        return cls(number, (*theirs, *flaws), tuple(notes), tuple(one.to_json() for one in rechecks))

    @property
    def passed(self) -> bool:
        """Nothing is wrong, and where cells are sampled there are some."""
        return not self.flaws and (self.number < 3 or bool(self.outcomes))

    def to_json(self) -> dict[str, Any]:
        return {
            "level": self.number,
            "name": NAMES[self.number],
            "passed": self.passed,
            "flaws": [flaw.to_json() for flaw in self.flaws],
            "notes": list(self.notes),
            "outcomes": [dict(outcome) for outcome in self.outcomes],
        }
