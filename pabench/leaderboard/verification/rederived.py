"""Level 3: masks are re-derived. The criterion is run again on sampled cells and gives the submitted masks.

Cells that are said to have no result are tried again, too (at level 4 those whose training failed): a submitter who may
call bad seeds failures has only good ones. Lack of memory and of data, crashes and timeouts are of a machine and of a
moment: that another one has a result accuses nobody, and earns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pabench.errors import DataError
from pabench.leaderboard.verification.criteria import asked, kind, receipts
from pabench.leaderboard.verification.folder import Flaw, content
from pabench.leaderboard.verification.level import Level, Recheck
from pabench.leaderboard.verification.rerun import Rerun, Where, excused, rerun, why
from pabench.leaderboard.verification.sampling import ended, instead, masked
from pabench.leaderboard.verification.wellformed import Wellformed
from pabench.networks.size import flops, parameters
from pabench.store import maskbits
from pabench.store.record import MACHINE, NUMERICS, PARTS
from pabench.store.state import refused
from pabench.suite.cell import Cell
from pabench.suite.specs import ModelSpec
from pabench.training.block import Block

LEVEL = 3
OVERLAP = {("float64", True): 0.99, ("float64", False): 0.99, ("float32", True): 0.95}
"""The least share of common weights (Jaccard) by dtype of the scores and whether they were scored once, where the
hardware is another: rounding moves weights at the threshold alone. Iterative float32 masks have none: two correct
computations differ in 10 to 50 % of the kept weights, so that only equal masks prove anything."""
EXCUSED = (*MACHINE, "crash")
"""Kinds of failures there that another machine, or another moment, may not have; a crash here is the submission's."""
FLOPS = 1e-6
"""Of a network's own FLOPs, by which those of its mask may differ: they are a rounded sum of shares of layers."""
Bits = Mapping[str, np.ndarray[Any, Any]]


def check(found: Wellformed, count: int, seed: int, where: Where) -> Level:
    """Masks of a sample of cells, and a sample of cells without one. MissingError, PluginError: see `rerun`."""
    cells = [
        *masked(found.cells.values(), found.records, count, seed),
        *instead(found.cells.values(), found.records, count, seed),
    ]
    if not cells:
        return Level(LEVEL, (Flaw(LEVEL, "records", "finished cells with a mask", "none", unable=True),))
    without = ended(found, count, seed, training=False)
    checked = [_first_checked(found, cell) for cell in without if cell.scoring.degenerate == "refuse"]
    with rerun(found.foreign, [*cells, *without], where, training=False, checked=checked) as made:
        rechecks = [_compared(found, cell, made, where) for cell in cells]
        rechecks += [_pruned_again(found, cell, made, where) for cell in without]
        notes = list(made.notes)
    if ended(found, count, seed, training=True):
        notes.append("cells of which the training failed are there: level 4 trains a sample of them again")
    return Level.of(LEVEL, rechecks, notes)


# --- masks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Again:
    """A cell that was pruned again: `own` is this machine's version of it, `receipt` what was made here."""

    found: Wellformed
    cell: Cell
    own: Cell
    record: Mapping[str, Any]
    receipt: Mapping[str, Any]
    where: Where

    @property
    def alike(self) -> bool:
        return self.where.alike(self.record)

    def flaw(self, field: str, expected: str, found: str, *, unable: bool = False) -> Flaw:
        return _flaw(LEVEL, self.cell, field, expected, found, unable)

    def recheck(self, outcome: str, expected: str, found: str, *, unable: bool = False) -> Recheck:
        """What came of it, with what is wrong with its mask."""
        return Recheck(self.cell, outcome, [self.flaw("receipt.mask", expected, found, unable=unable)])

    def content(self) -> bytes:
        """The submitted mask file, as level 1 read it."""
        sha = self.record["receipt"].get("mask")
        return content(self.found.foreign.folder, f"masks/{sha}.safetensors", sha)


def _compared(found: Wellformed, cell: Cell, made: Rerun, where: Where) -> Recheck:
    receipt = made.receipt(cell)
    if receipt is None or receipt["status"] != "ok":
        nothing = _flaw(LEVEL, cell, "receipt", "a mask", why(receipt), excused(receipt))
        return Recheck(cell, "no mask", [nothing])
    again = _Again(found, cell, made.cells[cell.key], found.records[cell.key], receipt, where)
    if (unlike := _other_kind(again) or _unpaired(again)) is not None:
        return unlike
    flaws = [*asked(cell, again.own), *receipts(cell, again.record, receipt, alike=again.alike)]
    if "model" in again.record["receipt"]:
        outcome = "other network" if flaws else "the same network"
        return Recheck(cell, outcome, [*flaws, *_network_sizes(again)])
    return _masks(again, made).behind(flaws)


def _other_kind(again: _Again) -> Recheck | None:
    """Where one has a mask and the other another network in place of a pruned one, nothing else compares."""
    here, there = kind(again.receipt["receipt"]), kind(again.record["receipt"])
    if here == there:
        return None
    return Recheck(again.cell, "no mask", [again.flaw("receipt.model", f"{here} (made here)", there)])


def _unpaired(again: _Again) -> Recheck | None:
    """Scores of other weights or images give another mask: nothing else compares."""
    stated, derived = again.record["pairing"], again.receipt["pairing"]
    part = next((part for part in PARTS if stated.get(part) != derived.get(part)), None)
    if part is None:
        return None
    there, here = again.record["environment"], again.where.environment()
    environments = ", ".join(f"{k} {there.get(k)} there, {here[k]} here" for k in NUMERICS)
    expected, told = f"{derived.get(part)} (made here)", f"{stated.get(part)} ({environments})"
    return Recheck(again.cell, f"other {part}", [again.flaw(f"pairing.{part}", expected, told, unable=not again.alike)])


def _masks(again: _Again, made: Rerun) -> Recheck:
    """The submitted mask against the one that was made here."""
    try:
        submitted = maskbits.read(again.content())[0]
    except DataError as error:
        return again.recheck("no mask", "the mask that level 1 read", str(error))
    try:
        derived = made.mask(again.receipt)
    except DataError as error:
        return again.recheck("no mask", "a mask", str(error))
    return _equal(again, overlap(submitted, derived)).behind(_mask_sizes(again, submitted))


def _equal(again: _Again, common: float) -> Recheck:
    """Whether a share of common weights is enough."""
    if common == 1.0:
        return Recheck(again.cell, "equal")
    # how often it was scored is not for the submitter to say
    once = again.receipt["receipt"]["rounds"] == 1
    least = 1.0 if again.alike else OVERLAP.get((again.cell.scoring.dtype, once))
    share = f"{common:.4f} of the kept weights in common"
    if least is None:
        expected = "equal masks: iterative float32 scores differ between machines, and only the same one can tell"
        return again.recheck("not equal", expected, share, unable=True)
    outcome = f"overlap {common:.4f}"
    if common >= least:
        return Recheck(again.cell, outcome)
    same = "equal masks (same torch, timm and device)"
    expected = same if again.alike else f"at least {least} of the kept weights in common"
    return again.recheck(outcome, expected, share)


def overlap(one: Bits, other: Bits) -> float:
    """Jaccard: weights kept by both over weights kept by any; 0 where the layers are not the same, 1 for two empty."""
    if [(n, m.shape) for n, m in one.items()] != [(n, m.shape) for n, m in other.items()]:
        return 0.0
    both = sum(int((one[n] & other[n]).sum()) for n in one)
    any_ = sum(int((one[n] | other[n]).sum()) for n in one)
    return both / any_ if any_ else 1.0


def _network_sizes(again: _Again) -> list[Flaw]:
    """Parameters and FLOPs of the network that was trained in place of a pruned one."""
    block = Block(again.own, again.where.device)
    module, shape = block.network(), block.dataset.shape
    other = block.network(spec=ModelSpec(**again.record["receipt"]["model"]))
    return _sizes(
        again,
        {**parameters(other, {}), "dense": parameters(module, {})["dense"]},
        {**flops(other, {}, shape), "dense": flops(module, {}, shape)["dense"]},
    )


def _mask_sizes(again: _Again, submitted: Bits) -> list[Flaw]:
    """Parameters and FLOPs of the submitted mask, from the network itself."""
    block = Block(again.own, again.where.device)
    module = block.network()
    shapes = {n: tuple(p.shape) for n, p in module.named_parameters() if n in submitted}
    if shapes != {n: m.shape for n, m in submitted.items()}:
        wrong = f"{len(submitted)} layers with other names or shapes"
        return [again.flaw("receipt.layers", "the network's prunable weights", wrong)]
    masks = {name: torch.from_numpy(mask) for name, mask in submitted.items()}
    return _sizes(again, parameters(module, masks), flops(module, masks, block.dataset.shape))


def _sizes(again: _Again, computed: Mapping[str, int], computed_flops: Mapping[str, Any]) -> list[Flaw]:
    """What the record says of sizes against what they are."""
    flaws = []
    for name, sizes, slack in (
        ("parameters", computed, 0.0),
        ("flops", computed_flops, FLOPS * computed_flops["dense"]),
    ):
        for part in ("dense", "pruned"):
            stated = again.record["result"][name][part]
            if abs(stated - sizes[part]) > slack:
                flaws.append(again.flaw(f"result.{name}.{part}", f"{sizes[part]} (the network's)", f"{stated}"))
    return flaws


# --- cells without a result -------------------------------------------------------------------------------------------


def _first_checked(found: Wellformed, cell: Cell) -> Cell:
    """The cell whose block the check before a study looked at, for all cells of a criterion and a network."""
    return next(one for one in found.cells.values() if one.check_key == cell.check_key)


def _pruned_again(found: Wellformed, cell: Cell, made: Rerun, where: Where) -> Recheck:
    """Level 3, of a cell that is said to have ended before its training."""
    record, receipt = found.records[cell.key], made.receipt(cell)
    refusable = record["kind"] == "degenerate" and cell.scoring.degenerate == "refuse"
    if refusable and _degenerate(cell, made, receipt):
        return Recheck(cell, "degenerate here, too", ended=True)
    if receipt is None or receipt["status"] != "ok":
        return _ended_again(LEVEL, cell, record, receipt)
    # a resumed study may have checked another seed first than the one that was looked at here
    unable = refusable or record["kind"] in EXCUSED or not where.alike(record)
    flaw = _said_ended(LEVEL, cell, record, "its masks were made here", unable)
    return Recheck(cell, "masks, which it is said not to have", [flaw], ended=True)


def trained_again(found: Wellformed, cell: Cell, made: Rerun, where: Where) -> Recheck:
    """Level 4, of a cell whose training is said to have failed."""
    record, again = found.records[cell.key], made.record(cell)
    if again is None or again["status"] != "ok":
        return _ended_again(4, cell, record, again)
    unable = record["kind"] in EXCUSED or not where.alike(record)
    top1 = again["result"]["top1"]
    flaw = _said_ended(4, cell, record, f"trained here to {top1:.2f} % top-1", unable)
    return Recheck(cell, f"{top1:.2f} %, said to be none", [flaw], ended=True)


def _degenerate(cell: Cell, made: Rerun, receipt: Mapping[str, Any] | None) -> bool:
    flags = receipt["flags"] if receipt else []
    return bool(refused(made.store, made.cells[cell.key])) or any(flag["flag"] == "degenerate" for flag in flags)


def _ended_again(level: int, cell: Cell, record: Mapping[str, Any], again: Mapping[str, Any] | None) -> Recheck:
    """Of a cell that has no result here, either; one that ends here for want of something shows nothing."""
    if again is None or (excused(again) and again["kind"] != record["kind"]):
        flaw = _said_ended(level, cell, record, why(again), unable=True)
        return Recheck(cell, "not checked", [flaw], ended=True)
    return Recheck(cell, f"{again['status']} here, too ({again['kind']})", ended=True)


def _said_ended(level: int, cell: Cell, record: Mapping[str, Any], there: str, unable: bool) -> Flaw:
    expected = f"{record['status']} ({record['kind']}), as the record says"
    return _flaw(level, cell, "status", expected, there, unable)


def _flaw(level: int, cell: Cell, field: str, expected: str, found: str, unable: bool) -> Flaw:
    return Flaw(level, f"records/{cell.key}.json", expected, found, field, cell.title, unable)
