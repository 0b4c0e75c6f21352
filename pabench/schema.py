"""The shape of a record and of what is in it, checked strictly: types and ranges, no plugin, no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pabench.cell import Cell, canonical

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Part(BaseModel):
    """What may hold more than is checked here, and must hold what is."""

    model_config = ConfigDict(strict=True, extra="allow")


class Flag(Part):
    flag: str
    detail: str


class Layer(Part):
    name: str
    shape: list[Count]
    total: Count
    kept: Count


class Receipt(Part):
    criterion: str
    version: int
    source: str
    requested_sparsity: Fraction
    sparsity: Fraction
    total: Count
    kept: Count
    layers: list[Layer]
    dead_layers: list[str]
    mask: Sha256 | None = None


class Size(Part):
    dense: Positive
    pruned: Positive
    layers: dict[str, Positive] | None = None


class Result(Part):
    top1: Percent
    top5: Percent
    loss: Positive
    curve: dict[str, list[Finite]]
    parameters: Size
    flops: Size


class Outcome(Part):
    """What a record and a receipt have in common."""

    schema_: Literal[1] = Field(alias="schema")
    key: Sha256
    status: Literal["ok", "failed", "skipped"]
    kind: str
    message: str
    pairing: dict[str, str]
    flags: list[Flag]
    receipt: Receipt | None
    cost: dict[str, Positive | None]


class Record(Outcome):
    cell: dict[str, Any]
    block: Sha256
    labels: dict[str, str]
    ablation: str = ""
    parent: str = ""
    environment: dict[str, str | int | float | bool | None]
    created: str
    result: Result | None


class Entry(Part):
    of: Annotated[list[Sha256], Field(min_length=1, max_length=2)]
    metric: str
    identity: Sha256
    numbers: dict[str, Finite | None]
    error: str


class Measured(Part):
    key: Sha256
    status: Literal["ok", "failed"]
    entries: list[Entry]


class Study(Part):
    name: str
    suite: str
    cells: list[dict[str, Any]]
    overrides: list[str] = []
    environment: dict[str, str | int | float | bool | None]


class Listed(Part):
    sha256: Sha256
    bytes: Count


class Submission(Part):
    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["pabench-submission"]
    study: str
    digest: Sha256
    incomplete: list[Sha256]
    files: dict[str, Listed]


_CELL: TypeAdapter[Cell] = TypeAdapter(Cell)


def problems(model: type[BaseModel], data: Any) -> list[tuple[str, str, str]]:
    """Each thing that is wrong with it: (field, what was expected, what is there)."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        return [_told(found) for found in error.errors(include_url=False)]
    return []


def cell(data: Any) -> Cell:
    """The cell of a record; ValueError with one line where it is none."""
    try:
        _CELL.validate_json(canonical(data), strict=True)
        found = Cell.from_json(data)
    except ValidationError as error:
        where, expected, there = _told(error.errors(include_url=False)[0])
        raise ValueError(f"{where}: {expected}, not {there}") from None
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no cell ({type(error).__name__}: {error})") from None
    if not 0 <= found.sparsity < 1 or found.seed < 0:
        raise ValueError(f"sparsity {found.sparsity:g} and seed {found.seed}: expected [0, 1) and no negative seed")
    return found


def _told(error: Any) -> tuple[str, str, str]:
    return ".".join(map(str, error["loc"])), error["msg"], str(error.get("input"))[:80]
