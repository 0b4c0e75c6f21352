"""One row per expected cell of a study, whatever became of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from pabench.report.study import Study
from pabench.report.told import NOTHING, NUMBERS, TEXTS, Teller, Told
from pabench.statistics.outcomes import chance_bound, outcome
from pabench.store.figures import Measurements
from pabench.store.quality import R2, TOP1, Quality
from pabench.suite.cell import DENSE, STATUSES, Cell
from pabench.suite.specs import PLAIN, MetricSpec
from pabench.words import plain


def study(
    manifest: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    measurements: Iterable[Mapping[str, Any]] = (),
    told: Mapping[str, Told] | None = None,
) -> Study:
    """The study of a manifest and its records. A record that is not in the manifest becomes a stray.

    `measurements` are the store's files of metrics; numbers of the metrics in the manifest become columns. `told` is
    what is told of the records, where they have been read already.
    """
    if told is None:
        teller = Teller()
        told = {key: teller.told(record) for key, record in records.items()}
    cells = {cell.key: cell for cell in Cell.all_from_json(manifest["cells"])}
    strays = tuple(sorted(told.keys() - cells.keys()))
    metrics = tuple(MetricSpec(**m) for m in manifest.get("metrics", ()))
    measured = Measurements(measurements)
    frame = _frame(cells, [told.get(key, NOTHING) for key in cells], manifest, metrics, measured)
    in_order = {key: told[key] for key in (*cells, *strays) if key in told}
    return Study(manifest, frame, records, cells, in_order, strays, metrics, measured)


def _frame(
    by_key: Mapping[str, Cell],
    told: Sequence[Told],
    manifest: Mapping[str, Any],
    metrics: Sequence[MetricSpec],
    measured: Measurements,
) -> pd.DataFrame:
    """A row for each cell: identity, what is told of its record (NaN and "" where it says nothing), how to rerun it.

    `batch` is the number of scoring images per class: criteria that ask for the same number see the same images.
    `parent` is the key of the plain cell that an `ablation` is compared with. `reference_line` says why it is no
    criterion to be ranked; "" for criteria and the dense baseline. `train` is how it was trained, `plain` for the
    dense baseline. `top1` is what cells are compared by, in points: where targets are numbers it holds 100 R²
    (`store.quality`), and `quality` says what rows hold.
    """
    cells = list(by_key.values())
    ablated, trained = any(cell.ablation for cell in cells), not all(cell.train.is_plain for cell in cells)
    failed = [one.status == "failed" for one in told]
    numbers = pd.DataFrame(np.array([one.numbers for one in told]).reshape(-1, len(NUMBERS)), columns=list(NUMBERS))
    for accuracy, r2 in (("top1", "r2"), ("training_top1", "training_r2")):
        numbers[accuracy] = numbers[accuracy].where(numbers[r2].isna(), numbers[r2] / R2.point)
    numbers.loc[[cell.criterion is None for cell in cells], ["scoring_seconds", "scoring_peak_bytes"]] = nan
    identity: dict[str, Sequence[Any]] = {
        "key": list(by_key),
        "block": [cell.block for cell in cells],
        "dataset": [plain(cell.dataset.label) for cell in cells],
        "model": [plain(cell.model.label) for cell in cells],
        "criterion": [plain(cell.criterion.label) if cell.criterion else DENSE for cell in cells],
        "reference_line": [plain(cell.criterion.reference_line) if cell.criterion else "" for cell in cells],
        "sparsity": [cell.sparsity for cell in cells],
        "seed": [cell.seed for cell in cells],
        "batch": [int(cell.criterion.args.get("examples_per_class", 0)) if cell.criterion else 0 for cell in cells],
        "status": [one.status for one in told],
        "ablation": [cell.ablation for cell in cells],
        "parent": [cell.parent().key if cell.ablation else "" for cell in cells],
        "train": [plain(cell.train.label) for cell in cells],
    }
    last: dict[str, Sequence[Any]] = {
        **{column: [one.texts[place] for one in told] for place, column in enumerate(TEXTS)},
        "flags": [tuple(sorted({flag for flag, _ in one.flags})) for one in told],
        "rerun": [
            rerun(cell, manifest, failed=fell, ablated=ablated, trained=trained)
            for cell, fell in zip(cells, failed, strict=True)
        ],
        **_outcomes(cells, told, numbers["top1"]),
    }
    figures = _figures(cells, metrics, measured)
    index = numbers.index
    return pd.concat([_columns(identity, index), numbers, figures, _columns(last, index)], axis=1)


def _columns(found: Mapping[str, Sequence[Any]], index: pd.Index) -> pd.DataFrame:
    """Texts are Python's own: those of Arrow, pandas 3's default, take three times as long to be picked and grouped."""
    kinds = {name: float if name in FLOATS else int if name in INTEGERS else object for name in found}
    return pd.DataFrame({name: pd.Series(found[name], index, kind) for name, kind in kinds.items()})


IMAGES = 10_000
"""Of a test set of which nothing says the size: as many as those of MNIST, CIFAR and Tiny ImageNet have."""


def _outcomes(cells: Sequence[Cell], told: Sequence[Told], top1: Iterable[float]) -> dict[str, list[Any]]:
    """What each cell counts as (`statistics.outcomes`), and the accuracy of guessing on its dataset, NaN if unknown."""
    tests: dict[str, tuple[float, int]] = {}
    for cell, one in zip(cells, told, strict=True):
        if one.tested and cell.dataset.label not in tests:
            by_class = one.tested.classes * int(cell.dataset.args.get("test_per_class") or 0)
            tests[cell.dataset.label] = one.tested.chance, one.tested.images or by_class or IMAGES
    made: dict[str, list[Any]] = {"outcome": [], "chance": []}
    for cell, one, reached in zip(cells, told, top1, strict=True):
        chance, images = tests.get(cell.dataset.label, (nan, 0))
        # without a bound the flag alone tells a collapse
        bound = chance_bound(chance, images) if images else -1.0
        flags = [flag for flag, _ in one.flags]
        made["outcome"].append(outcome(one.status, one.texts[0], reached, flags, bound))
        made["chance"].append(chance)
    return made


def _figures(cells: Sequence[Cell], metrics: Sequence[MetricSpec], measured: Measurements) -> pd.DataFrame:
    """The numbers of the metrics, a column for each: those of one metric together, in the order of their names."""
    found = [dict(_measured(cell, metrics, measured)) for cell in cells]
    columns = [
        (spec.name, column)
        for spec in metrics
        for column in sorted({column for numbers in found for column in numbers.get(spec.name, ())})
    ]
    rows = [[numbers.get(name, {}).get(column) for name, column in columns] for numbers in found]
    return pd.DataFrame(rows, columns=[column for _, column in columns], index=range(len(cells)), dtype=float)


def _measured(
    cell: Cell, metrics: Iterable[MetricSpec], measured: Measurements
) -> Iterator[tuple[str, dict[str, float | None]]]:
    """For each metric its name, and the numbers of the cell's mask or training by column.

    What was measured of a mask was measured on the weights that were scored, which a re-drawn network does not have.
    """
    keys = {"training": cell.key} if cell.ablation == "reinit" else {"mask": cell.pruning_key, "training": cell.key}
    for spec in metrics:
        if spec.stage in keys:
            numbers = measured.numbers((keys[spec.stage],), spec)
            yield spec.name, {spec.column(name): value for name, value in numbers.items()}


IDENTITY = (
    *("key", "block", "dataset", "model", "criterion", "reference_line"),
    *("sparsity", "seed", "batch", "status", "ablation", "parent", "train"),
)
FLOATS, INTEGERS = frozenset({"sparsity", "chance"}), frozenset({"seed", "batch"})
LAST = ("flags", "rerun", "outcome", "chance")
COLUMNS = frozenset((*IDENTITY, *NUMBERS, *TEXTS, *LAST, "study"))
"""What a metric cannot be called: its name would be a column of the same table."""


def strata(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each dataset and model, in their order, with what a heading calls them."""
    for (dataset, model), rows in frame.groupby(["dataset", "model"], sort=False):
        yield f"{dataset} · {model}", rows


def quality(rows: pd.DataFrame) -> Quality:
    """What the `top1` of rows is: accuracies, or R² where all that finished have it."""
    finished = rows[rows["top1"].notna()]
    return R2 if "r2" in rows and len(finished) and finished["r2"].notna().all() else TOP1


def in_r2(frame: pd.DataFrame) -> list[str]:
    """The datasets whose points are hundredths of R²."""
    return list(frame.loc[frame["r2"].notna(), "dataset"].unique()) if "r2" in frame else []


def pruned(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that are no dense baseline."""
    return frame[frame["criterion"] != DENSE]


def criteria_of(frame: pd.DataFrame) -> list[str]:
    """The labels of criteria and reference lines, in the order of the frame."""
    return [str(name) for name in frame["criterion"].unique() if name != DENSE]


def reference_lines(frame: pd.DataFrame) -> set[str]:
    """What stands beside the criteria and takes no part in their ranks and tests."""
    return set(frame.loc[frame["reference_line"] != "", "criterion"])


def title(row: Any) -> str:
    """How a row of the frame is named in lines of text."""
    ablation = f" / {row.ablation}" if row.ablation else ""
    train = "" if row.train == PLAIN.name else f" / {row.train}"
    return f"{row.dataset} / {row.model} / {row.criterion} {row.sparsity:g}{ablation}{train} / seed {row.seed}"


def chosen(rows: pd.DataFrame, *then: str) -> pd.DataFrame:
    """One row a cell, in the order of `rows`: that of a finished cell before a failed, skipped or missing one.

    Of several that ended alike it is the lowest by the columns `then`, and then the first.
    """
    rank = rows["status"].map({status: place for place, status in enumerate(STATUSES)})
    order = rows.assign(rank=rank, place=range(len(rows))).sort_values(["rank", *then, "place"])
    return rows.iloc[sorted(order.drop_duplicates("key")["place"])].reset_index(drop=True)


def rerun(
    cell: Cell, manifest: Mapping[str, Any], *, failed: bool, ablated: bool = False, trained: bool = False
) -> str:
    """The command that runs this cell alone, into the folder the study was run into.

    In a study with ablations (`ablated`) a plain cell of a criterion is one without; in one with other trainings
    (`trained`) it says how it is trained.
    """
    only = {
        **_of_what(cell),
        "sparsity": f"{cell.sparsity:g}",
        "seed": str(cell.seed),
        **({"ablation": cell.ablation or "none"} if ablated and cell.criterion else {}),
        **({"train": cell.train.label} if trained and cell.criterion else {}),
    }
    return " ".join([_command(manifest, only), *(["--retry failed"] if failed else [])])


def rerun_all(cell: Cell, manifest: Mapping[str, Any]) -> str:
    """The command that runs all cells of a cell's criterion on its dataset and model."""
    return _command(manifest, _of_what(cell))


def _of_what(cell: Cell) -> dict[str, str]:
    criterion = cell.criterion.label if cell.criterion else DENSE
    return {"dataset": cell.dataset.label, "model": cell.model.label, "criterion": criterion}


def _command(manifest: Mapping[str, Any], only: Mapping[str, str]) -> str:
    command = str(manifest.get("command") or "")
    suite = str(manifest.get("suite_path") or manifest["name"])
    return " ".join([_base(command, suite), *(_only(key, value) for key, value in only.items())])


@lru_cache(maxsize=4096)
def _only(key: str, value: str) -> str:
    return plain(f"--only {shlex.quote(f'{key}={value}')}")


@lru_cache(maxsize=64)
def _base(command: str, suite: str) -> str:
    """The study's own command, all options that made its cells included, without what picked some of them."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    kept: list[str] = []
    skip = False
    for word in words or ["pabench", "run", suite]:
        if skip or word in ("--only", "--retry"):
            skip = not skip
        else:
            kept.append(word)
    return plain(shlex.join(kept))
