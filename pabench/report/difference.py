"""What differs between two results folders: how they were made, which cells they have, and what came out."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pabench.report.alike import facts_of
from pabench.report.folders import read, told_apart
from pabench.report.study import Study
from pabench.statistics.contrast import Contrast, contrasts, seed_noise
from pabench.store.quality import points_of
from pabench.store.record import RECORDED
from pabench.store.store import VOLATILE
from pabench.suite.cell import Cell, facts
from pabench.suite.digest import canonical
from pabench.words import plain

SAME, BEYOND_NOISE, NO_VERDICT = 0, 3, 4
CALLED = {
    "receipt.mask": "mask",
    "result.top1": "top-1",
    "result.r2": "R²",
    "result.loss": "loss",
    "result.right": "which test images are right",
}
"""What reports call a field of a record; others are told by their path."""
OF_CELL = frozenset({"schema", "key", "block", "cell", "labels", "ablation", "parent"})
"""What a record says of its cell: the key stands for it, and paths and wording in it may differ between executions."""


@dataclass(frozen=True)
class Change:
    """Something that a study says of itself and the other says otherwise; "" where one says nothing."""

    what: str
    first: str
    second: str


@dataclass(frozen=True)
class Older:
    """A field that one side lacks, since an older version wrote no such field: no difference. `cells`: 0 for a study's.

    `lacking` is the label of the study that lacks it.
    """

    what: str
    lacking: str
    cells: int = 0


@dataclass(frozen=True)
class Altered:
    """A cell of one key, so of one result by right, with two: the fields `what` differ in records that have both.

    `noise` is the SD of top-1 over seeds.

    `environment`: what differs between the two executions and may explain it, "" if nothing that is recorded.
    """

    title: str
    key: str
    what: tuple[str, ...]
    first: float | None
    second: float | None
    noise: float | None
    environment: str

    @property
    def change(self) -> float | None:
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class Difference:
    """Two studies side by side. `shared` cells have one key in both, and `equal` of them equal results in both.

    `older` are fields that one side lacks. `unlike` are cells of one key that are finished in one study alone;
    `only_first` and `only_second` cells whose key the other does not have, of which `corresponding` differ in the key
    alone (same names, sparsity and seed).
    """

    first: str
    second: str
    changes: tuple[Change, ...]
    suite: tuple[str, ...]
    older: tuple[Older, ...]
    broken: tuple[int, int]
    shared: int
    equal: int
    altered: tuple[Altered, ...]
    unlike: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    corresponding: int
    contrasts: tuple[Contrast, ...]

    @property
    def unexplained(self) -> int:
        """Cells with two results on equal versions and hardware: not deterministic, or altered afterwards."""
        return sum(not one.environment for one in self.altered)

    @property
    def code(self) -> int:
        """0: nothing beyond noise; 3: something is; 4: no verdict, for nothing corresponds or nothing can be tested."""
        verdicts = {one.verdict for one in self.contrasts}
        if self.unexplained or verdicts & {"higher", "lower"}:
            return BEYOND_NOISE
        return SAME if "not separable" in verdicts or verdicts == {"identical"} else NO_VERDICT

    def to_json(self) -> dict[str, Any]:
        told = asdict(self)
        told["contrasts"] = [{**asdict(one), "verdict": one.verdict} for one in self.contrasts]
        told["altered"] = [{**asdict(one), "change": one.change} for one in self.altered]
        return {**told, "code": self.code}


def difference(first: Path, second: Path) -> Difference:
    """Of two results folders, the second against the first."""
    a, b = told_apart([read(first), read(second)])
    cells_a, cells_b = a.cells, b.cells
    both = {key: (_status(a, key), _status(b, key)) for key in cells_a if key in cells_b}
    finished = [key for key, became in both.items() if became == ("ok", "ok")]
    in_one = [(cells_a[key], became) for key, became in both.items() if (became[0] == "ok") != (became[1] == "ok")]
    noise = seed_noise(a.frame, b.frame)
    fields = {key: list(_unequal(a.records[key], b.records[key])) for key in finished}
    altered = tuple(
        _altered(cells_a[key], a, b, noise, what)
        for key, found in fields.items()
        if (what := [CALLED.get(path, path) for path, side in found if not side and _is_result(path)])
    )
    lacking = Counter((CALLED.get(path, path), side) for found in fields.values() for path, side in found if side)
    del lacking["bank", 1], lacking["bank", 2]  # where a cell was taken from, which no other version says of its own
    compared = list(_compared(a, b))
    only_a = [cell for key, cell in cells_a.items() if key not in cells_b]
    only_b = [cell for key, cell in cells_b.items() if key not in cells_a]
    return Difference(
        first=a.label,
        second=b.label,
        changes=tuple(one for one in compared if isinstance(one, Change) and one.first != one.second),
        suite=tuple(_suite(a, b)),
        older=(
            *(one for one in compared if isinstance(one, Older)),
            *(Older(what, (a, b)[side - 1].label, n) for (what, side), n in lacking.items()),
        ),
        broken=(a.broken, b.broken),
        shared=len(both),
        equal=len(finished) - len(altered),
        altered=altered,
        unlike=tuple(plain(f"{cell.title}: {one} and {other}") for cell, (one, other) in in_one),
        only_first=tuple(plain(cell.title) for cell in only_a),
        only_second=tuple(plain(cell.title) for cell in only_b),
        corresponding=len({cell.title for cell in only_a} & {cell.title for cell in only_b}),
        contrasts=tuple(contrasts(a.frame, b.frame)),
    )


def _status(part: Study, key: str) -> str:
    return str(part.records.get(key, {}).get("status", "missing"))


def _is_result(path: str) -> bool:
    """Whether a field is one that two executions of a cell must share."""
    return path.partition(".")[0] not in VOLATILE | OF_CELL


def _unequal(first: Any, second: Any, path: str = "") -> Iterator[tuple[str, int | None]]:
    """The fields that are not equal, each once by its path, and which side lacks it: 1, 2, or None where both have it.

    Items of lists are one field: `receipt.layers.kept` is that of any layer.
    """
    if first is None or second is None:
        if first is not second:
            yield path, 1 if first is None else 2
    elif isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in sorted(first.keys() | second.keys()):
            yield from _unequal(first.get(key), second.get(key), f"{path}.{plain(key)}" if path else plain(key))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        items = zip(first, second, strict=True)
        yield from dict.fromkeys(chain.from_iterable(_unequal(one, other, path) for one, other in items))
    elif first != second:
        yield path, None


def _altered(cell: Cell, a: Study, b: Study, noise: Mapping[tuple[str, str], float], what: Iterable[str]) -> Altered:
    first, second = a.records[cell.key], b.records[cell.key]
    ran = [record.get("environment") or {} for record in (first, second)]
    drift = [
        f"{name} {plain(ran[0].get(name, '?'))} and {plain(ran[1].get(name, '?'))}"
        for name in RECORDED
        if ran[0].get(name) != ran[1].get(name)
    ]
    return Altered(
        title=plain(cell.title),
        key=cell.key,
        what=tuple(what),
        first=points_of(first["result"]) if first.get("result") else None,
        second=points_of(second["result"]) if second.get("result") else None,
        noise=noise.get((plain(cell.dataset.label), plain(cell.model.label))),
        environment=", ".join(drift),
    )


def _compared(a: Study, b: Study) -> Iterator[Change | Older]:
    """What both say, be it equal or not: the axes, what each thing of both says of itself, what it all ran on."""

    def told(what: str, first: Collection[str], second: Collection[str]) -> Change | Older:
        if bool(first) is bool(second):
            return Change(what, " or ".join(sorted(first)), " or ".join(sorted(second)))
        return Older(what, b.label if first else a.label)

    axes, others = _axes(a), _axes(b)
    for name, values in axes.items():
        more, less = [x for x in values if x not in others[name]], [x for x in others[name] if x not in values]
        yield Change(f"{name} of one alone", ", ".join(more), ", ".join(less))
    facts_a, facts_b = _facts(a), _facts(b)
    for thing in filter(facts_b.__contains__, facts_a):
        mine, theirs = facts_a[thing], facts_b[thing]
        for key in sorted(mine.keys() | theirs.keys()):
            yield told(f"{thing}: {key}", mine.get(key, ()), theirs.get(key, ()))
    for name in RECORDED:
        if (ran := _environment(a, name)) and (also := _environment(b, name)):
            yield told(f"environment: {name}", ran, also)
    if bool(_text(a)) is not bool(_text(b)):
        yield told("the suite's text", _text(a), _text(b))


def _axes(part: Study) -> dict[str, list[str]]:
    frame = part.frame
    columns = {
        "datasets": "dataset",
        "models": "model",
        "criteria": "criterion",
        "ablations": "ablation",
        "trainings": "train",
    }
    found = {name: [str(x) for x in frame[column].unique() if x] for name, column in columns.items()}
    found["sparsities"] = [f"{x:g}" for x in sorted(frame["sparsity"].unique())]
    return {**found, "seeds": [str(x) for x in sorted(frame["seed"].unique())]}


def _facts(part: Study) -> dict[str, dict[str, set[str]]]:
    """By thing (a recipe, dataset, model, criterion, metric) and key: all values that cells give it."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def say(thing: str, entries: Mapping[str, Any]) -> None:
        for key, value in entries.items():
            text = value if isinstance(value, str) else canonical(value)
            found[plain(thing)][plain(key)].add(_short(plain(text)))

    for cell in part.cells.values():
        told, dataset = facts(cell), cell.dataset.label
        say("protocol", {"name": cell.protocol})
        say("scoring", facts_of("scoring", told))
        say(f"recipe on {dataset}", facts_of("recipe", told))
        say(f"dataset {dataset}", facts_of("dataset", told))
        say(f"model {cell.model.label} on {dataset}", facts_of("model", told))
        if cell.criterion:
            say(f"criterion {cell.criterion.label}", facts_of("criterion", told))
            say(f"training {cell.train.label}", facts_of("train", told))
    for spec in part.metrics:
        say(f"metric {spec.name}", {"parameters": dict(spec.args), "version": spec.version, "source": spec.source})
    return found


def _short(text: str) -> str:
    """A hash by its first digits."""
    return text[:12] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text[:120]


def _environment(part: Study, name: str) -> set[str]:
    return {plain(one[name]) for one in part.environments if one.get(name) is not None}


def _suite(a: Study, b: Study) -> Iterator[str]:
    """Lines of the suites that differ, comments aside, where both have their text."""
    first, second = _text(a), _text(b)
    if not (first and second):
        return iter(())
    return difflib.unified_diff(first, second, fromfile="first", tofile="second", lineterm="", n=0)


def _text(part: Study) -> list[str]:
    """The lines of its suite without comments; [] in a study that does not have them."""
    return [line for line in plain(part.manifest.get("suite") or "").splitlines() if not line.lstrip().startswith("#")]
