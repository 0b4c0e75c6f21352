"""How to read the page, and what the comparison rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from pabench.report.section import Section
from pabench.report.study import Study
from pabench.suite.ablations import INAPPLICABLE, alike
from pabench.words import plain

SHARED = {"weights": "initial weights", "order": "data order", "augmentation": "augmentation"}


@dataclass(frozen=True)
class Paired:
    """In how many blocks all cells share one thing: `equal` of `blocks`; `unknown` blocks have no hashes to compare.

    `unit` is what is counted, where an ablation or the number of images divides a block.
    """

    what: str
    equal: int
    blocks: int
    unknown: int
    unit: str = "blocks"

    @property
    def unequal(self) -> int:
        """Blocks whose cells have hashes that differ."""
        return self.blocks - self.equal - self.unknown


class Protocol(Section):
    """Pairing proved from hashes, the recipe, and how numbers are made."""

    name = "protocol"
    title = "Protocol and how to read this"
    order = 80

    def render(self, study: Study) -> str | None:
        cells = study.manifest["cells"]
        return self.fill(
            "protocol.html.j2",
            protocols=sorted({plain(cell["protocol"]) for cell in cells}),
            recipes=recipes(cells),
            dtypes=sorted({plain(cell["scoring"]["dtype"]) for cell in cells}),
            include=sorted({plain(kind) for cell in cells for kind in cell["scoring"].get("include", ())}),
            pairing=pairing(study),
        )


def recipes(cells: list[dict[str, Any]]) -> list[dict[str, str]]:
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
    """Whether the records of each block have equal hashes; scoring batches where the same number of images is asked.

    Ablations that change one of these are compared with their like in that one. A cell that trains another network than
    its block's has other weights by design.
    """
    known = study.frame[study.frame["key"].isin(list(study.records)) & (study.frame["kind"] != INAPPLICABLE)]
    hashes = study.pairing.set_index(["part", "key"])["hash"]
    others = [key for key, record in study.records.items() if "model" in (record.get("receipt") or {})]
    same = known[~known["key"].isin(others)]
    found = [
        _paired(name, ["block"], same if field == "weights" else known, hashes, field) for field, name in SHARED.items()
    ]
    scored = known[known["batch"] > 0]
    if len(scored):
        found.append(_paired("scoring batch", ["block", "batch"], scored, hashes, "scoring_batch"))
    return found


def unpaired(study: Study) -> list[str]:
    """In one sentence each: what cells of one block should share, and by their hashes do not."""
    return [
        f"{part.what[0].upper()}{part.what[1:]} differ within {part.unequal} of {part.blocks} {part.unit}: "
        "what is called paired there is not."
        for part in pairing(study)
        if part.unequal
    ]


def _paired(what: str, by: list[str], cells: pd.DataFrame, hashes: pd.Series, part: str) -> Paired:
    like = cells.assign(like=[alike(ablation, part) for ablation in cells["ablation"]])
    like["hash"] = [hashes.get((part, key), "") for key in cells["key"]]
    groups = like.groupby([*by, "like"], sort=False)["hash"].agg(set)
    unknown = sum("" in values for values in groups)
    equal = sum(len(values) == 1 and "" not in values for values in groups)
    parts = ["groups of cells"]
    parts += ["that ask for as many images"] if "batch" in by else []
    parts += [f"({', '.join(found)} apart)"] if (found := [x for x in like["like"].unique() if x]) else []
    return Paired(what, equal, len(groups), unknown, " ".join(parts) if len(parts) > 1 else "blocks")
