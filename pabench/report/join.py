"""Several results folders as one study, where their numbers may stand in one table; where not, refused with the reason.

The order in which folders are named changes nothing: studies stand in the order of their labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pabench.errors import RefusedError
from pabench.report.alike import unlike
from pabench.report.folders import read_all
from pabench.report.frame import chosen, study as make_study
from pabench.report.study import Study
from pabench.store.figures import Measurements
from pabench.suite.cell import DENSE
from pabench.suite.digest import digest
from pabench.suite.specs import MetricSpec
from pabench.words import count, percent, plain

Record = Mapping[str, Any]
MEANT = "criterion meant"
"""A column for the time of joining; no metric, whose columns are beside it, has a name with a space."""


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


@dataclass(frozen=True, eq=False)
class Joint(Study):
    """Several studies as one. The frame's column `study` says which of `parts` a row is from.

    `renamed` are criteria that two studies call the same and mean otherwise: each stands under a label of its own.
    `unmeasured` are metrics left out because the studies compute them in different ways, `left_out` are sparsities;
    records of their cells are strays.
    """

    parts: tuple[Study, ...] = ()
    renamed: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def join(folders: Sequence[Path]) -> Joint:
    """One study of all folders. RefusedError, one reason a line, where their cells are not made alike, or their
    criteria have no sparsity in common."""
    parts = read_all(folders)
    if reasons := list(unlike(parts)):
        raise _refused(reasons, "`pabench diff` compares two studies that are made differently")
    metrics, unmeasured = _metrics(parts)
    every = pd.concat([_framed(part, metrics) for part in parts], ignore_index=True)
    # of several that finished the earliest: what is made later was a repetition
    frame, renamed = _renamed(chosen(every, "created", "study"), every)
    frame, left_out = _narrowed(frame)
    owners, strays = _owners(parts, frame, left_out)
    every_cell = {key: cell for part in parts for key, cell in part.cells.items()}
    return Joint(
        manifest=_manifest(parts, frame, metrics),
        frame=frame,
        records=Owned({key: part.records for key, part in owners.items()}),
        cells={key: every_cell[key] for key in frame["key"]},
        told={key: part.told[key] for key, part in owners.items()},
        strays=tuple(sorted(strays)),
        metrics=metrics,
        measured=Measurements(file for part in parts for file in part.measured.files),
        parts=parts,
        renamed=renamed,
        unmeasured=unmeasured,
        left_out=left_out,
    )


class Owned(Mapping[str, Record]):
    """Records by key, each parsed anew from those of its study when it is asked for."""

    def __init__(self, owners: Mapping[str, Mapping[str, Record]]) -> None:
        self._owners = owners

    def __getitem__(self, key: str) -> Record:
        return self._owners[key][key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._owners)

    def __len__(self) -> int:
        return len(self._owners)


def _owners(
    parts: Sequence[Study], frame: pd.DataFrame, left_out: Iterable[LeftOut]
) -> tuple[dict[str, Study], set[str]]:
    """The study that has the record of each row, and of each stray; and the strays, what is left out included."""
    by_study = {part.label: part for part in parts}
    rows = zip(frame["key"], frame["study"], strict=True)
    owners = {key: by_study[label] for key, label in rows if key in by_study[label].told}
    away = {key for part in parts for key in part.strays}.union(*(left.keys for left in left_out))
    away -= set(frame["key"])
    # of several studies the first one's
    strays = {key: part for part in reversed(parts) for key in part.told if key in away}
    return owners | strays, set(strays)


def _manifest(parts: Sequence[Study], frame: pd.DataFrame, metrics: Iterable[MetricSpec]) -> dict[str, Any]:
    """A study.json of all of them: what they say otherwise stands side by side, and no command makes it."""
    manifests = [part.manifest for part in parts]
    cells: dict[str, Any] = {}
    for part in parts:
        cells |= zip(part.cells, part.manifest["cells"], strict=True)
    return {
        "schema": manifests[0].get("schema", 1),
        "name": " + ".join(part.label for part in parts),
        "suite": "\n".join(f"# {part.label}\n{part.manifest.get('suite', '')}" for part in parts),
        "command": "",
        "cells": [cells[key] for key in frame["key"]],
        "notes": list(dict.fromkeys(note for one in manifests for note in one.get("notes", ()))),
        "environment": _either([manifest.get("environment") or {} for manifest in manifests]),
        "pabench": _either([{"pabench": manifest.get("pabench", "?")} for manifest in manifests])["pabench"],
        "metrics": [spec.to_json() for spec in metrics],
    }


def _refused(reasons: Iterable[str], remedy: str) -> RefusedError:
    lines = [f"these studies cannot stand in one table: {reason}" for reason in reasons]
    return RefusedError("\n".join([*lines, remedy]))


def _either(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What any of them says, key by key: `2.11.0 or 2.14.1`."""
    keys = sorted({key for one in found for key in one})
    return {key: " or ".join(sorted({plain(one[key]) for one in found if key in one})) for key in keys}


def _metrics(parts: Sequence[Study]) -> tuple[tuple[MetricSpec, ...], tuple[str, ...]]:
    """Metrics that mean one thing in all studies that have them, and the names of the others."""
    specs: dict[str, MetricSpec] = {}
    unmeasured = set()
    for spec in (spec for part in parts for spec in part.metrics):
        if specs.setdefault(spec.name, spec).identity != spec.identity:
            unmeasured.add(spec.name)
    kept = tuple(spec for name, spec in sorted(specs.items()) if name not in unmeasured)
    return kept, tuple(sorted(unmeasured))


def _framed(part: Study, metrics: Iterable[MetricSpec]) -> pd.DataFrame:
    """The rows of a study with its label, and with what their criterion is, whatever it is called ("" for dense)."""
    manifest = {**part.manifest, "metrics": [spec.to_json() for spec in metrics]}
    meant = [digest(cell.criterion.identity()) if cell.criterion else "" for cell in part.cells.values()]
    frame = make_study(manifest, part.records, part.measured.files, part.told).frame
    return frame.assign(study=part.label, **{MEANT: meant})


def _renamed(frame: pd.DataFrame, every: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Criteria of one label and several identities get the label of the study that had the identity first."""
    meanings = every[every[MEANT] != ""].drop_duplicates(["criterion", MEANT])
    several = meanings[meanings.duplicated("criterion", keep=False)]
    owners = several.set_index(["criterion", MEANT])["study"].to_dict()
    names = [
        f"{label} [{owners[label, meant]}]" if (label, meant) in owners else label
        for label, meant in zip(frame["criterion"], frame[MEANT], strict=True)
    ]
    return frame.drop(columns=MEANT).assign(criterion=names), tuple(sorted(several["criterion"].unique()))


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
