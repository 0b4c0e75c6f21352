"""What a store says of a cell: whether its masks are there, and whether it is refused."""

from __future__ import annotations

from typing import Any

from pabench.store.store import Store
from pabench.store.verdict import DEGENERATE, remedy_of
from pabench.suite.cell import Cell

DONE = ("ok", "skipped", "failed")


def masked(store: Store, pruning_key: str) -> dict[str, Any] | None:
    """The receipt of a mask; None where a pruning made none: it failed, was declined, or names another network."""
    found = store.get("receipts", pruning_key)
    if found is None or found["status"] != "ok" or "mask" not in found["receipt"]:
        return None
    return dict(found["receipt"])


def has_masks(store: Store, cell: Cell) -> bool:
    """Whether a cell's masks need not be made: they are there, it needs none, or the criterion declined the network.

    A failed scoring is tried again for every cell that is open.
    """
    receipt = store.get("receipts", cell.pruning_key)
    if receipt is None or receipt["status"] == "failed":
        return False
    mask = None if receipt["status"] == "skipped" else receipt["receipt"].get("mask")
    return mask is None or store.has_mask(mask)


def refused(store: Store, cell: Cell) -> dict[str, Any]:
    """The part of a record that says that a cell is skipped, where the check found its ranking degenerate and the
    suite says `degenerate: refuse`; else nothing."""
    if cell.criterion is None or cell.scoring.degenerate != "refuse":
        return {}
    found = store.get("checks", cell.check_key)
    if found is None or found["status"] != "ok" or found["finding"]["verdict"] != DEGENERATE:
        return {}
    detail = found["finding"]["detail"] + remedy_of(found)
    flags = [{"flag": "degenerate", "detail": detail}]
    return {"status": "skipped", "kind": "degenerate", "message": detail, "flags": flags}
