"""Level 1: a submission is well-formed. Schemas, hashes, ranges, keys derived again, and a whole grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from pydantic import BaseModel

from pabench.leaderboard.verification import grid
from pabench.leaderboard.verification.folder import MAX_FLAWS, README, STUDY, SUBMISSION, Flaw, Foreign
from pabench.store import manifest, schema
from pabench.store.figures import file as measured
from pabench.store.record import labels, same_labels
from pabench.suite.cell import Cell

LEVEL = 1


@dataclass
class Wellformed:
    """What level 1 leaves for the others: the expected `cells` by key, valid `records`, `receipts` by key, `missing`
    cells, and the `flaws`."""

    foreign: Foreign
    cells: dict[str, Cell] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[Cell] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def finished(self) -> list[tuple[Cell, dict[str, Any]]]:
        """The cells that have a result, with their valid records."""
        return [(self.cells[key], record) for key, record in self.records.items() if record["status"] == "ok"]


def check(foreign: Foreign) -> Wellformed:
    """Everything that level 1 finds. A results folder may hold records of earlier suites, a submission may not."""
    found = Wellformed(foreign, flaws=list(foreign.flaws))
    if foreign.study is None:
        if STUDY not in {flaw.file for flaw in found.flaws}:
            found.flaws.append(Flaw(LEVEL, STUDY, "the study's manifest", "nothing"))
        return found
    # in this order: each goes on with what those before it left valid
    for part in (_study, _listed, _of_cells, _metrics, _checks, _complete):
        found.flaws += islice(part(found), MAX_FLAWS - len(found.flaws))
    return found


def _shape(model: type[BaseModel], data: Any, path: str, title: str = "") -> list[Flaw]:
    """What a document is not and should be by its schema."""
    return [Flaw(LEVEL, path, expected, there, where, title) for where, expected, there in schema.problems(model, data)]


def _study(found: Wellformed) -> Iterator[Flaw]:
    study = found.foreign.documents[STUDY]
    computed = manifest.digest({key: value for key, value in study.items() if key != "sha256"})
    if study.get("sha256") != computed:
        yield Flaw(LEVEL, STUDY, computed, str(study.get("sha256")), "sha256")
    if wrong := _shape(schema.Study, study, STUDY):
        yield from wrong
        return
    yield from _cells(found, study["cells"])
    cells = list(found.cells.values())
    for what, name in grid.ambiguous(cells):
        yield Flaw(LEVEL, STUDY, f"one meaning of the {what} {name}, and no second name for it", "two", "cells")
    for gap in grid.gaps(cells):
        yield Flaw(LEVEL, STUDY, "a whole grid", gap, "cells")
    for what, expected, there in grid.departures(study, cells):
        yield Flaw(LEVEL, STUDY, f"{expected} (the suite's)", there, what)
    yield from _columns(study)


def _cells(found: Wellformed, listed: Sequence[Any]) -> Iterator[Flaw]:
    cells = schema.Cells()
    for index, data in enumerate(listed):
        try:
            cell = cells.cell(data)
        except ValueError as error:
            yield Flaw(LEVEL, STUDY, "a cell", str(error), f"cells.{index}")
            continue
        if cell.key in found.cells:
            yield Flaw(LEVEL, STUDY, "each cell once", "it stands there twice", f"cells.{index}", cell.title)
        found.cells[cell.key] = cell


def _columns(study: Mapping[str, Any]) -> Iterator[Flaw]:
    """Names of metrics become columns of tables: each once, and none that a table has already."""
    names = [metric["name"] for metric in study.get("metrics", ())]
    if not names:
        return
    from pabench.report.frame import COLUMNS  # pandas, for the few studies with metrics alone

    for name in sorted({name for name in names if name in COLUMNS or names.count(name) > 1}):
        yield Flaw(LEVEL, STUDY, "names of metrics that no other column of a table has", name, "metrics")


def _listed(found: Wellformed) -> Iterator[Flaw]:
    """The list of files against the files."""
    foreign, stated = found.foreign, found.foreign.documents.get(SUBMISSION)
    if stated is None:
        return
    if wrong := _shape(schema.Submission, stated, SUBMISSION):
        yield from wrong
        return
    listed = stated["files"]
    there = {path: sha for path, sha in foreign.files.items() if path not in (SUBMISSION, README)}
    broken = {flaw.file for flaw in foreign.flaws}
    for path in sorted({*listed, *there}):
        if path not in listed:
            yield Flaw(LEVEL, path, f"only files that {SUBMISSION} lists", "another file")
        elif path not in there and path not in broken:
            yield Flaw(LEVEL, path, f"the file that {SUBMISSION} lists", "no such file")
        elif path in there and there[path] != listed[path]["sha256"]:
            yield Flaw(LEVEL, path, listed[path]["sha256"], there[path], f"sha256 in {SUBMISSION}")
    if stated["digest"] != foreign.digest:
        yield Flaw(LEVEL, SUBMISSION, foreign.digest, stated["digest"], "digest")


def _of_cells(found: Wellformed) -> Iterator[Flaw]:
    """Records and receipts, each of a cell of the study; those with nothing wrong are left to the other levels."""
    pruned = {cell.pruning_key: cell for cell in found.cells.values() if cell.criterion}
    kinds = (("record", found.cells, found.records, _record), ("receipt", pruned, found.receipts, _receipt))
    for what, cells, valid, judge in kinds:
        for key, data in found.foreign.all(f"{what}s").items():
            path = f"{what}s/{key}.json"
            if key in cells:
                wrong = list(judge(cells[key], data, path))
                yield from wrong
                if not wrong:
                    valid[key] = data
            elif found.foreign.is_submission:
                yield Flaw(LEVEL, path, f"a {what} of a cell in {STUDY}", f"the {what} of another cell", "key")


def _record(expected: Cell, record: Mapping[str, Any], path: str) -> Iterator[Flaw]:
    """A record against its schema, and what it says besides its cell against what follows from that."""
    if wrong := _shape(schema.Record, record, path, expected.title):
        yield from wrong
        return
    flaw = partial(Flaw.of, LEVEL, expected)
    try:
        cell = schema.cell(record["cell"])
    except ValueError as error:
        yield flaw("cell", "a cell", error)
        return
    parent = cell.parent().key if cell.ablation else ""
    derived: dict[str, Any] = {"key": cell.key, "block": cell.block, "ablation": cell.ablation, "parent": parent}
    if not same_labels(record["labels"], labels(cell)):
        derived["labels"] = labels(cell)
    for name, value in derived.items():
        # what came later than the first records need not be there
        if record.get(name, value) != value:
            yield flaw(name, f"{value} (derived from the cell)", record[name])
    if expected.key != cell.key:
        yield flaw("key", f"{expected.key} (derived from the cell)", record["key"])
    if (record["status"] == "ok") != (record["result"] is not None):
        yield flaw("status", "a result if and only if the status is ok", record["status"])


def _receipt(cell: Cell, receipt: Mapping[str, Any], path: str) -> Iterator[Flaw]:
    yield from _shape(schema.Outcome, receipt, path, cell.title)
    if receipt.get("key") != cell.pruning_key:
        yield Flaw(LEVEL, path, cell.pruning_key, str(receipt.get("key")), "key", cell.title)


def _metrics(found: Wellformed) -> Iterator[Flaw]:
    figures = found.foreign.all("metrics")
    known = {cell.pruning_key for cell in found.cells.values()} | set(found.cells) if figures else set[str]()
    for key, data in figures.items():
        path = f"metrics/{key}.json"
        if wrong := _shape(schema.Measured, data, path):
            yield from wrong
            continue
        derived = measured(data["entries"])["key"]
        if not key == data["key"] == derived:
            yield Flaw(LEVEL, path, derived, data["key"], "key")
        strange = {of for entry in data["entries"] for of in entry["of"]} - known
        if strange and found.foreign.is_submission:
            yield Flaw(LEVEL, path, f"figures of cells in {STUDY}", f"figures of {min(strange)}", "entries")


def _checks(found: Wellformed) -> Iterator[Flaw]:
    checks = found.foreign.all("checks")
    known = {cell.check_key for cell in found.cells.values()} if checks else set[str]()
    for key, data in checks.items():
        path = f"checks/{key}.json"
        yield from _shape(schema.Part, data, path)
        if data.get("key") != key or (found.foreign.is_submission and key not in known):
            yield Flaw(LEVEL, path, f"a finding on a cell in {STUDY}", str(data.get("key")), "key")


def _complete(found: Wellformed) -> Iterator[Flaw]:
    """Every expected cell has a record, or the submission says that it has none."""
    there = found.foreign.all("records")
    found.missing = [cell for key, cell in found.cells.items() if key not in there]
    stated = found.foreign.documents.get(SUBMISSION, {}).get("incomplete", [])
    # of any other shape it was named before, as all that is in the list of files
    declared = set(stated) if isinstance(stated, list) and all(isinstance(x, str) for x in stated) else set()
    broken = {flaw.file for flaw in found.foreign.flaws}
    for cell in found.missing:
        if cell.key not in declared and f"records/{cell.key}.json" not in broken:
            yield Flaw.of(LEVEL, cell, "", "a record of every cell of the study", "no record")
    for key in sorted(declared & set(there)):
        title = found.cells[key].title if key in found.cells else ""
        yield Flaw(LEVEL, SUBMISSION, "only cells without a record", key, "incomplete", title)
