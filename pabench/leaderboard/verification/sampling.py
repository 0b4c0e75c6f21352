"""Which cells of a submission are looked at again: at random, every criterion of every model before any twice."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pabench.leaderboard.verification.wellformed import Wellformed
from pabench.suite.ablations import INAPPLICABLE
from pabench.suite.cell import Cell
from pabench.suite.digest import digest

T = TypeVar("T")


def row(cell: Cell) -> str:
    """Hash of the leaderboard row of a cell: dataset, model, recipe, scoring, and the criterion with its parameters."""
    return digest([place(cell), cell.criterion.identity() if cell.criterion else None])


def place(cell: Cell) -> str:
    """Hash of what the rows of a leaderboard share: they are trained in one way."""
    recipe = cell.to_json()["recipe"]
    scoring = {**cell.scoring.scores, "dtype": cell.scoring.asked}.values()
    train = [] if cell.train.is_plain else [cell.train.identity()]
    return digest([cell.protocol, cell.dataset.identity(), cell.model.identity(), recipe, *scoring, *train])


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


Records = Mapping[str, Mapping[str, Any]]


def masked(cells: Iterable[Cell], records: Records, count: int, seed: int) -> list[Cell]:
    """A sample of finished cells with a mask of their own (not a parent's): plain ones of all rows before ablations."""
    own = [cell for cell in _finished(cells, records, "mask") if cell.ablation != "reinit"]
    first = sample(_by_row(cell for cell in own if not cell.ablation), count, seed)
    ablated = _by_row(cell for cell in own if cell.ablation)
    return first + (sample(ablated, count - len(first), seed) if count > len(first) else [])


def instead(cells: Iterable[Cell], records: Records, count: int, seed: int) -> list[Cell]:
    """A sample of finished plain cells that trained another network in place of a pruned one, of all rows first."""
    return sample(_by_row(cell for cell in _finished(cells, records, "model") if not cell.ablation), count, seed)


def ended(found: Wellformed, count: int, seed: int, *, training: bool) -> list[Cell]:
    """A sample of pruned cells that are said to have no result, of all rows: those of which the training failed or was
    none, or those that ended before it, with their scoring."""
    chosen = []
    for key, record in found.records.items():
        cell = found.cells[key]
        receipt = found.receipts.get(cell.pruning_key)
        # what a training has no use for is told before it begins, and its mask is there
        in_training = record["status"] == "failed" or record["kind"] == INAPPLICABLE
        trained = in_training and receipt is not None and receipt["status"] == "ok"
        if cell.criterion and record["status"] in ("failed", "skipped") and trained == training:
            chosen.append(cell)
    return sample(_by_row(chosen), count, seed)


def settings(cells: Iterable[Cell], records: Records) -> dict[str, list[list[Cell]]]:
    """Finished plain cells that differ in their seed alone, by row: what a reproduction compares."""
    found: dict[str, dict[float, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in _finished(cells, records):
        if cell.criterion and not cell.ablation:
            found[row(cell)][cell.sparsity].append(cell)
    return {name: list(by_sparsity.values()) for name, by_sparsity in found.items()}


def _finished(cells: Iterable[Cell], records: Records, part: str = "") -> list[Cell]:
    """The cells that have a result, and this part of a receipt."""
    found = [cell for cell in cells if cell.key in records and records[cell.key]["status"] == "ok"]
    return [cell for cell in found if not part or (records[cell.key]["receipt"] or {}).get(part) is not None]


def _by_row(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells by their row and ablation, of each of which a sample takes one before a second of any."""
    rows: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        rows[row(cell) + cell.ablation].append(cell)
    return rows
