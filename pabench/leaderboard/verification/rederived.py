"""Level 3: masks are re-derived. The criterion is run again on sampled cells and gives the submitted masks.

Cells that are said to have no result are tried again, too (at level 4 those whose training failed): a submitter who may
call bad seeds failures has only good ones. Lack of memory and of data, crashes and timeouts are of a machine and of a
moment: that another one has a result accuses nobody, and earns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pabench.errors import DataError, SuiteError
from pabench.leaderboard.verification.criteria import asked, flagged, kind, receipts
from pabench.leaderboard.verification.folder import STUDY, Flaw, content
from pabench.leaderboard.verification.level import Level, Recheck
from pabench.leaderboard.verification.rerun import Rerun, Where, excused, rerun, why
from pabench.leaderboard.verification.sampling import ended, instead, masked
from pabench.leaderboard.verification.wellformed import Wellformed
from pabench.networks.size import flops, parameters
from pabench.parameters import told
from pabench.store import maskbits, quality
from pabench.store.record import MACHINE, NUMERICS, PARTS
from pabench.store.state import refused
from pabench.suite.cell import Cell
from pabench.suite.specs import ModelSpec
from pabench.training.block import Block
from pabench.training.sparse import method

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
    drawn = (found.cells.values(), found.records, count, seed)
    cells = [*masked(*drawn), *instead(*drawn)]
    if not cells:
        return Level(LEVEL, (Flaw(LEVEL, "records", "finished cells with a mask", "none", unable=True),))
    without = ended(found, count, seed, training=False)
    checked = [_first_checked(found, cell) for cell in without if cell.scoring.degenerate == "refuse"]
    like = [found.records[cell.key] for cell in cells]
    with rerun(found.foreign, [*cells, *without], where, training=False, like=like, checked=checked) as made:
        rechecks = [_compared(found, cell, made, where) for cell in cells]
        rechecks += [tried_again(LEVEL, found, cell, made, where) for cell in without]
        notes = list(made.notes)
    strange = [Flaw(LEVEL, STUDY, *wrong, "train") for wrong in _trainings(found)]
    if ended(found, count, seed, training=True):
        notes.append("cells of which the training failed are there: level 4 trains a sample of them again")
    return Level.of(LEVEL, rechecks, notes, *strange)


def _trainings(found: Wellformed) -> Iterator[tuple[str, str]]:
    """Trainings that are none of this pabench, or others: (what was expected, what is there)."""
    for spec in {cell.train.text: cell.train for cell in found.cells.values() if not cell.train.is_plain}.values():
        try:
            here = method(spec.name, spec.given)  # what its label says, and defaults
        except SuiteError as error:
            yield "a training of this pabench", str(error).splitlines()[0]
            continue
        if (told(here), here.version) != (dict(spec.args), spec.version):
            yield f"{spec.name} version {here.version} with {told(here)}", f"version {spec.version} with {spec.args}"


# --- masks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Again:
    """A cell that was pruned again: `own` is this machine's version of it, `receipt` what was made here."""

    cell: Cell
    own: Cell
    record: Mapping[str, Any]
    receipt: Mapping[str, Any]
    where: Where

    @property
    def alike(self) -> bool:
        return self.where.alike(self.record)

    def recheck(self, outcome: str, field: str, expected: str, found: str, unable: bool = False) -> Recheck:
        """What came of it, with what is wrong."""
        return Recheck(self.cell, outcome, [Flaw.of(LEVEL, self.cell, field, expected, found, unable)])


def _compared(found: Wellformed, cell: Cell, made: Rerun, where: Where) -> Recheck:
    record, receipt = found.records[cell.key], made.receipt(cell)
    if receipt is None or receipt["status"] != "ok":
        nothing = Flaw.of(LEVEL, cell, "receipt", "a mask", why(receipt), excused(receipt))
        return Recheck(cell, "no mask", [nothing])
    again = _Again(cell, made.cells[cell.key], record, receipt, where)
    if (unlike := _unlike(again)) is not None:
        return unlike
    flaws = [*asked(cell, again.own), *receipts(cell, record, receipt, alike=again.alike)]
    stated = record["receipt"]
    if "model" in stated:
        outcome = "other network" if flaws else "the same network"
        return Recheck(cell, outcome, [*flaws, *_sizes(again, {})])
    wanted = "the mask that level 1 read"
    try:
        path = f"masks/{stated.get('mask')}.safetensors"
        submitted, _ = maskbits.read(content(found.foreign.folder, path, stated.get("mask")))
        wanted = "a mask"
        derived = made.mask(receipt)
    except DataError as error:
        return again.recheck("no mask", "receipt.mask", wanted, str(error)).behind(flaws)
    return _equal(again, overlap(submitted, derived)).behind([*flaws, *_sizes(again, submitted)])


def _unlike(again: _Again) -> Recheck | None:
    """Where one has a mask and the other another network in place of a pruned one nothing else compares, and so it is
    with scores of other weights or images, which give another mask."""
    here, there = kind(again.receipt["receipt"]), kind(again.record["receipt"])
    if here != there:
        return again.recheck("no mask", "receipt.model", f"{here} (made here)", there)
    stated, derived = again.record["pairing"], again.receipt["pairing"]
    part = next((part for part in PARTS if stated.get(part) != derived.get(part)), None)
    if part is None:
        return None
    theirs, ours = again.record["environment"], again.where.environment()
    environments = ", ".join(f"{k} {theirs.get(k)} there, {ours[k]} here" for k in NUMERICS)
    expected, told = f"{derived.get(part)} (made here)", f"{stated.get(part)} ({environments})"
    return again.recheck(f"other {part}", f"pairing.{part}", expected, told, not again.alike)


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
        return again.recheck("not equal", "receipt.mask", expected, share, unable=True)
    outcome = f"overlap {common:.4f}"
    if common >= least:
        return Recheck(again.cell, outcome)
    same = "equal masks (same torch, timm and device)"
    expected = same if again.alike else f"at least {least} of the kept weights in common"
    return again.recheck(outcome, "receipt.mask", expected, share)


def overlap(one: Bits, other: Bits) -> float:
    """Jaccard: weights kept by both over weights kept by any; 0 where the layers are not the same, 1 for two empty."""
    if [(n, m.shape) for n, m in one.items()] != [(n, m.shape) for n, m in other.items()]:
        return 0.0
    both = sum(int((one[n] & other[n]).sum()) for n in one)
    any_ = sum(int((one[n] | other[n]).sum()) for n in one)
    return both / any_ if any_ else 1.0


def _sizes(again: _Again, submitted: Bits) -> Iterator[Flaw]:
    """Parameters and FLOPs of the record against those of the network itself: under the submitted mask, or of the one
    that was trained in its place."""
    block = Block(again.own, again.where.device)
    module, shape = block.network(), block.dataset.shape
    shapes = {n: tuple(p.shape) for n, p in module.named_parameters() if n in submitted}
    if shapes != {n: m.shape for n, m in submitted.items()}:
        wrong = f"{len(submitted)} layers with other names or shapes"
        yield Flaw.of(LEVEL, again.cell, "receipt.layers", "the network's prunable weights", wrong)
        return
    masks = {name: torch.from_numpy(mask) for name, mask in submitted.items()}

    def sizes(network: nn.Module) -> dict[str, Any]:
        return {"parameters": parameters(network, masks), "flops": flops(network, masks, shape)}

    dense = pruned = sizes(module)
    if model := again.record["receipt"].get("model"):
        pruned = sizes(block.network(spec=ModelSpec(**model)))
    for name, slack in (("parameters", 0.0), ("flops", FLOPS)):
        for part, size in (("dense", dense[name]["dense"]), ("pruned", pruned[name]["pruned"])):
            stated = again.record["result"][name][part]
            if abs(stated - size) > slack * dense[name]["dense"]:
                yield Flaw.of(LEVEL, again.cell, f"result.{name}.{part}", f"{size} (the network's)", stated)


# --- cells without a result -------------------------------------------------------------------------------------------


def _first_checked(found: Wellformed, cell: Cell) -> Cell:
    """The cell whose block the check before a study looked at, for all cells of a criterion and a network."""
    return next(one for one in found.cells.values() if one.check_key == cell.check_key)


def tried_again(level: int, found: Wellformed, cell: Cell, made: Rerun, where: Where) -> Recheck:
    """A cell that is said to have no result: level 3 prunes what ended before its training, level 4 trains again what
    failed in it."""
    record = found.records[cell.key]
    again = made.receipt(cell) if level == LEVEL else made.record(cell)
    unable = record["kind"] in EXCUSED or not where.alike(record)
    if level == LEVEL and record["kind"] == "degenerate" and cell.scoring.degenerate == "refuse":
        if refused(made.store, made.cells[cell.key]) or (again and "degenerate" in flagged(again)):
            return Recheck(cell, "degenerate here, too", ended=True)
        unable = True  # a resumed study may have checked another seed first than the one that was looked at here
    if again is None or (again["status"] != "ok" and excused(again) and again["kind"] != record["kind"]):
        # what ends here for want of something shows nothing
        outcome, there, unable = "not checked", why(again), True
    elif again["status"] != "ok":
        return Recheck(cell, f"{again['status']} here, too ({again['kind']})", ended=True)
    elif level == LEVEL:
        outcome, there = "masks, which it is said not to have", "its masks were made here"
    else:
        reached = quality.told(again["result"])
        outcome, there = f"{reached}, said to be none", f"trained here to {reached}"
    expected = f"{record['status']} ({record['kind']}), as the record says"
    return Recheck(cell, outcome, [Flaw.of(level, cell, "status", expected, there, unable)], ended=True)
