"""Level 2: what is counted in the bits of a mask, and the parameters and FLOPs that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pabench.cell import Cell
from pabench.foreign import MaskFacts
from pabench.record import STATISTICS

Stated = Iterator[tuple[str, Any, Any]]
"""(field, what was expected, what is there)."""
ROUNDING = 1e-6
"""Of the dense FLOPs: densities of layers are float32 numbers in what a record says."""
APART = (*STATISTICS, "mask")
"""Entries of a receipt that its mask file does not repeat."""


def mask(cell: Cell, receipt: Mapping[str, Any], found: MaskFacts) -> Stated:
    """Counts from the mask's bits, and the receipt in its header."""
    counted = [(name, list(shape), n) for name, shape, n in found.layers]
    stated = [(layer["name"], layer["shape"], layer["kept"]) for layer in receipt["layers"]]
    for one, layer in zip(counted, stated, strict=False):
        if one != layer:
            yield "receipt.layers", f"{one[0]} {one[1]}: {one[2]} kept (counted in the mask)", f"{layer}"
    if len(counted) != len(stated):
        yield "receipt.layers", f"{len(counted)} layers (the mask's)", len(stated)
    for layer in receipt["layers"]:
        if layer["total"] != math.prod(layer["shape"]):
            yield "receipt.layers", f"{layer['name']}: {math.prod(layer['shape'])} weights", layer["total"]
    n = sum(n for _, _, n in found.layers)
    total = sum(math.prod(shape) for _, shape, _ in found.layers)
    if receipt["kept"] != n:
        yield "receipt.kept", f"{n} (counted in the mask)", receipt["kept"]
    if receipt["total"] != total:
        yield "receipt.total", f"{total} (counted in the mask)", receipt["total"]
    if n != kept(cell, total):
        yield "receipt.kept", f"{kept(cell, total)}, which is N - floor(sparsity * N)", n
    dead = [name for name, _, n in found.layers if not n]
    if receipt["dead_layers"] != dead:
        yield "receipt.dead_layers", f"{dead} (counted in the mask)", receipt["dead_layers"]
    header = {key: value for key, value in receipt.items() if key not in APART}
    for field in sorted(set(header) | set(found.receipt)):
        if header.get(field) != found.receipt.get(field):
            yield f"receipt.{field}", f"{found.receipt.get(field)} (the mask file's)", header.get(field)


def kept(cell: Cell, total: int) -> int:
    """How many of so many prunable weights are kept."""
    return total - math.floor(round(cell.sparsity * total, 6))


def sizes(result: Mapping[str, Any], found: MaskFacts) -> Stated:
    """Parameters and FLOPs from the mask's counts."""
    removed = sum(math.prod(shape) - n for _, shape, n in found.layers)
    left = result["parameters"]["dense"] - removed
    if result["parameters"]["pruned"] != left:
        yield "result.parameters.pruned", f"{left} (from the mask)", result["parameters"]["pruned"]
    flops = result["flops"]
    if flops.get("layers") is None:
        return
    densities = {name: n / math.prod(shape) if math.prod(shape) else 1.0 for name, shape, n in found.layers}
    saved = sum(dense * (1 - densities.get(name, 1.0)) for name, dense in flops["layers"].items())
    if abs(flops["dense"] - saved - flops["pruned"]) > ROUNDING * flops["dense"] + 1:
        yield "result.flops.pruned", f"{flops['dense'] - saved:.0f} (from the mask)", flops["pruned"]
