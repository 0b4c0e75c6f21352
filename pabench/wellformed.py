"""Level 1: a submission is well-formed. Schemas, hashes, ranges, keys derived again, and a whole grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pabench import grid, schema
from pabench.cell import Cell, digest
from pabench.foreign import STUDY, SUBMISSION, Flaw, Foreign
from pabench.measurement import file as measured
from pabench.record import labels, same_labels

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

    def title(self, key: str) -> str:
        return self.cells[key].title if key in self.cells else ""


def check(foreign: Foreign) -> Wellformed:
    """Everything that level 1 finds. A results folder may hold records of earlier suites, a submission may not."""
    found = Wellformed(foreign, flaws=list(foreign.flaws))
    study = foreign.study
    if study is None:
        if not any(flaw.file == STUDY for flaw in found.flaws):
            found.flaws.append(Flaw(LEVEL, STUDY, "the study's manifest", "nothing"))
        return found
    found.flaws += _study(found, study)
    if foreign.is_submission:
        found.flaws += _listed(foreign)
    found.flaws += _records(found)
    found.flaws += _receipts(found)
    found.flaws += _measured(found)
    found.flaws += _complete(found)
    return found


def _study(found: Wellformed, study: Mapping[str, Any]) -> Iterator[Flaw]:
    stated = study.get("sha256")
    computed = digest({key: value for key, value in study.items() if key != "sha256"})
    if stated != computed:
        yield Flaw(LEVEL, STUDY, computed, str(stated), "sha256")
    wrong = schema.problems(schema.Study, study)
    yield from (Flaw(LEVEL, STUDY, expected, there, where) for where, expected, there in wrong)
    if wrong:
        return
    for index, data in enumerate(study["cells"]):
        try:
            cell = schema.cell(data)
        except ValueError as error:
            yield Flaw(LEVEL, STUDY, "a cell", str(error), f"cells.{index}")
            continue
        if cell.key in found.cells:
            yield Flaw(LEVEL, STUDY, "each cell once", "it stands there twice", f"cells.{index}", cell.title)
        found.cells[cell.key] = cell
    cells = list(found.cells.values())
    for what, name in grid.ambiguous(cells):
        yield Flaw(LEVEL, STUDY, f"one meaning of the {what} {name}, and no second name for it", "two", "cells")
    yield from (Flaw(LEVEL, STUDY, "a whole grid", gap, "cells") for gap in grid.gaps(cells))
    for what, expected, there in grid.departures(study, cells):
        yield Flaw(LEVEL, STUDY, f"{expected} (the suite's)", there, what)
    yield from _metrics(study)


def _metrics(study: Mapping[str, Any]) -> Iterator[Flaw]:
    """Names of metrics become columns of tables: each once, and none that a table has already."""
    if not study.get("metrics"):
        return
    from pabench.frame import COLUMNS

    names = [metric["name"] for metric in study["metrics"]]
    for name in sorted({name for name in names if name in COLUMNS or names.count(name) > 1}):
        yield Flaw(LEVEL, STUDY, "names of metrics that no other column of a table has", name, "metrics")


def _listed(foreign: Foreign) -> Iterator[Flaw]:
    """The list of files against the files."""
    stated = foreign.documents.get(SUBMISSION)
    if stated is None:
        return
    wrong = schema.problems(schema.Submission, stated)
    yield from (Flaw(LEVEL, SUBMISSION, expected, there, where) for where, expected, there in wrong)
    if wrong:
        return
    listed = stated["files"]
    there = {path: sha for path, sha in foreign.files.items() if path not in (SUBMISSION, "README.md")}
    broken = {flaw.file for flaw in foreign.flaws}
    for path in sorted(set(listed) - set(there) - broken):
        yield Flaw(LEVEL, path, f"the file that {SUBMISSION} lists", "no such file")
    for path in sorted(set(there) - set(listed)):
        yield Flaw(LEVEL, path, f"only files that {SUBMISSION} lists", "another file")
    for path in sorted(set(there) & set(listed)):
        if there[path] != listed[path]["sha256"]:
            yield Flaw(LEVEL, path, listed[path]["sha256"], there[path], f"sha256 in {SUBMISSION}")
    if stated["digest"] != foreign.digest:
        yield Flaw(LEVEL, SUBMISSION, foreign.digest, stated["digest"], "digest")


def _records(found: Wellformed) -> Iterator[Flaw]:
    for key, record in found.foreign.all("records").items():
        path = f"records/{key}.json"
        if key not in found.cells:
            if found.foreign.is_submission:
                yield Flaw(LEVEL, path, f"a record of a cell in {STUDY}", "the record of another cell", "key")
            continue
        title = found.cells[key].title
        wrong = schema.problems(schema.Record, record)
        yield from (Flaw(LEVEL, path, expected, there, where, title) for where, expected, there in wrong)
        if wrong:
            continue
        try:
            cell = schema.cell(record["cell"])
        except ValueError as error:
            yield Flaw(LEVEL, path, "a cell", str(error), "cell", title)
            continue
        parent = cell.parent().key if cell.ablation else ""
        derived = {"key": cell.key, "block": cell.block, "labels": labels(cell)}
        optional = {"ablation": cell.ablation, "parent": parent}
        differing = [(k, v) for k, v in {**optional, **derived}.items() if record.get(k, optional.get(k)) != v]
        if same_labels(record["labels"], labels(cell)):
            differing = [(k, v) for k, v in differing if k != "labels"]
        if key != cell.key:
            differing.append(("key", key))
        for name, value in differing:
            yield Flaw(LEVEL, path, f"{value} (derived from the cell)", str(record.get(name)), name, title)
        if (record["status"] == "ok") != (record["result"] is not None):
            yield Flaw(LEVEL, path, "a result if and only if the status is ok", record["status"], "status", title)
        elif not differing:
            found.records[key] = record


def _receipts(found: Wellformed) -> Iterator[Flaw]:
    expected = {cell.pruning_key: cell.title for cell in found.cells.values() if cell.criterion}
    for key, receipt in found.foreign.all("receipts").items():
        path = f"receipts/{key}.json"
        if key not in expected:
            if found.foreign.is_submission:
                yield Flaw(LEVEL, path, f"a receipt of a cell in {STUDY}", "the receipt of another cell", "key")
            continue
        wrong = schema.problems(schema.Outcome, receipt)
        yield from (Flaw(LEVEL, path, expects, there, where, expected[key]) for where, expects, there in wrong)
        if receipt.get("key") != key:
            yield Flaw(LEVEL, path, key, str(receipt.get("key")), "key", expected[key])
        elif not wrong:
            found.receipts[key] = receipt


def _measured(found: Wellformed) -> Iterator[Flaw]:
    prunings = {cell.pruning_key for cell in found.cells.values()}
    checks = {cell.check_key for cell in found.cells.values()}
    for key, data in found.foreign.all("metrics").items():
        path = f"metrics/{key}.json"
        wrong = schema.problems(schema.Measured, data)
        yield from (Flaw(LEVEL, path, expected, there, where) for where, expected, there in wrong)
        if wrong:
            continue
        if not key == data["key"] == measured(data["entries"])["key"]:
            yield Flaw(LEVEL, path, measured(data["entries"])["key"], data["key"], "key")
        strange = {of for e in data["entries"] for of in e["of"]} - prunings - set(found.cells)
        if strange and found.foreign.is_submission:
            yield Flaw(LEVEL, path, f"figures of cells in {STUDY}", f"figures of {min(strange)}", "entries")
    for key, data in found.foreign.all("checks").items():
        for where, expected, there in schema.problems(schema.Part, data):
            yield Flaw(LEVEL, f"checks/{key}.json", expected, there, where)
        if data.get("key") != key or (found.foreign.is_submission and key not in checks):
            yield Flaw(LEVEL, f"checks/{key}.json", f"a finding on a cell in {STUDY}", str(data.get("key")), "key")


def _complete(found: Wellformed) -> Iterator[Flaw]:
    """Every expected cell has a record, or the submission says that it has none."""
    there = found.foreign.all("records")
    found.missing = [cell for key, cell in found.cells.items() if key not in there]
    stated = found.foreign.documents.get(SUBMISSION, {}).get("incomplete", [])
    declared = set(stated) if isinstance(stated, list) and all(isinstance(x, str) for x in stated) else set()
    broken = {flaw.file for flaw in found.foreign.flaws}
    for cell in found.missing:
        path = f"records/{cell.key}.json"
        if cell.key not in declared and path not in broken:
            yield Flaw(LEVEL, path, "a record of every cell of the study", "no record", "", cell.title)
    for key in sorted(declared & set(there)):
        yield Flaw(LEVEL, SUBMISSION, "only cells without a record", key, "incomplete", found.title(key))
