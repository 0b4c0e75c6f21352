"""Cells that are said to have no result, tried again: what failed or was skipped there does so here.

A submitter who may call bad seeds failures has only good ones. Lack of memory and of data, crashes and timeouts are of
a machine and of a moment: that another one has a result accuses nobody, and earns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pabench.cell import Cell
from pabench.flaw import Flaw
from pabench.rerun import Rerun, Where, why
from pabench.state import refused
from pabench.wellformed import Wellformed

MACHINE = ("data", "oom", "io", "timeout", "crash")
"""Kinds of failures that another machine, or another moment, may not have."""
UNCHECKED = ("data", "oom", "io", "timeout")
"""Kinds for which nothing is known of the submission where they happen here."""


def first_checked(found: Wellformed, cell: Cell) -> Cell:
    """The cell whose block the check before a study looked at, for all cells of a criterion and a network."""
    return next(one for one in found.cells.values() if one.check_key == cell.check_key)


def pruned_again(found: Wellformed, cell: Cell, made: Rerun, where: Where) -> tuple[list[Flaw], str]:
    """Level 3, of a cell that is said to have ended before its training: flaws, and what came of it here."""
    record, receipt = found.records[cell.key], made.receipt(cell)
    refusable = record["kind"] == "degenerate" and cell.scoring.degenerate == "refuse"
    if refusable and _degenerate(cell, made, receipt):
        return [], "degenerate here, too"
    if receipt is None or receipt["status"] != "ok":
        return _told(3, cell, record, receipt)
    # a resumed study may have checked another seed first than the one that was looked at here
    unable = refusable or record["kind"] in MACHINE or not where.alike(record)
    return [_flaw(3, cell, record, "its masks were made here", unable)], "masks, which it is said not to have"


def trained_again(found: Wellformed, cell: Cell, made: Rerun, where: Where) -> tuple[list[Flaw], str]:
    """Level 4, of a cell whose training is said to have failed."""
    record, again = found.records[cell.key], made.record(cell)
    if again is None or again["status"] != "ok":
        return _told(4, cell, record, again)
    unable = record["kind"] in MACHINE or not where.alike(record)
    top1 = again["result"]["top1"]
    return [_flaw(4, cell, record, f"trained here to {top1:.2f} % top-1", unable)], f"{top1:.2f} %, said to be none"


def _degenerate(cell: Cell, made: Rerun, receipt: Mapping[str, Any] | None) -> bool:
    flags = receipt["flags"] if receipt else []
    return bool(refused(made.store, made.cells[cell.key])) or any(flag["flag"] == "degenerate" for flag in flags)


def _told(level: int, cell: Cell, record: Mapping[str, Any], again: Mapping[str, Any] | None) -> tuple[list[Flaw], str]:
    """Of a cell that has no result here, either; one that ends here for want of something shows nothing."""
    if again is None or (again["kind"] in UNCHECKED and again["kind"] != record["kind"]):
        return [_flaw(level, cell, record, why(again), unable=True)], "not checked"
    return [], f"{again['status']} here, too ({again['kind']})"


def _flaw(level: int, cell: Cell, record: Mapping[str, Any], there: str, unable: bool) -> Flaw:
    expected = f"{record['status']} ({record['kind']}), as the record says"
    return Flaw(level, f"records/{cell.key}.json", expected, there, "status", cell.title, unable)
