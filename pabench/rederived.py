"""Level 3: masks are re-derived. The criterion is run again on sampled cells and gives the submitted masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pabench import maskbits
from pabench.block import Block
from pabench.cell import Cell, ModelSpec
from pabench.ended import first_checked, pruned_again
from pabench.errors import DataError, MissingError, PluginError
from pabench.foreign import Flaw, content
from pabench.maskfile import unpack
from pabench.record import MACHINE, NUMERICS, PARTS
from pabench.rerun import Rerun, Where, rerun, why
from pabench.rules import asked, kind, receipts
from pabench.sampling import ended, identified, masked, row, sample
from pabench.size import flops, parameters
from pabench.wellformed import Wellformed

LEVEL = 3
OVERLAP = {("float64", True): 0.99, ("float64", False): 0.99, ("float32", True): 0.95}
"""The least share of common weights (Jaccard) by dtype of the scores and whether they were scored once, where the
hardware is another: rounding moves weights at the threshold alone. Iterative float32 masks have none: two correct
computations differ in 10 to 50 % of the kept weights, so that only equal masks prove anything."""


def check(found: Wellformed, count: int, seed: int, where: Where) -> tuple[list[Flaw], list[dict[str, Any]], list[str]]:
    """Flaws, what came of each sampled cell, and notes."""
    cells = [
        *masked(found.cells.values(), found.records, count, seed),
        *instead(found.cells.values(), found.records, count, seed),
    ]
    if not cells:
        nothing = Flaw(LEVEL, "records", "finished cells with a mask", "none", unable=True)
        return [nothing], [], []
    without, untrained = ended(found, count, seed, training=False), ended(found, count, seed, training=True)
    checked = [first_checked(found, cell) for cell in without if cell.scoring.degenerate == "refuse"]
    flaws, outcomes = [], []
    try:
        with rerun(found.foreign, [*cells, *without], where, training=False, checked=checked) as made:
            for cell in cells:
                wrong, told = _compared(found, cell, made, where)
                flaws += wrong
                outcomes.append({**identified(cell), "outcome": told})
            for cell in without:
                wrong, told = pruned_again(found, cell, made, where)
                flaws += wrong
                outcomes.append({**identified(cell), "outcome": told, "ended": True})
            notes = list(made.notes)
    except MissingError as error:
        return [Flaw(LEVEL, "criteria", "all that its cells need", str(error), unable=True)], [], []
    except PluginError as error:
        return [Flaw(LEVEL, "criteria", "code that can be run", str(error))], [], []
    if untrained:
        notes.append("cells of which the training failed are there: level 4 trains a sample of them again")
    return flaws, outcomes, notes


def instead(cells: Iterable[Cell], records: Mapping[str, Mapping[str, Any]], count: int, seed: int) -> list[Cell]:
    """A sample of finished plain cells that trained another network in place of a pruned one, of all rows first."""
    rows: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        record = records.get(cell.key)
        if record and record["status"] == "ok" and not cell.ablation and "model" in (record["receipt"] or {}):
            rows[row(cell)].append(cell)
    return sample(rows, count, seed)


def _compared(found: Wellformed, cell: Cell, made: Rerun, where: Where) -> tuple[list[Flaw], str]:
    record, own = found.records[cell.key], made.cells[cell.key]
    path = f"records/{cell.key}.json"
    receipt = made.receipt(cell)
    if receipt is None or receipt["status"] != "ok":
        unable = receipt is not None and receipt["kind"] in MACHINE
        return [Flaw(LEVEL, path, "a mask", why(receipt), "receipt", cell.title, unable)], "no mask"
    kinds = [kind(found) for found in (receipt["receipt"], record["receipt"])]
    if kinds[0] != kinds[1]:
        return [Flaw(LEVEL, path, f"{kinds[0]} (made here)", kinds[1], "receipt.model", cell.title)], "no mask"
    here = where.environment()
    alike = where.alike(record)
    for part in PARTS:
        stated, derived = record["pairing"].get(part), receipt["pairing"].get(part)
        if stated != derived:
            there = ", ".join(f"{k} {record['environment'].get(k)} there, {here[k]} here" for k in NUMERICS)
            told = f"{stated} ({there})"
            flaw = Flaw(LEVEL, path, f"{derived} (made here)", told, f"pairing.{part}", cell.title, not alike)
            return [flaw], f"other {part}"
    flaws = [*asked(cell, own), *receipts(cell, record, receipt, alike=alike)]
    sha = record["receipt"].get("mask")
    if "model" in record["receipt"]:
        return [*flaws, *_sizes(found, cell, own, where, path)], "other network" if flaws else "the same network"
    try:
        data = content(found.foreign.folder, f"masks/{sha}.safetensors", sha)
    except DataError as error:
        return [
            *flaws,
            Flaw(LEVEL, path, "the mask that level 1 read", str(error), "receipt.mask", cell.title),
        ], "no mask"
    submitted = maskbits.read(data)[0]
    try:
        derived = made.mask(receipt)
    except DataError as error:
        return [*flaws, Flaw(LEVEL, path, "a mask", str(error), "receipt.mask", cell.title)], "no mask"
    flaws += _sizes(found, cell, own, where, path)
    common = overlap(submitted, derived)
    if common == 1.0:
        return flaws, "equal"
    # how often it was scored is not for the submitter to say
    least = 1.0 if alike else OVERLAP.get((cell.scoring.dtype, receipt["receipt"]["rounds"] == 1))
    if least is not None and common >= least:
        return flaws, f"overlap {common:.4f}"
    share = f"{common:.4f} of the kept weights in common"
    if least is None:
        expected = "equal masks: iterative float32 scores differ between machines, and only the same one can tell"
        return [*flaws, Flaw(LEVEL, path, expected, share, "receipt.mask", cell.title, unable=True)], "not equal"
    told = "equal masks (same torch, timm and device)" if alike else f"at least {least} of the kept weights in common"
    return [*flaws, Flaw(LEVEL, path, told, share, "receipt.mask", cell.title)], f"overlap {common:.4f}"


def overlap(one: Mapping[str, np.ndarray[Any, Any]], other: Mapping[str, np.ndarray[Any, Any]]) -> float:
    """Jaccard: weights kept by both over weights kept by any; 0 where the layers are not the same, 1 for two empty."""
    if [(n, m.shape) for n, m in one.items()] != [(n, m.shape) for n, m in other.items()]:
        return 0.0
    both = sum(int((one[n] & other[n]).sum()) for n in one)
    any_ = sum(int((one[n] | other[n]).sum()) for n in one)
    return both / any_ if any_ else 1.0


def _sizes(found: Wellformed, cell: Cell, own: Cell, where: Where, path: str) -> list[Flaw]:
    """Parameters and FLOPs of the submitted mask, or of the network in its place, from the network itself."""
    record = found.records[cell.key]
    block = Block(own, where.device)
    module = block.network()
    shape = block.dataset.shape
    if "model" in record["receipt"]:
        other = block.network(spec=ModelSpec(**record["receipt"]["model"]))
        computed: dict[str, Any] = {
            "parameters": {**parameters(other, {}), "dense": parameters(module, {})["dense"]},
            "flops": {**flops(other, {}, shape), "dense": flops(module, {}, shape)["dense"]},
        }
    else:
        sha = record["receipt"]["mask"]
        masks, _ = unpack(content(found.foreign.folder, f"masks/{sha}.safetensors", sha))
        shapes: Sequence[tuple[str, Any]] = [(n, tuple(p.shape)) for n, p in module.named_parameters() if n in masks]
        if dict(shapes) != {n: tuple(m.shape) for n, m in masks.items()}:
            wrong = f"{len(masks)} layers with other names or shapes"
            return [Flaw(LEVEL, path, "the network's prunable weights", wrong, "receipt.layers", cell.title)]
        computed = {"parameters": parameters(module, masks), "flops": flops(module, masks, shape)}
    flaws = []
    for name, sizes in computed.items():
        for part in ("dense", "pruned"):
            stated = record["result"][name][part]
            if abs(stated - sizes[part]) > 1e-6 * sizes["dense"] * (name == "flops"):
                flaws.append(
                    Flaw(
                        LEVEL, path, f"{sizes[part]} (the network's)", f"{stated}", f"result.{name}.{part}", cell.title
                    )
                )
    return flaws
