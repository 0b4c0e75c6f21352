"""Several results folders as one study, where their numbers may stand in one table; where not, refused with the reason.

The order in which folders are named changes nothing: studies stand in the order of their labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pabench.cell import DENSE, STATUSES, canonical, digest
from pabench.errors import RefusedError
from pabench.frame import chosen
from pabench.frame import study as make_study
from pabench.likeness import unlike
from pabench.measurement import Measurements, MetricSpec
from pabench.opening import Opened, open_all
from pabench.section import Study
from pabench.store import VOLATILE
from pabench.wording import count, percent, plain


@dataclass(frozen=True)
class Twice:
    """A cell with a result in several studies, that of the study `label` is kept; `same` but for what may differ.

    `why` says what it has before the `others`.
    """

    title: str
    label: str
    others: tuple[str, ...]
    same: bool
    top1: tuple[float | None, ...]
    why: str


@dataclass(frozen=True)
class LeftOut:
    """Sparsities of a dataset and model that are not on the page, because criteria were not planned at them."""

    place: str
    sparsities: tuple[float, ...]
    criteria: tuple[str, ...]
    studies: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def text(self) -> str:
        lacking = ", ".join(self.criteria) if len(self.criteria) < 4 else f"{len(self.criteria)} criteria"
        return (
            f"{self.place}: {_percent(self.sparsities)} left out ({count(len(self.keys), 'cell')} of "
            f"{', '.join(self.studies)}), not planned in every block for {lacking}; criteria are compared at the "
            "sparsities that all of them have"
        )


@dataclass(frozen=True)
class Joint(Study):
    """Several studies as one. The frame's column `study` says which of `parts` a row is from.

    `renamed` are criteria that two studies call the same and mean otherwise: each stands under a label of its own.
    `unmeasured` are metrics left out because the studies compute them in different ways, `left_out` are sparsities;
    records of their cells are strays.
    """

    parts: tuple[Opened, ...] = ()
    twice: tuple[Twice, ...] = ()
    renamed: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def join(folders: Sequence[Path]) -> Joint:
    """One study of all folders. RefusedError, one reason a line, where their cells are not made alike, or their
    criteria have no sparsity in common."""
    parts = open_all(folders)
    if reasons := list(unlike(parts)):
        raise _refused(reasons, "`pabench diff` compares two studies that are made differently")
    metrics, unmeasured = _metrics(parts)
    frames = [_framed(part, metrics) for part in parts]
    # of several that finished the earliest: what is made later was a repetition
    frame, renamed = _renamed(chosen(pd.concat(frames, ignore_index=True), "created", "study"), parts)
    frame, left_out = _narrowed(frame)
    cells = {key: cell for part in parts for key, cell in _cells(part).items()}
    of = {part.label: part.study.records for part in parts}
    records = {key: of[label][key] for key, label in zip(frame["key"], frame["study"], strict=True) if key in of[label]}
    away = {key for part in parts for key in part.study.strays} | {key for left in left_out for key in left.keys}
    away -= set(frame["key"])
    apart = {k: record for part in reversed(parts) for k, record in part.study.records.items() if k in away}
    title = " + ".join(part.label for part in parts)
    manifest = {
        "schema": parts[0].study.manifest.get("schema", 1),
        "name": title,
        "suite": "\n".join(f"# {part.label}\n{part.study.manifest.get('suite', '')}" for part in parts),
        "command": "",
        "cells": [cells[key] for key in frame["key"]],
        "environment": _either([part.study.manifest.get("environment") or {} for part in parts]),
        "pabench": _either([{"pabench": part.study.manifest.get("pabench", "?")} for part in parts])["pabench"],
        "metrics": [spec.to_json() for spec in metrics],
    }
    return Joint(
        manifest,
        frame,
        records | apart,
        tuple(sorted(apart)),
        metrics,
        Measurements(file for part in parts for file in part.measurements),
        parts=parts,
        twice=tuple(_twice(frame, parts)),
        renamed=renamed,
        unmeasured=unmeasured,
        left_out=left_out,
    )


def _refused(reasons: Iterable[str], remedy: str) -> RefusedError:
    lines = [f"these studies cannot stand in one table: {reason}" for reason in reasons]
    return RefusedError("\n".join([*lines, remedy]))


def _either(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What any of them says, key by key: `2.11.0 or 2.14.1`."""
    keys = sorted({key for one in found for key in one})
    return {key: " or ".join(sorted({plain(one[key]) for one in found if key in one})) for key in keys}


def _metrics(parts: Sequence[Opened]) -> tuple[tuple[MetricSpec, ...], tuple[str, ...]]:
    """Metrics that mean one thing in all studies that have them, and the names of the others."""
    specs: dict[str, MetricSpec] = {}
    unmeasured = set()
    for spec in (spec for part in parts for spec in part.study.metrics):
        if specs.setdefault(spec.name, spec).identity != spec.identity:
            unmeasured.add(spec.name)
    kept = tuple(spec for name, spec in sorted(specs.items()) if name not in unmeasured)
    return kept, tuple(sorted(unmeasured))


def _framed(part: Opened, metrics: Iterable[MetricSpec]) -> pd.DataFrame:
    manifest = {**part.study.manifest, "metrics": [spec.to_json() for spec in metrics]}
    return make_study(manifest, part.study.records, part.measurements).frame.assign(study=part.label)


def _cells(part: Opened) -> dict[str, Mapping[str, Any]]:
    return dict(zip(part.study.frame["key"], part.study.manifest["cells"], strict=True))


def _renamed(frame: pd.DataFrame, parts: Sequence[Opened]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Criteria of one label and several identities get the label of the study that had the identity first."""
    identities: dict[str, dict[str, str]] = {}
    meant: dict[str, str] = {}
    for part in parts:
        for cell, key, label in zip(part.cells, part.study.frame["key"], part.study.frame["criterion"], strict=True):
            if cell.criterion:
                identity = digest(cell.criterion.identity())
                identities.setdefault(str(label), {}).setdefault(identity, part.label)
                meant.setdefault(str(key), identity)
    several = {label: found for label, found in identities.items() if len(found) > 1}
    names = [
        f"{label} [{several[label][meant[key]]}]" if label in several else label
        for key, label in zip(frame["key"], frame["criterion"], strict=True)
    ]
    return frame.assign(criterion=names), tuple(sorted(several))


def _narrowed(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[LeftOut, ...]]:
    """The frame with those sparsities of each dataset and model at which all criteria of all its blocks are planned.

    A criterion would have no place in a table of others that average over more sparsities than it has. One that is
    planned in some blocks alone is compared there, and a reference line takes part in no comparison: neither narrows.
    """
    left, none = [], []
    pruned = frame[frame["criterion"] != DENSE]
    for (dataset, model), rows in pruned.groupby(["dataset", "model"], sort=False):
        ranked = rows[(rows["ablation"] == "") & (rows["reference_line"] == "")]
        planned = ranked.groupby(["criterion", "block"], sort=False)["sparsity"].agg(frozenset)
        common = frozenset.intersection(*planned) if len(planned) else frozenset(rows["sparsity"])
        out = rows[~rows["sparsity"].isin(common)]
        lacking = planned[[not found.issuperset(out["sparsity"]) for found in planned]]
        place = f"{dataset} · {model}"
        if not common:
            of = ranked.groupby("criterion", sort=False)["sparsity"].unique()
            listed = "; ".join(f"{name} at {_percent(sorted(values))}" for name, values in of.items())
            none.append(f"{place}: no sparsity is planned for all criteria in all blocks ({listed})")
        if len(out):
            sparsities = tuple(sorted(out["sparsity"].unique()))
            criteria = tuple(dict.fromkeys(lacking.index.get_level_values("criterion")))
            left.append(LeftOut(place, sparsities, criteria, tuple(sorted(set(out["study"]))), tuple(out["key"])))
    if none:
        remedy = "run their suites with one list of sparsities; `--bank DIR` takes over the cells that are finished"
        raise _refused(none, remedy)
    gone = {key for one in left for key in one.keys}
    return frame[~frame["key"].isin(gone)].reset_index(drop=True), tuple(left)


def _percent(sparsities: Iterable[float]) -> str:
    return ", ".join(map(percent, sparsities))


def _twice(frame: pd.DataFrame, parts: Sequence[Opened]) -> Iterator[Twice]:
    kept = dict(zip(frame["key"], frame["study"], strict=True))
    for row in frame.itertuples():
        have = [part for part in parts if row.key in part.study.records and row.key not in part.study.strays]
        if len(have) > 1:
            have.sort(key=lambda part: (part.label != kept[row.key], part.label))
            records = [part.study.records[row.key] for part in have]
            yield Twice(
                title=f"{row.dataset} / {row.model} / {row.criterion} {row.sparsity:g}"
                + (f" / {row.ablation}" if row.ablation else "")
                + f" / seed {row.seed}",
                label=have[0].label,
                others=tuple(part.label for part in have[1:]),
                same=len({canonical(outcome(record)) for record in records}) == 1,
                top1=tuple((record.get("result") or {}).get("top1") for record in records),
                why=_why(records),
            )


def _why(records: Sequence[Mapping[str, Any]]) -> str:
    """What the first of these has before the others (`frame.chosen`)."""
    kept = records[0]
    rivals = [record for record in records[1:] if record["status"] == kept["status"]]
    if not rivals:
        return "the only one that finished" if kept["status"] == STATUSES[0] else "the only one that was run"
    if any(record["created"] == kept["created"] for record in rivals):
        return "the first by name"
    if len(records) == 2:
        return "the earlier"
    return "the earliest" if len(rivals) == len(records) - 1 else "the earliest that finished"


def outcome(record: Mapping[str, Any]) -> dict[str, Any]:
    """What two executions of one cell must share."""
    return {key: value for key, value in record.items() if key not in VOLATILE}
