"""Level 3: what a record says of its criterion and of its scores, against the class and the receipt made here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pabench.cell import Cell, canonical
from pabench.consistent import OF_BANK
from pabench.foreign import STUDY
from pabench.rules import nature
from pabench.stated import UNDERIVED

FIXED = ("rounds", "dense_epochs")
"""Counts that no rounding changes."""
COUNTED = ("zero_scores", "non_finite_scores", "tied_at_threshold", "kept_of_tied")
WITHIN = 0.01
"""Share of all weights by which counts of scores may differ on another machine, where rounding parts what was equal."""
IMAGES = ("scoring_images", "gradient_images")


@dataclass(frozen=True)
class Wrong:
    """A flaw to be: in the record of the cell unless a `file` is named."""

    field: str
    expected: str
    found: str
    unable: bool = False
    file: str = ""


def asked(cell: Cell, own: Cell) -> Iterator[Wrong]:
    """Whether the criterion is what its class makes of its label. Of another version nothing is proved by its words
    and its defaults: then level 3 cannot tell."""
    assert cell.criterion is not None
    assert own.criterion is not None
    stated, derived = cell.criterion, own.criterion
    where = f"criteria.{stated.label}"
    exact = stated.source == derived.source and stated.donor == derived.donor
    for field, expected, there in nature((derived.trains, derived.reference_line), stated, exact=exact):
        yield Wrong(f"{where}.{field}", expected, there, file=STUDY)
    means = derived.given
    if not means:
        yield Wrong(where, "a variant and parameters that its class has", "others", not exact, STUDY)
    for key, value in stated.args.items():
        if means and key in means and not _equal(means[key], value):
            yield Wrong(f"{where}.args.{key}", f"{means[key]} (what the label means)", f"{value}", not exact, STUDY)


def kind(receipt: Mapping[str, Any]) -> str:
    """What a receipt is of."""
    return "another network" if "model" in receipt else "a mask"


def receipts(cell: Cell, record: Mapping[str, Any], made: Mapping[str, Any], *, alike: bool) -> Iterator[Wrong]:
    """The record against the receipt `made` here: counts of scores and ties, flags, images. Not `alike`: on another
    machine, where counts may differ by rounding, and more than that proves nothing."""
    stated, derived = record["receipt"], made["receipt"]
    if "model" in stated:
        for field in ("model", "parameters_instead", "left", "total", "kept"):
            if not _equal(stated.get(field), derived.get(field)):
                yield Wrong(f"receipt.{field}", f"{derived.get(field)} (made here)", f"{stated.get(field)}")
        return
    for field in FIXED:
        if stated.get(field) != derived.get(field):
            yield Wrong(f"receipt.{field}", f"{derived.get(field)} (made here)", f"{stated.get(field)}")
    slack = 0 if alike else WITHIN * derived["total"]
    for field in COUNTED:
        if abs(stated[field] - derived[field]) > slack:
            yield Wrong(f"receipt.{field}", f"{derived[field]} (made here)", f"{stated[field]}", not alike)
    earned, there = ({flag["flag"] for flag in flags} for flags in (made["flags"], record["flags"]))
    differing = (earned ^ there) - {OF_BANK}
    if differing and (alike or differing & {*UNDERIVED}):
        told = ", ".join(sorted(there)) or "none"
        yield Wrong("flags", f"{', '.join(sorted(earned)) or 'none'} (made here)", told, not alike)
    for field in IMAGES:
        value = record["cost"].get(field)
        if value is not None and value != made["cost"].get(field):
            yield Wrong(f"cost.{field}", f"{made['cost'].get(field)} (made here)", f"{value}")


def _equal(one: Any, other: Any) -> bool:
    """Equal as JSON, where a tuple is a list and 1.0 is 1."""
    return bool(json.loads(canonical(one)) == json.loads(canonical(other)))
