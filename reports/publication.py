"""Published figures and recipes as the files beside this one hold them: read with care, each line checked."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FIGURES, RECIPES = "published.csv", "published_recipes.csv"
COLUMNS = (
    "source", "arxiv", "table", "dataset", "model", "criterion", "sparsity", "metric", "mean", "std", "seeds",
    "how_obtained", "selection",
)  # fmt: skip
FILLED = ("source", "table", "dataset", "model", "criterion", "metric", "how_obtained")
"""Columns of a figure that may not be empty: without them nobody can find it again."""
IDENTITY = ("source", "table", "dataset", "model")
NUMBERS = ("epochs", "batch_size", "lr", "gamma", "momentum", "weight_decay", "crop")
YES = {"yes": True, "no": False}


@dataclass(frozen=True)
class Quoted:
    """A published number, in percent of top-1 unless `reading` says otherwise; `line` is its line in the file.

    `std` is over `seeds` trainings. None: the source does not say.
    """

    line: int
    source: str
    arxiv: str
    table: str
    dataset: str
    model: str
    criterion: str
    sparsity: float | None
    metric: str
    mean: float
    std: float | None
    seeds: int | None
    how_obtained: str
    selection: str

    @property
    def reading(self) -> str:
        """What the number is: best epoch, last epoch, unstated (which epoch), or drop (not an accuracy)."""
        metric, selection = self.metric.lower(), self.selection.lower()
        if "drop" in metric:
            return "drop"
        if "best epoch" in metric or "best test epoch" in selection or "maximum over epochs" in selection:
            return "best epoch"
        return "last epoch" if "final epoch" in metric else "unstated"


@dataclass(frozen=True)
class KnownRecipe:
    """What is known of how the figures of one source, table, dataset and model were made, and where from.

    `training` are keys of a pabench recipe, `scoring` parameters by criterion; what is unknown is absent.
    """

    training: Mapping[str, Any]
    scoring: Mapping[str, Mapping[str, Any]]
    known_from: str


@dataclass(frozen=True)
class Literature:
    """All figures and recipes; `problems` name each line that could not be used."""

    figures: tuple[Quoted, ...]
    recipes: Mapping[tuple[str, ...], KnownRecipe] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def recipe(self, figure: Quoted) -> KnownRecipe | None:
        return self.recipes.get((figure.source, figure.table, figure.dataset, figure.model))


@cache
def shipped() -> Literature:
    """The files of this package."""
    folder = Path(__file__).parent
    return read((folder / FIGURES).read_bytes(), (folder / RECIPES).read_bytes())


def read(figures: bytes, recipes: bytes = b"") -> Literature:
    """Every line that holds, and a sentence for each that does not."""
    problems: list[str] = []
    found = tuple(_once(_usable(FIGURES, figures, COLUMNS, _figure, problems), problems))
    columns = (*IDENTITY, *NUMBERS, "schedule", "milestones", "nesterov", "flip", "criteria", "known_from")
    known = dict(_usable(RECIPES, recipes, columns, _recipe, problems)) if recipes else {}
    return Literature(found, known, tuple(problems))


def _once(figures: Iterable[Quoted], problems: list[str]) -> Iterator[Quoted]:
    """The figures, of those that are the same one the first; without a sparsity nobody can tell whether they are."""
    first: dict[tuple[Any, ...], int] = {}
    for f in figures:
        name = (f.source, f.table, f.dataset, f.model, f.criterion, f.sparsity, f.metric)
        line = f.line if f.sparsity is None else first.setdefault(name, f.line)
        if line == f.line:
            yield f
        else:
            problems.append(f"{FIGURES}:{f.line}: the same figure stands on line {line}, which is used; keep one")


def _usable(
    name: str,
    data: bytes,
    columns: tuple[str, ...],
    make: Callable[[int, dict[str, str]], Any],
    problems: list[str],
) -> Iterator[Any]:
    """What `make` gives for each line of a CSV file with these columns, in any order."""
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""), strict=True)
    try:
        header = next(lines, [])
        if sorted(header) != sorted(columns):
            wrong = sorted(set(columns) ^ set(header)) or ["one of them twice"]
            problems.append(f"{name}:1: expected the columns {', '.join(columns)}; wrong: {', '.join(wrong)}")
            return
        for fields in filter(any, lines):
            try:
                yield make(lines.line_num, _row(header, fields))
            except ValueError as error:
                problems.append(f"{name}:{lines.line_num}: {error}")
    except csv.Error as error:
        problems.append(f"{name}:{lines.line_num}: {error}; the lines after it are not read")


def _row(header: list[str], fields: list[str]) -> dict[str, str]:
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields, expected {len(header)}")
    return dict(zip(header, map(str.strip, fields), strict=True))


def _figure(line: int, row: dict[str, str]) -> Quoted:
    if empty := [column for column in FILLED if not row[column]]:
        raise ValueError(f"{empty[0]}: is empty")
    mean, std, seeds = _number(row, "mean"), _number(row, "std"), _number(row, "seeds")
    sparsity = _number(row, "sparsity")
    if mean is None or not (0 <= mean <= 100 or "drop" in row["metric"].lower()):
        raise ValueError(f"mean: {row['mean']!r} is no percentage")
    if sparsity is not None and not 0 <= sparsity < 1:
        raise ValueError(f"sparsity: {row['sparsity']} is not in [0, 1): the removed share of the weights")
    if std is not None and std < 0:
        raise ValueError(f"std: {row['std']} is negative")
    if seeds is not None and (seeds < 1 or seeds % 1):
        raise ValueError(f"seeds: {row['seeds']} is no number of trainings")
    texts = {key: row[key] for key in (*FILLED, "arxiv", "selection")}
    return Quoted(
        line=line, sparsity=sparsity, mean=mean, std=std, seeds=None if seeds is None else int(seeds), **texts
    )


def _recipe(_: int, row: dict[str, str]) -> tuple[tuple[str, ...], KnownRecipe]:
    training: dict[str, Any] = {key: value for key in NUMBERS if (value := _number(row, key)) is not None}
    training |= {key: YES[row[key]] for key in ("nesterov", "flip") if row[key] in YES}
    if row["schedule"]:
        training["schedule"] = row["schedule"]
    if row["milestones"]:
        training["milestones"] = [int(word) for word in row["milestones"].split()]
    if not row["known_from"]:
        raise ValueError("known_from: is empty")
    return tuple(row[key] for key in IDENTITY), KnownRecipe(training, _scoring(row["criteria"]), row["known_from"])


def _scoring(text: str) -> dict[str, dict[str, Any]]:
    """`snip: bn=eval, steps=1; synflow: steps=100` as parameters by criterion."""
    found = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, colon, pairs = part.partition(":")
        if not colon or not all("=" in pair for pair in pairs.split(",")):
            raise ValueError(f"criteria: {part!r}; expected NAME: KEY=VALUE, KEY=VALUE")
        found[name] = {
            key.strip(): _value(value.strip()) for key, _, value in (x.partition("=") for x in pairs.split(","))
        }
    return found


def _value(text: str) -> Any:
    if text in YES:
        return YES[text]
    try:
        return float(text)
    except ValueError:
        return text


def _number(row: Mapping[str, str], column: str) -> float | None:
    if not row[column]:
        return None
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{column}: {row[column][:40]!r} is no number")
    return number
