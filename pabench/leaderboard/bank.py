"""A results bank: finished cells of others, taken over instead of computed again, with their origin in the record.

A bank is a results folder, a submission or a published site. A cell is taken only under its own key, which covers all
that can change its result but the machine; and only where this machine makes the same initial weights, data order,
augmentation and scoring batch, without which nothing would be paired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pabench.errors import DataError, MissingError, RefusedError
from pabench.leaderboard.verification.folder import STUDY, Flaw, content, read
from pabench.source import bytes_digest
from pabench.store.envelope import seal
from pabench.store.figures import about
from pabench.store.record import ENVIRONMENT, PARTS, labels
from pabench.store.store import Store
from pabench.store.verdict import OF_BANK
from pabench.suite.ablations import alike
from pabench.suite.cell import Cell, facts
from pabench.words import count, plain

if TYPE_CHECKING:
    from pabench.leaderboard.verification.wellformed import Wellformed

TAKEN = ("ok", "skipped")
"""What failed there may not fail here."""
SITE = "data/v1/studies"
"""Where a published site keeps its submissions, each in a folder of its own."""
Pairing = Callable[[Cell], Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class Bank:
    """One study of a bank."""

    name: str
    found: Wellformed
    digest: str

    @property
    def label(self) -> str:
        return f"{self.name} ({self.digest[:12]})"

    def offers(self, cell: Cell) -> bool:
        """Whether it has finished the cell."""
        return self.found.records.get(cell.key, {}).get("status") in TAKEN

    def lacks_mask(self, key: str) -> bool:
        """Whether the record of a cell names a mask that the bank has not."""
        sha = (self.found.records[key]["receipt"] or {}).get("mask")
        return bool(sha) and sha not in self.found.foreign.masks


def open_banks(paths: Iterable[Path]) -> list[Bank]:
    """The studies of each bank, in order. MissingError: it is none; DataError: one does not pass levels 1 and 2."""
    return [_opened(folder) for path in paths for folder in _studies(path)]


def _studies(path: Path) -> list[Path]:
    site = path / SITE
    folders = [path] if (path / STUDY).is_file() else sorted(p.parent for p in site.glob(f"*/{STUDY}"))
    if not folders:
        raise MissingError(
            f"--bank {path}: no {STUDY} and no {SITE}; expected a results folder, a submission or a published site"
        )
    return folders


def _opened(folder: Path) -> Bank:
    # the models of all that a submission holds, of which a run without banks needs nothing
    from pabench.leaderboard.verification import consistent, maskless, wellformed

    found = wellformed.check(read(folder))
    listed = maskless.whole(found.foreign)
    absent = {f"records/{cell.key}.json" for cell in found.missing}

    def broken(flaws: Iterable[Flaw]) -> list[Flaw]:
        """A bank may be a study in the making, or one whose site keeps no masks: what is there counts."""
        return [flaw for flaw in (maskless.besides(flaws) if listed else flaws) if flaw.file not in absent]

    # level 2 trusts what level 1 has found in order
    if wrong := broken(found.flaws) or broken(consistent.check(found)):
        raise DataError(f"--bank {folder}: {wrong[0]}; `pabench verify {folder}` says all")
    return Bank(plain((found.foreign.study or {})["name"]), found, listed or found.foreign.digest)


def offered(banks: Iterable[Bank], cells: Sequence[Cell]) -> dict[str, Bank]:
    """By key of a cell the first bank that has finished it."""
    found: dict[str, Bank] = {}
    for bank in banks:
        found |= {cell.key: bank for cell in cells if cell.key not in found and bank.offers(cell)}
    return found


def told(banks: Sequence[Bank], found: Mapping[str, Bank]) -> str:
    """How many cells come from which bank, and how many of their masks do not."""
    counts = Counter(bank.label for bank in found.values())
    lacking = sum(bank.lacks_mask(key) for key, bank in found.items())
    remade = f"; without {count(lacking, 'mask')}, which a submission needs and the run makes again" if lacking else ""
    return ", ".join(f"{counts[bank.label]} of {bank.label}" for bank in banks) + remade


def draw(
    store: Store, cells: Iterable[Cell], banks: Mapping[str, Bank], here: Mapping[str, Any], pairing: Pairing
) -> None:
    """Put the cells that banks have (`offered`) into the store.

    `here` is this machine's environment: a cell of another is flagged. `pairing(cell)` is what this machine makes for
    the cell's block. RefusedError: a bank's cells cannot be paired with what is computed here.
    """
    taken = [cell for cell in cells if cell.key in banks]
    own = {cell.block: cell.dense() for cell in taken}
    made = {block: pairing(cell) for block, cell in own.items()}
    # before anything is taken: a store with cells of two pairings is of no use
    for cell in taken:
        _refuse_unpaired(cell, banks[cell.key], made[cell.block], here)
    for cell in taken:
        _take(store, cell, banks[cell.key], here)
    for bank in dict.fromkeys(banks.values()):
        keys = {key for cell in taken if banks[cell.key] is bank for key in (cell.key, cell.pruning_key)}
        for key, data in about(bank.found.foreign.all("metrics"), keys).items():
            store.commit("metrics", key, data)


def reasons(banks: Iterable[Bank], cells: Iterable[Cell]) -> list[str]:
    """Why cells that a bank seems to have are not taken from it: what differs, by criterion."""
    known = {cell.title: cell for bank in banks for cell in bank.found.cells.values()}
    counts: Counter[str] = Counter()
    for cell in cells:
        like = known.get(cell.title, cell)
        if like.key != cell.key:
            mine, theirs = facts(cell), facts(like)
            differing = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
            counts[f"{labels(cell)['criterion']}: the bank's has another {', '.join(differing)}"] += 1
    return [f"{count(n, 'cell')} of {what}" for what, n in counts.items()]


def _refuse_unpaired(cell: Cell, bank: Bank, own: Mapping[str, str], here: Mapping[str, Any]) -> None:
    record = bank.found.records[cell.key]
    for part in PARTS:
        theirs = record["pairing"].get(part)
        if theirs and not alike(cell.ablation, part) and theirs != own.get(part):
            there = "; ".join(_environments(record, here)) or "the same torch, timm and device"
            raise RefusedError(
                f"--bank {bank.found.foreign.folder}: {cell.title}: its {part.replace('_', ' ')} are not what this "
                f"machine makes ({there}), so nothing run here is paired with it; run without --bank, or where the "
                "bank was made"
            )


def _take(store: Store, cell: Cell, bank: Bank, here: Mapping[str, Any]) -> None:
    """Put a cell into the store, its mask and its receipt before its record."""
    foreign, record = bank.found.foreign, bank.found.records[cell.key]
    receipt = bank.found.receipts.get(cell.pruning_key)
    if receipt is not None:
        sha = (receipt["receipt"] or {}).get("mask")
        if sha in foreign.masks:
            store.put_mask(content(foreign.folder, f"masks/{sha}.safetensors", sha))
        store.commit("receipts", cell.pruning_key, receipt)
    mine = {**record["cell"], "dataset": {**record["cell"]["dataset"], "path": cell.dataset.path}}
    if cell.model.checkpoint:
        mine["model"] = cell.model.plain
    # where a bank's cell was taken from another bank, its flag was of that one's reader
    flags = [flag for flag in record["flags"] if flag["flag"] != OF_BANK]
    if differing := _environments(record, here):
        flags.append({"flag": OF_BANK, "detail": f"of the bank {bank.label}: {'; '.join(differing)}"})
    taken = {**record, "cell": mine, "flags": flags, "bank": _origin(bank, record)}
    store.commit("records", cell.key, taken, replace_failed=True)


def _origin(bank: Bank, record: Mapping[str, Any]) -> dict[str, Any]:
    """Where a record is from; `via` says where the bank has it from."""
    via = {"via": record["bank"]} if "bank" in record else {}
    return {"study": bank.name, "digest": bank.digest, "record": bytes_digest(seal(dict(record))), **via}


def _environments(record: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    there = record["environment"]
    return [f"{k} {there.get(k)} there, {here[k]} here" for k in ENVIRONMENT if there.get(k) != here[k]]
