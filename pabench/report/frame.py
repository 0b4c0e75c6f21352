"""One row per expected cell of a study, whatever became of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from pabench.report.study import Sharing, Study, Told
from pabench.statistics.outcomes import chance_bound, outcome
from pabench.store.figures import Measurements
from pabench.store.quality import R2, TOP1, Quality
from pabench.suite.cell import DENSE, STATUSES, Cell
from pabench.suite.specs import MetricSpec
from pabench.words import plain

# column: where its number lies in a record
NUMBERS = {
    "top1": ("result", "top1"),
    "top5": ("result", "top5"),
    "r2": ("result", "r2"),
    "loss": ("result", "loss"),
    "training_top1": ("training_images", "top1"),
    "training_r2": ("training_images", "r2"),
    "weights_on_paths": ("logits", "effective_weights"),
    "parameters_dense": ("result", "parameters", "dense"),
    "parameters_pruned": ("result", "parameters", "pruned"),
    "flops_dense": ("result", "flops", "dense"),
    "flops_pruned": ("result", "flops", "pruned"),
    "sparsity_reached": ("receipt", "sparsity"),
    "weights_total": ("receipt", "total"),
    "weights_kept": ("receipt", "kept"),
    "tied_at_threshold": ("receipt", "tied_at_threshold"),
    "kept_of_tied": ("receipt", "kept_of_tied"),
    "zero_scores": ("receipt", "zero_scores"),
    "rounds": ("receipt", "rounds"),
    "gradient_norm_before": ("receipt", "gradient_norm", "before"),
    "gradient_norm_after": ("receipt", "gradient_norm", "after"),
    "scoring_seconds": ("cost", "scoring_seconds"),
    "scoring_peak_bytes": ("cost", "scoring_peak_bytes"),
    "scoring_images": ("cost", "scoring_images"),
    "gradient_seconds": ("cost", "gradient_seconds"),
    "gradient_images": ("cost", "gradient_images"),
    "training_seconds": ("cost", "training_seconds"),
    "wall_seconds": ("cost", "wall_seconds"),
}
TEXTS = {
    "kind": ("kind",),
    "message": ("message",),
    "source": ("receipt", "source"),
    "dtype": ("receipt", "dtype"),
    "device": ("environment", "device"),
    "created": ("created",),
}


def study(
    manifest: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    measurements: Iterable[Mapping[str, Any]] = (),
) -> Study:
    """The study of a manifest and its records. A record that is not in the manifest becomes a stray.

    `measurements` are the store's files of metrics; numbers of the metrics in the manifest become columns.
    """
    cells = Cell.all_from_json(manifest["cells"])
    ablated = any(cell.ablation for cell in cells)
    metrics = tuple(MetricSpec(**m) for m in manifest.get("metrics", ()))
    measured = Measurements(measurements)
    of_metric = {spec.name: set[str]() for spec in metrics}
    table: dict[str, list[Any]] = {name: [] for name in (*IDENTITY, *NUMBERS, *TEXTS, "flags", "rerun")}
    numbers, told, tests = [], dict[str, Told](), dict[str, tuple[float, int]]()
    share = Sharing()
    for cell in cells:
        record = records.get(cell.key, {})  # parsed anew each time: once for all that follows
        # a list a column: a dict a row takes more memory than the records
        for column, value in row(cell, record, manifest, ablated=ablated).items():
            table[column].append(value)
        if record:
            told[cell.key] = share.told(record)
        if cell.dataset.label not in tests and (test := _test(cell, record)):
            tests[cell.dataset.label] = test
        found: dict[str, float | None] = {}
        for name, of_cell in _measured(cell, metrics, measured):
            found |= of_cell
            of_metric[name] |= of_cell.keys()
        numbers.append(found)
    columns = [column for found in of_metric.values() for column in sorted(found)]
    table |= {column: [found.get(column) for found in numbers] for column in columns}
    table |= _outcomes(cells, table, tests)
    frame = pd.DataFrame(table, columns=[*IDENTITY, *NUMBERS, *columns, *TEXTS, *LAST])
    frame = frame.astype(dict.fromkeys([*NUMBERS, *columns], float))
    strays = tuple(sorted(set(records) - set(table["key"])))
    told |= {key: share.told(records[key]) for key in strays}
    by_key = dict(zip(table["key"], cells, strict=True))
    return Study(manifest, frame, records, by_key, told, strays, metrics, measured)


IMAGES = 10_000
"""Of a test set of which nothing says the size: as many as those of MNIST, CIFAR and Tiny ImageNet have."""


def _outcomes(
    cells: Sequence[Cell], table: Mapping[str, list[Any]], tests: Mapping[str, tuple[float, int]]
) -> dict[str, list[Any]]:
    """What each cell counts as (`statistics.outcomes`), and the accuracy of guessing on its dataset, NaN if unknown."""
    made: dict[str, list[Any]] = {"outcome": [], "chance": []}
    told = (table[column] for column in ("status", "kind", "top1", "flags"))
    for cell, status, kind, top1, flags in zip(cells, *told, strict=True):
        chance, images = tests.get(cell.dataset.label, (float("nan"), 0))
        # without a bound the flag alone tells a collapse
        bound = chance_bound(chance, images) if images else -1.0
        made["outcome"].append(outcome(status, kind, float("nan") if top1 is None else float(top1), flags, bound))
        made["chance"].append(chance)
    return made


def _test(cell: Cell, record: Mapping[str, Any]) -> tuple[float, int] | None:
    """The accuracy of guessing in percent and the images of the test set, as far as a record tells.

    An older one names no outcome: it is top-1, and guessing is right once in as many classes. Of a still older one the
    classes are the outputs of the last prunable layer, the classifier of all our networks.
    """
    if test := at(record, ("result", "test")):
        named = at(record, ("result", "compared_by", "chance"))
        return 100 / test["classes"] if named is None else named, test["images"]
    layers = at(record, ("receipt", "layers"))
    if not layers or not (shape := layers[-1].get("shape")) or (classes := int(shape[0])) < 2:
        return None
    return 100 / classes, classes * int(cell.dataset.args.get("test_per_class") or 0) or IMAGES


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
    *("sparsity", "seed", "batch", "status", "ablation", "parent"),
)
LAST = ("flags", "rerun", "outcome", "chance")
COLUMNS = frozenset((*IDENTITY, *NUMBERS, *TEXTS, *LAST, "study"))
"""What a metric cannot be called: its name would be a column of the same table."""


def row(cell: Cell, record: Mapping[str, Any], manifest: Mapping[str, Any], *, ablated: bool = False) -> dict[str, Any]:
    """A cell flattened: identity, what the record says (NaN and "" where it says nothing), the command to rerun it.

    `batch` is the number of scoring images per class: criteria that ask for the same number see the same images.
    `parent` is the key of the plain cell that an `ablation` is compared with; `ablated`: the study has some.
    `reference_line` says why it is no criterion to be ranked; "" for criteria and the dense baseline.
    `top1` is what cells are compared by, in points: where targets are numbers it holds 100 R² (`store.quality`), and
    `quality` says what rows hold.
    """
    criterion = cell.criterion
    numbers = {column: value for path, names in _BY_PART for column, value in _of(at(record, path), names)}
    if numbers["r2"] is not None:
        numbers["top1"] = numbers["r2"] / R2.point
    if numbers["training_r2"] is not None:
        numbers["training_top1"] = numbers["training_r2"] / R2.point
    if criterion is None:
        numbers |= {"scoring_seconds": None, "scoring_peak_bytes": None}
    return {
        "key": cell.key,
        "block": cell.block,
        "dataset": plain(cell.dataset.label),
        "model": plain(cell.model.label),
        "criterion": plain(criterion.label) if criterion else DENSE,
        "reference_line": plain(criterion.reference_line) if criterion else "",
        "sparsity": cell.sparsity,
        "seed": cell.seed,
        "batch": int(criterion.args.get("examples_per_class", 0)) if criterion else 0,
        "status": record.get("status", "missing"),
        "ablation": cell.ablation,
        "parent": cell.parent().key if cell.ablation else "",
        **numbers,
        **{column: plain(at(record, path) or "") for column, path in TEXTS.items()},
        "flags": tuple(sorted({plain(flag["flag"]) for flag in record.get("flags", ())})),
        "rerun": rerun(cell, manifest, failed=record.get("status") == "failed", ablated=ablated),
    }


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


def reference_lines(frame: pd.DataFrame) -> set[str]:
    """What stands beside the criteria and takes no part in their ranks and tests."""
    return set(frame.loc[frame["reference_line"] != "", "criterion"])


def title(row: Any) -> str:
    """How a row of the frame is named in lines of text."""
    ablation = f" / {row.ablation}" if row.ablation else ""
    return f"{row.dataset} / {row.model} / {row.criterion} {row.sparsity:g}{ablation} / seed {row.seed}"


def chosen(rows: pd.DataFrame, *then: str) -> pd.DataFrame:
    """One row a cell, in the order of `rows`: that of a finished cell before a failed, skipped or missing one.

    Of several that ended alike it is the lowest by the columns `then`, and then the first.
    """
    rank = rows["status"].map({status: place for place, status in enumerate(STATUSES)})
    order = rows.assign(rank=rank, place=range(len(rows))).sort_values(["rank", *then, "place"])
    return rows.iloc[sorted(order.drop_duplicates("key")["place"])].reset_index(drop=True)


def at(record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path, None where the path ends early."""
    value: Any = record
    for part in path:
        if type(value) is not dict and not isinstance(value, Mapping):  # the first look takes a tenth of the second
            return None
        value = value.get(part)
    return value


_BY_PART = [
    (path, [(column, full[-1]) for column, full in NUMBERS.items() if full[:-1] == path])
    for path in dict.fromkeys(full[:-1] for full in NUMBERS.values())
]
"""The columns of each part of a record, which is looked for once."""


def _of(part: Any, names: Iterable[tuple[str, str]]) -> list[tuple[str, Any]]:
    found = part if isinstance(part, Mapping) else {}
    return [(column, found.get(name)) for column, name in names]


def rerun(cell: Cell, manifest: Mapping[str, Any], *, failed: bool, ablated: bool = False) -> str:
    """The command that runs this cell alone, into the folder the study was run into.

    In a study with ablations (`ablated`) a plain cell of a criterion is one without.
    """
    only = {
        "dataset": cell.dataset.label,
        "model": cell.model.label,
        "criterion": cell.criterion.label if cell.criterion else DENSE,
        "sparsity": f"{cell.sparsity:g}",
        "seed": str(cell.seed),
        **({"ablation": cell.ablation or "none"} if ablated and cell.criterion else {}),
    }
    command = str(manifest.get("command") or "")
    suite = str(manifest.get("suite_path") or manifest["name"])
    words = [_only(key, value) for key, value in only.items()]
    return " ".join([_base(command, suite), *words, *(["--retry failed"] if failed else [])])


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
