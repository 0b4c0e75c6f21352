"""Which metrics a study wants, and the numbers there are of them: plain data, as the store holds it.

A file of the folder `metrics` has entries, each the figures of one metric of a mask (`of` is its pruning key), of two
masks (both keys, sorted) or of a finished cell (its key). Files are written once; a metric that is asked for later
adds files and changes none. So no record and no receipt depends on which metrics a suite asks for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any

from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.suite.specs import MetricSpec

SCHEMA = 1
Of = tuple[str, ...]


def single(cells: Iterable[Cell], metrics: Iterable[MetricSpec]) -> Iterator[tuple[Of, MetricSpec]]:
    """What can be measured of each cell alone: its mask, unless it is its parent's, and its training."""
    measured = set[str]()
    for cell in cells:
        masked = cell.ablation != "reinit" and cell.pruning_key not in measured  # several trainings have one mask
        for spec in metrics:
            if spec.stage == "training" or (spec.stage == "mask" and masked):
                yield (cell.pruning_key if spec.stage == "mask" else cell.key,), spec
        if masked:
            measured.add(cell.pruning_key)


def pairs(cells: Iterable[Cell], metrics: Iterable[MetricSpec]) -> Iterator[tuple[Of, MetricSpec]]:
    """What can be measured of two cells of a block at one sparsity, the smaller pruning key first."""
    at: dict[float, set[str]] = defaultdict(set)
    for cell in cells:
        at[cell.sparsity].add(cell.pruning_key)
    for keys in at.values():
        for both in combinations(sorted(keys), 2):
            for spec in metrics:
                if spec.stage == "pair":
                    yield both, spec


class Measurements:
    """The figures there are, by what they are of and by metric."""

    def __init__(self, files: Iterable[Mapping[str, Any]] = ()) -> None:
        self.files = tuple(files)
        self._entries: dict[tuple[Of, str], Mapping[str, Any]] = {}
        for file in self.files:
            for entry in file["entries"]:
                place = (tuple(entry["of"]), entry["identity"])
                if place not in self._entries or not entry["error"]:
                    self._entries[place] = entry

    def numbers(self, of: Sequence[str], spec: MetricSpec) -> Mapping[str, float | None]:
        """Figures by name; {} where there are none."""
        found = self._entries.get((tuple(of), spec.identity))
        return found["numbers"] if found else {}

    def errors(self, metrics: Iterable[MetricSpec]) -> Iterator[tuple[Of, MetricSpec, str]]:
        """All that raised: what it was of, which metric, and why."""
        specs = {spec.identity: spec for spec in metrics}
        for (of, identity), found in self._entries.items():
            if found["error"] and identity in specs:
                yield of, specs[identity], found["error"]

    def lacks(self, of: Sequence[str], spec: MetricSpec, *, retry: bool = False) -> bool:
        """Whether it is still to be measured; with `retry`, also what failed."""
        found = self._entries.get((tuple(of), spec.identity))
        return found is None or (retry and bool(found["error"]))


def of_cells(files: Iterable[Mapping[str, Any]], cells: Iterable[Cell]) -> Measurements:
    """The figures of these cells and their masks; those of a whole study would fill the memory."""
    keys = {key for cell in cells for key in (cell.key, cell.pruning_key)}
    return Measurements(data for data in files if not all(keys.isdisjoint(e["of"]) for e in data["entries"]))


def about(files: Mapping[str, dict[str, Any]], keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Those of the files, by key, whose figures are all of these pruning keys and keys of cells."""
    known = set(keys)
    return {key: data for key, data in files.items() if known.issuperset(chain(*(e["of"] for e in data["entries"])))}


def entry(of: Sequence[str], spec: MetricSpec, numbers: Mapping[str, float | None], error: str = "") -> dict[str, Any]:
    """One metric of one thing, as it is stored."""
    return {
        "of": list(of),
        "metric": spec.name,
        "identity": spec.identity,
        "numbers": dict(numbers),
        "error": error[:2000],
    }


def file(entries: Sequence[Mapping[str, Any]], seconds: Mapping[str, float] | None = None) -> dict[str, Any]:
    """What is stored together: entries, under a key that names what was measured, and what it cost."""
    return {
        "schema": SCHEMA,
        "key": file_key((e["of"], e["identity"]) for e in entries),
        "status": "failed" if any(e["error"] for e in entries) else "ok",
        "entries": list(entries),
        "cost": dict(seconds or {}),
    }


def file_key(measured: Iterable[tuple[Sequence[str], str]]) -> str:
    """The key of a file, from what its entries are of and the identities of their metrics."""
    return digest(["measured", [[list(of), identity] for of, identity in measured]])
