"""How to read the page, and what the comparison rests on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pabench.report.section import Section
from pabench.report.study import Shared, Study
from pabench.suite.specs import labelled
from pabench.words import plain

SHARED = {
    "weights": "initial weights",
    "order": "data order",
    "augmentation": "augmentation",
    "scoring_batch": "scoring batch",
}


@dataclass(frozen=True)
class Paired:
    """In how many blocks all cells share one thing: `equal` of `blocks`; in `unknown` ones some have no hash, in
    `unchanged` ones an ablation has that of the plain cells.

    `unit` is what is counted, where an ablation or the number of images divides a block.
    """

    what: str
    equal: int
    blocks: int
    unknown: int
    unit: str = "blocks"
    unchanged: int = 0

    @property
    def unequal(self) -> int:
        """Blocks whose cells have hashes that differ."""
        return self.blocks - self.equal - self.unknown - self.unchanged


class Protocol(Section):
    """Pairing proved from hashes, the recipe, and how numbers are made."""

    name = "protocol"
    title = "Protocol"
    order = 80
    seen = "all"

    def render(self, study: Study) -> str | None:
        cells = study.kinds
        return self.fill(
            "protocol.html.j2",
            protocols=sorted({plain(cell["protocol"]) for cell in cells}),
            recipes=recipes(cells),
            dtypes=precisions(cells),
            include=sorted({plain(kind) for cell in cells for kind in cell["scoring"].get("include", ())}),
            at_once=sorted({batch for cell in cells if (batch := cell["scoring"].get("batch"))}),
            pairing=pairing(study),
        )


def precisions(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """What scores are computed in, with the criteria of each type where the suite leaves it to their need."""
    scored = [cell for cell in cells if cell["criterion"]]
    found: dict[str, set[str]] = defaultdict(set)
    for cell in scored:
        spec, dtype = cell["criterion"], plain(cell["scoring"]["dtype"])
        found[dtype].add(plain(labelled(spec["name"], dict(sorted(spec["given"].items())))))
    if all(cell["scoring"].get("because") for cell in scored):
        return [f"{dtype} ({', '.join(sorted(names))})" for dtype, names in sorted(found.items())]
    return sorted(found)


def recipes(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The distinct recipes of the cells, flattened to text."""
    flat = [{key: plain(_text(value)) for key, value in cell["recipe"].items()} for cell in cells]
    return [dict(items) for items in dict.fromkeys(tuple(recipe.items()) for recipe in flat)]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value}"


def pairing(study: Study) -> list[Paired]:
    """In how many blocks the cells share each thing, by `Study.shared`, as `pabench status --pairing` has it."""
    return [_paired(part, groups) for part in SHARED if (groups := [one for one in study.shared if one.part == part])]


def unpaired(study: Study) -> list[str]:
    """In one sentence each: what cells of one block should share, and by their hashes do not."""
    found = []
    for part in pairing(study):
        what = f"{part.what[0].upper()}{part.what[1:]}"
        if part.unequal:
            where = f"{part.unequal} of {part.blocks} {part.unit}"
            found.append(f"{what} differ within {where}: what is called paired there is not.")
        if part.unchanged:
            where = f"{part.unchanged} of {part.blocks} {part.unit}"
            found.append(f"{what} of an ablation are those of the plain cells in {where}: it changed nothing.")
    return found


def _paired(part: str, groups: list[Shared]) -> Paired:
    equal = sum(one.proven for one in groups)
    unchanged = sum(one.unchanged for one in groups)
    unknown = sum(one.nameless > 0 and len(one.hashes) < 2 and not one.unchanged for one in groups)
    apart = list(dict.fromkeys(one.ablation for one in groups if one.ablation))
    parts = ["groups of cells"]
    parts += ["that ask for the same number of images"] if part == "scoring_batch" else []
    parts += [f"({', '.join(apart)} counted separately)"] if apart else []
    unit = " ".join(parts) if len(parts) > 1 else "blocks"
    return Paired(SHARED[part], equal, len(groups), unknown, unit, unchanged)
