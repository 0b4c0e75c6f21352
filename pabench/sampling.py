"""Which cells of a submission are looked at again: at random, every criterion of every model before any twice."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pabench.cell import Cell, digest

if TYPE_CHECKING:
    from pabench.wellformed import Wellformed

T = TypeVar("T")


def row(cell: Cell) -> str:
    """Hash of the leaderboard row of a cell: dataset, model, recipe, scoring, and the criterion with its parameters."""
    return digest([place(cell), cell.criterion.identity() if cell.criterion else None])


def place(cell: Cell) -> str:
    """Hash of what the rows of a leaderboard share."""
    recipe = cell.to_json()["recipe"]
    return digest([cell.protocol, cell.dataset.identity(), cell.model.identity(), recipe, cell.scoring.dtype])


def identified(cell: Cell) -> dict[str, Any]:
    """Which cell, and which row of a leaderboard, an outcome is about."""
    return {"key": cell.key, "title": cell.title, "row": row(cell), "place": place(cell)}


def sample(groups: Mapping[str, Iterable[T]], count: int, seed: int) -> list[T]:
    """`count` items in random order of the groups, one of each group before a second of any; 0: one of each."""
    draw = random.Random(seed)
    piles = {name: list(items) for name, items in sorted(groups.items())}
    for pile in piles.values():
        draw.shuffle(pile)
    picked: list[T] = []
    wanted = count or len(piles)
    while len(picked) < wanted and any(piles.values()):
        names = [name for name, pile in piles.items() if pile]
        draw.shuffle(names)
        picked += [piles[name].pop() for name in names[: wanted - len(picked)]]
    return picked


def masked(cells: Iterable[Cell], records: Mapping[str, Mapping[str, Any]], count: int, seed: int) -> list[Cell]:
    """A sample of finished cells with a mask of their own (not a parent's): plain ones of all rows before ablations."""
    plain: dict[str, list[Cell]] = defaultdict(list)
    ablated: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        record = records.get(cell.key)
        if record and record["status"] == "ok" and cell.ablation != "reinit" and (record["receipt"] or {}).get("mask"):
            (ablated if cell.ablation else plain)[row(cell) + cell.ablation].append(cell)
    first = sample(plain, count, seed)
    return first + (sample(ablated, count - len(first), seed) if count > len(first) else [])


def ended(found: Wellformed, count: int, seed: int, *, training: bool) -> list[Cell]:
    """A sample of pruned cells that are said to have no result, of all rows: those of which the training failed, or
    those that ended before it, with their scoring."""
    groups: dict[str, list[Cell]] = defaultdict(list)
    for key, record in found.records.items():
        cell = found.cells[key]
        receipt = found.receipts.get(cell.pruning_key)
        trained = record["status"] == "failed" and receipt is not None and receipt["status"] == "ok"
        if cell.criterion and record["status"] in ("failed", "skipped") and trained == training:
            groups[row(cell) + cell.ablation].append(cell)
    return sample(groups, count, seed)


def settings(cells: Iterable[Cell], records: Mapping[str, Mapping[str, Any]]) -> dict[str, list[list[Cell]]]:
    """Finished plain cells that differ in their seed alone, by row: what a reproduction compares."""
    found: dict[str, dict[float, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        if cell.key in records and records[cell.key]["status"] == "ok" and cell.criterion and not cell.ablation:
            found[row(cell)][cell.sparsity].append(cell)
    return {name: list(by_sparsity.values()) for name, by_sparsity in found.items()}
