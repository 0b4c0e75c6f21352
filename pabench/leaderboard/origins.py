"""What a board says of a criterion besides its numbers: of which kinds it is, its paper, and how to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pabench.leaderboard.boards import Badge, Comparable
from pabench.report.frame import rerun_all
from pabench.report.papers import Paper, paper

KINDS = ("data-free", "data-dependent", "one-shot", "iterative", "reference line")
"""In the order in which a reader chooses among them."""


@dataclass(frozen=True)
class Origin:
    """A criterion of a board, the `number`-th of its table.

    `command` runs its cells again as the study did whose results are shown; `suite` is that study's slug, whose page
    has the suite.
    """

    number: int
    kinds: tuple[str, ...]
    badge: Badge
    paper: Paper
    command: str
    studies: Sequence[str]

    @property
    def verified(self) -> str:
        """Whether somebody else has checked its results, for the page's filter."""
        return "yes" if self.badge.level else "no"


def origins(board: Comparable) -> dict[str, Origin]:
    """By criterion, in the order of the table."""
    return {one.criterion: _origin(n, one.criterion, board) for n, one in enumerate(board.board.lines, start=1)}


def _origin(number: int, name: str, board: Comparable) -> Origin:
    rows = board.frame[board.frame["criterion"] == name]
    study = next(one for one in board.members if one.slug == rows["study"].iloc[0])
    cell = study.study.cells[rows["key"].iloc[0]]
    assert cell.criterion  # the dense baseline is no line of the table
    return Origin(
        number,
        kinds(rows),
        board.badges[name],
        paper(cell.criterion.name),
        rerun_all(cell, study.study.manifest),
        board.studies[name],
    )


def kinds(rows: pd.DataFrame) -> tuple[str, ...]:
    """Those of a criterion, from its cells: whether it is one, whether it looks at images, and in how many rounds it
    scores, where a record says that."""
    if (rows["reference_line"] != "").any():
        return ("reference line",)
    data = "data-dependent" if rows["batch"].max() else "data-free"
    rounds = rows["rounds"].max()
    return (data,) if pd.isna(rounds) else (data, "iterative" if rounds > 1 else "one-shot")


def offered(found: Mapping[str, Origin]) -> list[str]:
    """The kinds that there are, for a menu."""
    there = {kind for origin in found.values() for kind in origin.kinds}
    return [kind for kind in KINDS if kind in there]
