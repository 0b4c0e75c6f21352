"""Every cell: a table to sort, filter and search, with all that is known of each."""

from __future__ import annotations

import base64
import gzip
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pabench.report.frame import in_r2
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.store.verdict import called
from pabench.suite.cell import STATUSES
from pabench.suite.specs import labelled
from pabench.words import plain

from .latex import ESCAPES

CURVE_POINTS, FEWER_POINTS = 24, 12
"""Epochs of a cell's curve: one for each 11 of the 252 pixels it is drawn on, or for each 21 on a page of `MANY` cells:
curves are the most of what such a page holds."""
MANY = 5000
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
PAIRS = [high + low for high in DIGITS for low in DIGITS]
STEPS = len(PAIRS) - 1
"""What two such digits count to: finer than a pixel of the curve."""
TRACEBACK_CHARACTERS = 4000
"""Of a traceback, from its end, where the error is."""
NAMES = ("dataset", "model", "criterion", "ablation")
FACTS = (
    "top1", "top5", "loss", "sparsity_reached", "weights_kept", "weights_total", "tied_at_threshold", "kept_of_tied",
    "zero_scores", "rounds", "gradient_norm_before", "gradient_norm_after", "scoring_seconds", "scoring_peak_bytes",
    "training_seconds", "wall_seconds", "parameters_dense", "parameters_pruned", "flops_dense", "flops_pruned",
    "effective_density",
)  # fmt: skip
COLUMNS = (
    "key", "dataset", "model", "criterion", "sparsity", "seed", "status", "kind", "message", "created", "ablation",
    "parent", "study", "rerun",
)  # fmt: skip
"""Of the frame, what else a row of the table is made of."""


class Cells(Section):
    """The table of all cells. Its rows are data for the page's script, so that 10,000 cells stay quick."""

    name = "cells"
    title = "All cells"
    order = 70

    def render(self, study: Study) -> str | None:
        made = table(study)
        return self.fill(
            "cells.html.j2",
            data=zipped(made),
            ablated=bool((study.frame["ablation"] != "").any()),
            joint=bool(made["studies"]),
        )


def zipped(data: Mapping[str, Any]) -> str:
    """Data for the page's script: rows by columns, as JSON, gzip and base64. 10,000 cells are a page of 3 MB."""
    text = json.dumps({**data, "rows": list(zip(*data["rows"], strict=True))}, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


class Pool:
    """Distinct values, each stored once and named by its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Any, int] = {}

    def add(self, value: Any) -> int:
        name = value if isinstance(value, str | tuple) else (json.dumps(value, sort_keys=True),)
        place = self._places.setdefault(name, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


def table(study: Study) -> dict[str, Any]:
    """Rows as lists, in the order of `_row`; what repeats is in pools."""
    frame = study.frame
    pools = {name: Pool() for name in (*NAMES, "texts", "environments", "layers", "flags", "epochs", "studies")}
    facts = [*FACTS, *(["r2"] if in_r2(frame) else []), *measured(study)]
    places = {key: place for place, key in enumerate(frame["key"])}
    points = CURVE_POINTS if len(frame) <= MANY else FEWER_POINTS
    known = [name for name in facts if name in frame]
    # the column of accuracies has accuracies alone: a cell's details tell its R²
    shown = frame.assign(top1=frame["top1"].where(frame["r2"].isna())) if in_r2(frame) else frame
    numbers = dict(zip(known, (_numbers(shown[name]) for name in known), strict=True))
    told = {name: frame[name].tolist() for name in COLUMNS if name in frame}
    rows = []
    for place, key in enumerate(told["key"]):
        cell = {name: values[place] for name, values in told.items()}
        values = [numbers[name][place] if name in numbers else None for name in facts]
        rows.append(_row(cell, study.records.get(key, {}), values, places, pools, points))
    words = shlex.split(frame["rerun"].iloc[0]) if len(frame) else []
    only = words.index("--only") if "--only" in words else 0
    return {
        "study": plain(study.manifest["name"]),
        "command": shlex.join(words[:only]),
        "statuses": STATUSES,
        "latex": ESCAPES,
        "facts": facts,
        "own": len(FACTS),
        "only": {name: [shlex.quote(f"{name}={v or 'none'}") for v in pools[name].values] for name in NAMES},
        **{name: pool.values for name, pool in pools.items()},
        "environments": [dict(found) for found in pools["environments"].values],
        "rows": rows,
    }


def measured(study: Study) -> list[str]:
    """Columns of the frame that metrics brought and that are none of `FACTS` already."""
    columns = [column for spec in study.metrics for column in study.columns(spec.name)]
    known = (*FACTS, "gradient_norm.before", "gradient_norm.after")
    return [c for c in columns if c not in known and study.frame[c].notna().any()]


def _row(
    cell: Mapping[str, Any],
    record: Mapping[str, Any],
    numbers: Sequence[float | int | None],
    places: Mapping[str, int],
    pools: dict[str, Pool],
    points: int,
) -> list[Any]:
    receipt, texts = record.get("receipt") or {}, pools["texts"]
    told = [(plain(flag["flag"]), plain(flag.get("detail", ""))) for flag in record.get("flags", ())]
    flags = [[name, detail, called(name)] for name, detail in told]
    layers = receipt.get("layers", ())
    return [
        pools["dataset"].add(cell["dataset"]),
        pools["model"].add(cell["model"]),
        pools["criterion"].add(cell["criterion"]),
        cell["sparsity"],
        cell["seed"],
        STATUSES.index(cell["status"]),
        [pools["flags"].add(flag) for flag in flags],
        numbers,
        cell["key"],
        [
            texts.add(cell["kind"]),
            texts.add(cell["message"]),
            texts.add(_traceback(record)),
            texts.add(cell["created"]),
        ],
        pools["environments"].add(tuple((k, plain(v)) for k, v in sorted(record.get("environment", {}).items()))),
        [pools["layers"].add(tuple((plain(x["name"]), x["total"]) for x in layers)), [x["kept"] for x in layers]],
        _curve(record, pools["epochs"], points),
        texts.add(_scored(receipt) if receipt else ""),
        pools["ablation"].add(cell["ablation"]),
        places.get(cell["parent"], -1),
        plain(receipt.get("mask", ""))[:16],
        # on a page of several studies a row has its own, and their command
        *([pools["studies"].add(cell["study"]), texts.add(cell["rerun"])] if "study" in cell else []),
    ]


def _scored(receipt: Mapping[str, Any]) -> str:
    """What computed the mask, or which network was trained in place of the pruned one."""
    if "model" in receipt:
        return f"{plain(labelled(receipt['model']['name'], receipt['model']['args']))}, version {receipt['version']}"
    return f"{receipt['dtype']}, version {receipt['version']}"


def _numbers(column: pd.Series) -> list[float | int | None]:
    """The numbers of a column with six digits; few of them are different."""
    known = {value: _number(value) for value in column.dropna().unique()}
    return [known.get(value) for value in column]


def _number(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def _traceback(record: Mapping[str, Any]) -> str:
    text = plain(record.get("traceback", ""))
    return text if len(text) <= TRACEBACK_CHARACTERS else f"…{text[-TRACEBACK_CHARACTERS:]}"


def _curve(record: Mapping[str, Any], pool: Pool, most: int) -> list[Any]:
    """Which epochs (a place in the pool), the largest training loss, and loss and training accuracy at these epochs.

    The first epoch and the last are among them. [] for a cell without a curve.
    """
    curve = (record.get("result") or {}).get("curve") or {}
    loss, top1 = curve.get("loss") or [], curve.get("top1") or []
    if not loss:
        return []
    points = min(most, len(loss))
    epochs = sorted({round(i * (len(loss) - 1) / max(1, points - 1)) for i in range(points)})
    top = max((x for x in (loss[e] for e in epochs) if _finite(x)), default=0.0) or 1.0
    accuracy = packed([top1[e] for e in epochs], 100.0) if len(top1) == len(loss) else ""
    return [
        pool.add(tuple(e + 1 for e in epochs)),
        float(f"{top:.3g}"),
        packed([loss[e] for e in epochs], top),
        accuracy,
    ]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def packed(values: Sequence[float | None], top: float) -> str:
    """Numbers from 0 to `top` as two letters each, a 4095th of `top` apart; ".." where there is none.

    >>> packed([0.0, 0.5, 1.0, None], 1.0)
    'AAgA//..'
    """
    return "".join([".." if x is None or not math.isfinite(x) else PAIRS[_step(x / top)] for x in values])


def _step(part: float) -> int:
    return round(min(max(part, 0.0), 1.0) * STEPS)
