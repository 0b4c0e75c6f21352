"""The shape of a record and of what is in it, checked strictly: types and ranges, no plugin, no torch.

Apart from `record`, which commands that only read results import as well: pydantic takes a third of their start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from pabench.store.manifest import MAX_CELL, MAX_CELLS, MAX_LISTED
from pabench.store.quality import R2, TOP1
from pabench.store.record import SCHEMA
from pabench.suite.cell import NAME, PARTS, Cell, part_of
from pabench.suite.digest import canonical
from pabench.suite.specs import CriterionSpec, DatasetSpec, ModelSpec, Recipe, Scoring, TrainSpec

SHA256 = re.compile(r"[0-9a-f]{64}")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Finite = Annotated[float, Field(ge=-1e300, le=1e300, allow_inf_nan=False)]
RSquared = Annotated[float, Field(ge=-1e300, le=1, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=2**20)]
LARGEST = 2**63
"""Whole numbers are smaller, wherever they stand: what a float or a table cannot hold is no number of a record."""


T = TypeVar("T")
MAX_NAMED = 10_000
"""Entries of an object that has one for each layer, quantile or number: far more than a network has layers."""


MAX_OVERRIDES = 100_000


def _at_most(entries: int) -> BeforeValidator:
    """Said before any entry of an object is looked at: each that is wrong makes five errors, of 1 KB each."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > entries:
            raise ValueError(f"at most {entries:,} entries, not {len(value):,}")
        return value

    return BeforeValidator(check)


Many = Annotated[list[T], FailFast()]
"""Of which the first that is wrong is enough."""
Named = Annotated[dict[str, T], _at_most(MAX_NAMED)]
Environment = Annotated[dict[str, str | int | float | bool | None], _at_most(1_000)]


class Part(BaseModel):
    """What may hold more than is checked here, and must hold what is."""

    model_config = ConfigDict(strict=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _few(cls, data: Any) -> Any:
        if isinstance(data, dict) and len(data) > MAX_NAMED:
            raise ValueError(f"at most {MAX_NAMED:,} entries, not {len(data):,}")
        return data


Qualified = TypeVar("Qualified", bound=Part)


def _one_quality(part: Qualified) -> Qualified:
    """ValueError unless it holds the one or the other: top1 or r2. None is no value of either."""
    given = part.model_fields_set & {TOP1.name, R2.name}
    if len(given) != 1 or getattr(part, *given) is None:
        raise ValueError(f"one of {TOP1.name} and {R2.name}")
    return part


class Flag(Part):
    flag: str
    detail: str


class Layer(Part):
    name: str
    shape: Annotated[list[Count], Field(max_length=8)]
    total: Count
    kept: Count
    zero_scores: Count = 0


class Histogram(Part):
    """Bins of a quarter of a power of ten: those of float64 are from -1296 to 1233."""

    first: Annotated[int, Field(ge=-1400, le=1400)]
    positive: Annotated[list[Count], Field(max_length=200)]
    negative: Annotated[list[Count], Field(max_length=200)]
    zero: Count


class Dense(Part):
    """Weight matrices of one kind that no mask touches."""

    names: Many[str]
    weights: Count


class Norm(Part):
    before: Finite | None = None
    after: Finite | None = None


class Receipt(Part):
    criterion: str
    version: int
    source: str
    requested_sparsity: Fraction
    sparsity: Fraction
    total: Count
    kept: Count
    layers: Many[Layer]
    dead_layers: Many[str]
    dense: Named[Dense] = {}
    mask: Sha256 | None = None
    variant: str = ""
    dtype: str = ""
    parameters: dict[str, Any] = {}
    tied_at_threshold: Count = 0
    kept_of_tied: Count = 0
    zero_scores: Count = 0
    non_finite_scores: Count = 0
    rounds: Count = 1
    dense_epochs: Count = 0
    total_epochs: Count = 0
    resumes_at: Count | None = None
    trained_weights: Sha256 | None = None
    gradual: dict[str, Any] = {}
    requested: Count | None = None
    scores: Named[Finite] = {}
    score_histogram: Histogram | Annotated[dict[str, Any], Field(max_length=0)] = {}
    gradient_norm: Norm | None = None
    donor: dict[str, Any] = {}
    at_once: Count | None = None
    bn_warmup: dict[str, Any] = {}
    model: dict[str, Any] = {}
    left: Count = 0
    parameters_instead: Count = 0


class Size(Part):
    dense: Positive
    pruned: Positive
    layers: Named[Positive] | None = None


class Curve(Part):
    """One value an epoch; what else is drawn against epochs is numbers, too."""

    __pydantic_extra__: dict[str, Many[Finite]]
    loss: Many[Positive]
    top1: Many[Percent] = []
    r2: Many[RSquared] = []
    lr: Many[Positive]

    @model_validator(mode="after")
    def _of_one_task(self) -> Curve:
        return _one_quality(self)


class Cost(Part):
    __pydantic_extra__: dict[str, Positive | None]
    scoring_seconds: Seconds | None = None
    gradient_seconds: Seconds | None = None
    training_seconds: Seconds | None = None
    evaluation_seconds: Seconds | None = None
    wall_seconds: Seconds | None = None
    resumed_seconds: Seconds | None = None
    scoring_images: Count | None = None
    gradient_images: Count | None = None


class TestSet(Part):
    """What top-1 or R² is of; `sha256` says which images in which order. `outputs` are numbers, and no classes."""

    images: Annotated[int, Field(ge=1)]
    classes: Annotated[int, Field(ge=2)] | None = None
    outputs: Annotated[int, Field(ge=1)] | None = None
    sha256: Sha256 | None = None


class ComparedBy(Part):
    """The number of a result that criteria are compared by, and its value for a network that guesses."""

    name: Literal["top1", "r2"]
    chance: Percent


class Result(Part):
    """Accuracies of a network that tells classes; `r2` of one that hits numbers."""

    compared_by: ComparedBy | None = None
    top1: Percent | None = None
    top5: Percent | None = None
    r2: RSquared | None = None
    loss: Positive
    curve: Curve
    parameters: Size
    flops: Size
    test: TestSet | None = None
    right: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")] | None = None

    @model_validator(mode="after")
    def _of_one_task(self) -> Result:
        if (self.top5 is None) is not (self.top1 is None):
            raise ValueError("top1 and top5, or neither")
        named = self.compared_by.name if self.compared_by else TOP1.name
        if self.test and (self.test.classes is None) is (named == TOP1.name):
            raise ValueError("a test set of classes with top1, of outputs with r2")
        if getattr(self, named) is None:
            raise ValueError(f"{named}, by which it is compared")
        return _one_quality(self)


class Logits(Part):
    """Of the trained network on the test images: how many classes it gives, and by what part of the largest logit those
    of two images differ at most; where it is one class, also the kept weights on a path."""

    classes: Count
    spread: Positive | None
    effective_weights: Count | None = None


class Fit(Part):
    """Of a trained dense network: top-1 or R² on so many training images, without augmentation."""

    top1: Percent | None = None
    r2: RSquared | None = None
    images: Annotated[int, Field(ge=1, le=2**53)]

    @model_validator(mode="after")
    def _of_one_task(self) -> Fit:
        return _one_quality(self)


class Compaction(Part):
    """What was trained in place of a masked network: forward FLOPs of one image, and the shapes of the tensors that
    shrank, before and after; or why the masked network itself was."""

    flops: Positive | None = None
    layers: Named[Annotated[list[Many[Count]], Field(min_length=2, max_length=2)]] = {}
    declined: str = ""


class TrainedMask(Part):
    """The mask at the end of a training that is not plain: SHA-256 of its bits (`maskbits.bits_digest`), how many
    weights it keeps, in all and of each layer, and how many of them it kept from the beginning."""

    sha256: Sha256
    kept: Count
    stayed: Count
    layers: Annotated[dict[str, Count], _at_most(100_000)]


class Recording(Part):
    """How many shapes of batch there were CUDA graphs of, or why there were none."""

    shapes: Count | None = None
    declined: str = ""


def _date(text: str) -> str:
    datetime.fromisoformat(text)  # a ValueError says what is wrong
    return text


class Outcome(Part):
    """What a record and a receipt have in common."""

    schema_: Annotated[int, Field(ge=SCHEMA, le=SCHEMA, alias="schema")]
    key: Sha256
    status: Literal["ok", "failed", "skipped"]
    kind: str
    message: str
    traceback: str = ""
    attempt: Count = 1
    pairing: Named[str]
    flags: Many[Flag]
    receipt: Receipt | None
    cost: Cost


class Bank(Part):
    """Where a cell was taken from, and where that one had been taken from."""

    study: str
    digest: Sha256
    record: Sha256
    via: Bank | None = None


class Record(Outcome):
    cell: dict[str, Any]
    block: Sha256
    labels: Named[str]
    ablation: str = ""
    parent: str = ""
    environment: Environment
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_date)]
    result: Result | None
    logits: Logits | None = None
    training_images: Fit | None = None
    trained_mask: TrainedMask | None = None
    compaction: Compaction | None = None
    cuda_graphs: Recording | None = None
    bank: Bank | None = None


class Entry(Part):
    of: Annotated[list[Sha256], Field(min_length=1, max_length=2)]
    metric: str
    identity: Sha256
    numbers: Annotated[
        dict[Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,80}$")], Finite | None], _at_most(MAX_NAMED)
    ]
    error: str


class Measured(Part):
    key: Sha256
    status: Literal["ok", "failed"]
    entries: Many[Entry]


class Metric(Part):
    """As `pabench.suite.specs.MetricSpec`, which takes nothing else."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
    args: dict[str, Any] = {}
    version: Count = 1
    source: str = ""
    stage: Literal["mask", "pair", "training"] = "mask"
    title: str = ""
    unit: str = ""


def _together(overrides: list[str]) -> list[str]:
    """Each is read as YAML."""
    if (size := sum(map(len, overrides))) > MAX_OVERRIDES:
        raise ValueError(f"at most {MAX_OVERRIDES:,} characters in all, not {size:,}")
    return overrides


class Study(Part):
    name: str
    title: str = ""
    suite: Text
    suite_path: Text = ""
    command: Annotated[str, Field(max_length=100_000)] = ""
    created: str = ""
    pabench: str = ""
    metrics: Annotated[list[Metric], Field(max_length=1_000), FailFast()] = []
    cells: Annotated[list[dict[str, Any]], Field(max_length=MAX_CELLS), FailFast()]
    overrides: Annotated[
        list[Annotated[str, Field(max_length=10_000)]], Field(max_length=100), AfterValidator(_together)
    ] = []
    notes: Annotated[list[Annotated[str, Field(max_length=1_000)]], Field(max_length=1_000), FailFast()] = []
    environment: Environment


def _listed(files: dict[str, Any]) -> dict[str, Any]:
    """As they are: a model of each of 80,000 entries would take a kilobyte, and another dict 0.2."""
    for path, entry in files.items():
        sha, size = (entry.get("sha256"), entry.get("bytes")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(sha, str) and SHA256.fullmatch(sha) and type(size) is int and 0 <= size <= 2**53):
            raise ValueError(f"{path[:200]}: expected its SHA-256 and its bytes")
    return files


class Submission(Part):
    schema_: Annotated[int, Field(ge=SCHEMA, le=SCHEMA, alias="schema")]
    kind: Literal["pabench-submission"]
    study: str
    digest: Sha256
    incomplete: Annotated[list[Sha256], Field(max_length=MAX_CELLS), FailFast()]
    files: Annotated[dict[str, Any], _at_most(MAX_LISTED), AfterValidator(_listed)]


class Rest(BaseModel):
    """What of a cell is no part that others share."""

    model_config = ConfigDict(strict=True)

    sparsity: float
    seed: int
    protocol: str
    ablation: str = ""


_PARTS: dict[str, TypeAdapter[Any]] = {
    "dataset": TypeAdapter(DatasetSpec),
    "model": TypeAdapter(ModelSpec),
    "criterion": TypeAdapter(CriterionSpec | None),
    "recipe": TypeAdapter(Recipe),
    "scoring": TypeAdapter(Scoring),
    "train": TypeAdapter(TrainSpec | None),
}


def problems(model: type[BaseModel], data: Any) -> list[tuple[str, str, str]]:
    """Each thing that is wrong with it: (field, what was expected, what is there)."""
    if found := _large(data):
        return [(found, "whole numbers below 2**63", "a larger one")]
    try:
        model.model_validate(data)
    except ValidationError as error:
        return [_told(found) for found in error.errors(include_url=False)]
    return []


class Cells:
    """Cells of a document in which `problems` found none, one after the other. A part that is the same object in many
    is judged and made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], tuple[Any, int, Any]] = {}

    def cell(self, data: Mapping[str, Any]) -> Cell:
        """The cell of plain data; ValueError with one line where it is no cell."""
        own = {name: value for name, value in data.items() if name not in _PARTS}
        try:
            parts = {name: self._part(name, part_of(data, name)) for name in _PARTS}
            if (size := sum(size for _, size, _ in parts.values()) + len(text := canonical(own))) > MAX_CELL:
                raise ValueError(f"{size:,} characters, more than {MAX_CELL:,}")
            rest = Rest.model_validate_json(text)
        except KeyError as error:
            raise ValueError(f"no cell (no {error.args[0]})") from None
        except ValidationError as error:
            raise ValueError(_line(error)) from None
        found = Cell(
            **{name: made for name, (_, _, made) in parts.items()},
            sparsity=rest.sparsity,
            seed=rest.seed,
            protocol=rest.protocol,
            ablation=rest.ablation,
        )
        if not 0 <= found.sparsity < 1 or found.seed < 0:
            raise ValueError(f"sparsity {found.sparsity:g} and seed {found.seed}: expected [0, 1) and no negative seed")
        images = found.criterion.args.get("examples_per_class", 0) if found.criterion else 0
        if type(images) is not int or images < 0:
            raise ValueError(f"criterion.args.examples_per_class: expected a count, not {str(images)[:80]}")
        return found

    def _part(self, name: str, part: Any) -> tuple[Any, int, Any]:
        """(the part itself, so that no other gets its id; its size; what is made of it)."""
        if (name, id(part)) not in self._made:
            text = canonical(part)
            if len(text) > MAX_CELL:
                raise ValueError(f"{len(text):,} characters, more than {MAX_CELL:,}")
            try:
                _PARTS[name].validate_json(text, strict=True)
                made = PARTS[name](part)
            except ValidationError as error:
                raise ValueError(f"{name}{_line(error, '.')}") from None
            except (TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"no cell ({type(error).__name__}: {error})") from None
            self._made[name, id(part)] = part, len(text), made
        return self._made[name, id(part)]


def cell(data: Mapping[str, Any]) -> Cell:
    """As `Cells.cell`, of one."""
    return Cells().cell(data)


def _line(error: ValidationError, before: str = "") -> str:
    where, expected, there = _told(error.errors(include_url=False)[0])
    return f"{before if where else ''}{where}: {expected}, not {there}"


def _told(error: Any) -> tuple[str, str, str]:
    return ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, "), str(error.get("input"))[:80]


def _large(document: Any) -> str:
    """Where a whole number stands that is too large; "" where there is none. What is one object is looked at once."""
    left, seen = [("", document)], set[int]()
    while left:
        where, data = left.pop()
        if id(data) in seen:
            continue
        seen.add(id(data))
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            if isinstance(value, int) and abs(value) >= LARGEST:
                return f"{where}{key}"
            if isinstance(value, (dict, list)):
                left.append((f"{where}{key}.", value))
    return ""
