"""Every cell: a table to sort, filter and search, with all that is known of each."""

from __future__ import annotations

import base64
import json
import math
import shlex
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd

from pabench.report.frame import in_r2
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.report.told import NOTHING, POINTS, TEXTS, Told, evenly
from pabench.store.verdict import called
from pabench.suite.cell import DENSE, STATUSES
from pabench.suite.specs import PLAIN, labelled
from pabench.words import plain

from .latex import ESCAPES

FEWER_POINTS = 12
"""Epochs of a cell's curve on a page of `MANY` cells, one for each 21 of the 252 pixels it is drawn on: curves are the
most of what such a page holds. Others have all that are told."""
MANY = 5000
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
PAIRS = np.array([*(high + low for high in DIGITS for low in DIGITS), ".."])
STEPS = len(PAIRS) - 2
"""What two such digits count to: finer than a pixel of the curve."""
GZIP = 16 + zlib.MAX_WBITS
"""The format of `zlib` that is gzip's."""
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
    "parent", "study", "rerun", "train",
)  # fmt: skip
"""Of the frame, what else a row of the table is made of."""
DTYPE = list(TEXTS).index("dtype")


class Cells(Section):
    """The table of all cells. Its rows are data for the page's script, so that 10,000 cells stay quick."""

    name = "cells"
    title = "All cells"
    order = 70
    seen = "all"

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
    # the last four levels take three times as long for a fortieth of the size
    compress = zlib.compressobj(5, wbits=GZIP)
    return base64.b64encode(b"".join(map(compress.compress, _columns(data))) + compress.flush()).decode()


def _columns(data: Mapping[str, Any]) -> Iterator[bytes]:
    """The JSON of the data in pieces: as one text it has as much room as all else of a page."""
    around = orjson.dumps({**{name: part for name, part in data.items() if name != "rows"}, "rows": []})
    head, tail = around[: -len(b"]}")], b"]}"
    yield head
    for place, column in enumerate(zip(*data["rows"], strict=True)):
        yield b"," * (place > 0) + orjson.dumps(column, default=list)  # the weights that are left are arrays
    yield tail


class Pool:
    """Distinct values, each stored once and named by its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Any, int] = {}
        self._shared: dict[int, int] = {}

    def add(self, value: Any) -> int:
        name = value if isinstance(value, str | tuple) else (json.dumps(value, sort_keys=True),)
        place = self._places.setdefault(name, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place

    def shared(self, part: Any, value: Callable[[Any], Any]) -> int:
        """The place of what a part means that is one object in many cells, and stays one."""
        if id(part) not in self._shared:
            self._shared[id(part)] = self.add(value(part))
        return self._shared[id(part)]


def table(study: Study) -> dict[str, Any]:
    """Rows as lists, in the order of `_row`; what repeats is in pools."""
    frame = study.frame
    pools = {name: Pool() for name in (*NAMES, "texts", "environments", "layers", "flags", "epochs", "studies")}
    facts = [*FACTS, *(["r2"] if in_r2(frame) else []), *measured(study)]
    places = {key: place for place, key in enumerate(frame["key"])}
    points = POINTS if len(frame) <= MANY else FEWER_POINTS
    known = [name for name in facts if name in frame]
    # the column of accuracies has accuracies alone: a cell's details tell its R²
    shown = frame.assign(top1=frame["top1"].where(frame["r2"].isna())) if in_r2(frame) else frame
    numbers = dict(zip(known, (_numbers(shown[name]) for name in known), strict=True))
    told = {name: frame[name].tolist() for name in COLUMNS if name in frame}
    picks: dict[str, str] = {}
    trained = study.trainings not in ((), (PLAIN.name,))
    said = [study.told.get(key, NOTHING) for key in told["key"]]
    curves = _curves(said, pools["epochs"], points)
    rows = []
    for place, one in enumerate(said):
        cell = {name: values[place] for name, values in told.items()}
        shown, only = _named(cell, trained=trained)
        cell["criterion"], picks[shown] = shown, only
        values = [numbers[name][place] if name in numbers else None for name in facts]
        rows.append(_row(cell, one, values, curves[place], places, pools))
    words = shlex.split(frame["rerun"].iloc[0]) if len(frame) else []
    picked = words.index("--only") if "--only" in words else 0
    return {
        "study": plain(study.manifest["name"]),
        "command": shlex.join(words[:picked]),
        "statuses": STATUSES,
        "latex": ESCAPES,
        "facts": facts,
        "own": len(FACTS),
        "only": {
            **{name: [shlex.quote(f"{name}={v or 'none'}") for v in pools[name].values] for name in NAMES},
            "criterion": [picks[shown] for shown in pools["criterion"].values],
        },
        **{name: pool.values for name, pool in pools.items()},
        "environments": [dict(found) for found in pools["environments"].values],
        "rows": rows,
    }


def _named(cell: Mapping[str, Any], *, trained: bool) -> tuple[str, str]:
    """What the table calls a criterion, with its training where that is not plain; and what picks it with `--only`,
    in a study that was `trained` in other ways than plainly."""
    criterion, train = cell["criterion"], cell["train"]
    shown = criterion if train == PLAIN.name else f"{criterion} / {train}"
    only = shlex.quote(f"criterion={criterion}")
    return shown, f"{only} --only {shlex.quote(f'train={train}')}" if trained and criterion != DENSE else only


def measured(study: Study) -> list[str]:
    """Columns of the frame that metrics brought and that are none of `FACTS` already."""
    columns = [column for spec in study.metrics for column in study.columns(spec.name)]
    known = (*FACTS, "gradient_norm.before", "gradient_norm.after")
    return [c for c in columns if c not in known and study.frame[c].notna().any()]


def _row(
    cell: Mapping[str, Any],
    said: Told,
    numbers: Sequence[float | int | None],
    curve: list[Any],
    places: Mapping[str, int],
    pools: dict[str, Pool],
) -> list[Any]:
    texts = pools["texts"]
    flags = [[name, detail, called(name)] for name, detail in said.flags]
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
            texts.add(_traceback(said.traceback)),
            texts.add(cell["created"]),
        ],
        pools["environments"].shared(
            said.environment, lambda part: tuple((k, plain(v)) for k, v in sorted(part.items()))
        ),
        [pools["layers"].shared(said.layers, lambda part: tuple((plain(name), n) for name, n in part)), said.kept],
        curve,
        texts.add(_scored(said) if said.version is not None else ""),
        pools["ablation"].add(cell["ablation"]),
        places.get(cell["parent"], -1),
        plain(said.mask)[:16],
        # on a page of several studies a row has its own, and their command
        *([pools["studies"].add(cell["study"]), texts.add(cell["rerun"])] if "study" in cell else []),
    ]


def _scored(said: Told) -> str:
    """What computed the mask, or which network was trained in place of the pruned one."""
    if said.network is not None:
        return f"{plain(labelled(said.network['name'], said.network['args']))}, version {said.version}"
    return f"{said.texts[DTYPE]}, version {said.version}"


def _numbers(column: pd.Series) -> list[float | int | None]:
    """The numbers of a column with six digits; few of them are different."""
    known = {value: _number(value) for value in column.dropna().unique()}
    return [known.get(value) for value in column]


def _number(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def _traceback(text: str) -> str:
    return text if len(text) <= TRACEBACK_CHARACTERS else f"…{text[-TRACEBACK_CHARACTERS:]}"


def _curves(told: Sequence[Told], pool: Pool, most: int) -> list[list[Any]]:
    """Of each cell which epochs (a place in the pool), the largest training loss, and loss and training accuracy there.

    The first epoch and the last are among them. [] for a cell without a curve.
    """
    found: list[list[Any]] = [[] for _ in told]
    alike: dict[tuple[tuple[int, ...], bool], list[int]] = defaultdict(list)
    for place, one in enumerate(told):
        if one.epochs:
            alike[one.epochs, len(one.top1) == len(one.loss)].append(place)
    for (epochs, known), places in alike.items():
        shown = evenly(len(epochs), most)
        loss = np.array([told[place].loss for place in places])[:, shown]
        tops = np.max(loss, axis=1, where=np.isfinite(loss), initial=0.0)
        tops[tops == 0] = 1.0
        accuracies = [""] * len(places)
        if known:
            top1 = np.array([told[place].top1 for place in places])[:, shown]
            accuracies = packed(top1, np.full(len(places), 100.0))
        where = pool.add(tuple(epochs[point] + 1 for point in shown))
        for place, top, losses, accuracy in zip(places, tops.tolist(), packed(loss, tops), accuracies, strict=True):
            found[place] = [where, float(f"{top:.3g}"), losses, accuracy]
    return found


def packed(values: np.ndarray, tops: np.ndarray) -> list[str]:
    """Each row of numbers from 0 to its top as two letters a number, a 4095th of the top apart; ".." for NaN.

    >>> packed(np.array([[0.0, 0.5, 1.0, np.nan]]), np.array([1.0]))
    ['AAgA//..']
    """
    steps = np.rint(np.clip(values / tops[:, None], 0, 1) * STEPS)
    letters = PAIRS[np.where(np.isfinite(values), steps, STEPS + 1).astype(int)]
    return ["".join(row) for row in letters.tolist()]
