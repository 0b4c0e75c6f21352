"""Every cell: a table to sort, filter and search, with all that is known of each."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from pabench.cell import labelled
from pabench.frame import STATUSES
from pabench.section import Section, Study
from pabench.wording import plain

CURVE_POINTS = 24
TRACEBACK_CHARACTERS = 4000
NAMES = ("dataset", "model", "criterion", "ablation")
FACTS = (
    "top1", "top5", "loss", "sparsity_reached", "weights_kept", "weights_total", "tied_at_threshold", "kept_of_tied",
    "zero_scores", "rounds", "gradient_norm_before", "gradient_norm_after", "scoring_seconds", "scoring_peak_bytes",
    "training_seconds", "wall_seconds", "parameters_pruned", "flops_dense", "flops_pruned", "effective_density",
)  # fmt: skip


class Cells(Section):
    """The table of all cells. Its rows are data for the page's script, so that 10,000 cells stay quick."""

    name = "cells"
    title = "All cells"
    order = 70

    def render(self, study: Study) -> str | None:
        return self.fill(
            "cells.html.j2",
            data=script_json(table(study)),
            name=plain(study.manifest["name"]),
            ablated=bool((study.frame["ablation"] != "").any()),
        )


def script_json(value: Any) -> Markup:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


class Pool:
    """Distinct values, each stored once and named by its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def add(self, value: Any) -> int:
        place = self._places.setdefault(json.dumps(value, sort_keys=True), len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


def table(study: Study) -> dict[str, Any]:
    """Rows as lists, in the order of `columns`; what repeats is in pools."""
    pools = {name: Pool() for name in (*NAMES, "texts", "environments", "layers", "flags")}
    rows = [_row(cell, study.records.get(cell["key"], {}), pools) for cell in study.frame.to_dict("records")]
    words = shlex.split(study.frame["rerun"].iloc[0]) if len(study.frame) else []
    only = words.index("--only") if "--only" in words else 0
    return {
        "command": shlex.join(words[:only]),
        "statuses": STATUSES,
        "facts": FACTS,
        "only": {name: [shlex.quote(f"{name}={v or 'none'}") for v in pools[name].values] for name in NAMES},
        **{name: pool.values for name, pool in pools.items()},
        "rows": rows,
    }


def _row(cell: Mapping[str, Any], record: Mapping[str, Any], pools: dict[str, Pool]) -> list[Any]:
    receipt, texts = record.get("receipt") or {}, pools["texts"]
    flags = [[plain(flag["flag"]), plain(flag.get("detail", ""))] for flag in record.get("flags", ())]
    layers = receipt.get("layers", ())
    return [
        pools["dataset"].add(cell["dataset"]),
        pools["model"].add(cell["model"]),
        pools["criterion"].add(cell["criterion"]),
        cell["sparsity"],
        cell["seed"],
        STATUSES.index(cell["status"]),
        [pools["flags"].add(flag) for flag in flags],
        [_number(cell.get(name)) for name in FACTS],
        cell["key"],
        [
            texts.add(cell["kind"]),
            texts.add(cell["message"]),
            texts.add(_traceback(record)),
            texts.add(cell["created"]),
        ],
        pools["environments"].add({k: plain(v) for k, v in sorted(record.get("environment", {}).items())}),
        [pools["layers"].add([[plain(x["name"]), x["total"]] for x in layers]), [x["kept"] for x in layers]],
        _curve(record),
        texts.add(_scored(receipt) if receipt else ""),
        pools["ablation"].add(cell["ablation"]),
        cell["parent"],
    ]


def _scored(receipt: Mapping[str, Any]) -> str:
    """What computed the mask, or which network was trained in place of the pruned one."""
    if "model" in receipt:
        return f"{plain(labelled(receipt['model']['name'], receipt['model']['args']))}, version {receipt['version']}"
    return f"{receipt['dtype']}, version {receipt['version']}"


def _number(value: float | None) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def _traceback(record: Mapping[str, Any]) -> str:
    text = plain(record.get("traceback", ""))
    return text if len(text) <= TRACEBACK_CHARACTERS else f"…{text[-TRACEBACK_CHARACTERS:]}"


def _curve(record: Mapping[str, Any]) -> list[list[float | int | None]]:
    """Epochs, training loss and training accuracy at some epochs, the first and the last among them."""
    curve = (record.get("result") or {}).get("curve") or {}
    loss, top1 = curve.get("loss") or [], curve.get("top1") or []
    last = len(loss) - 1
    points = min(CURVE_POINTS, len(loss))
    epochs = sorted({round(i * last / max(1, points - 1)) for i in range(points)})
    return [
        [e + 1 for e in epochs],
        [None if loss[e] is None else float(f"{loss[e]:.3g}") for e in epochs],
        [None if top1[e] is None else float(f"{top1[e]:.3g}") for e in epochs] if len(top1) == len(loss) else [],
    ]
