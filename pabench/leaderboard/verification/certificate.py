"""The record of a verification: what `pabench verify --record` writes, and `pabench publish` takes badges from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pabench.errors import DataError, PabenchError, SuiteError
from pabench.store import files
from pabench.store.envelope import HEAD, MAX_BYTES, parse, unseal
from pabench.store.schema import Count, Finite, Part, Positive, Sha256, problems

KIND = "pabench-verification"


class Found(Part):
    text: str
    unable: bool


class Seen(Part):
    """What came of a cell or a setting; `ended`: it is said to have no result, and earns no badge."""

    row: Sha256
    outcome: str
    ended: bool = False
    fresh: list[Finite] | None = None
    detectable: Positive | None = None


class Reached(Part):
    """A level that was reached."""

    level: Annotated[int, Field(ge=1, le=4)]
    passed: bool
    flaws: list[Found] = []
    outcomes: list[Seen] = []

    @model_validator(mode="after")
    def _trained(self) -> Reached:
        trained = [one for one in self.outcomes if not one.ended] if self.level == 4 else []
        if any(one.fresh is None or one.detectable is None for one in trained):
            raise ValueError("expected fresh and detectable of every setting")
        return self


class Judged(Part):
    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["pabench-verification"]
    study: str
    digest: Sha256
    passed: Annotated[int, Field(ge=0, le=4)]
    seed: Count
    levels: Annotated[list[Reached], Field(min_length=1)]


def recorded(path: Path) -> dict[str, Any]:
    """A record of a verification, sealed or as a site shows it. DataError: it is none, or its seal was broken."""
    try:
        data = files.read(path, limit=MAX_BYTES)
        found = unseal(data) if data.startswith(HEAD) else parse(data)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected what `pabench verify --record` wrote") from None
    except DataError as error:
        raise DataError(f"{path}: no record of a verification: {error}") from None
    if wrong := problems(Judged, found):
        where, expected, there = wrong[0]
        raise DataError(
            f"{path}: no record of a verification; expected what `pabench verify --record` wrote: "
            f"{where}: {expected}, not {there}"
        )
    return found


def rejection(record: Mapping[str, Any]) -> str:
    """Why a verification turned its submission down, with its level and its seed; "" for one that did not."""
    for level in record["levels"]:
        for flaw in level.get("flaws", []):
            if not flaw["unable"]:
                return (
                    f"rejected at level {level['level']} by a verification with seed {record['seed']}: {flaw['text']}"
                )
    return ""


def refuse_target(submission: Path, path: Path) -> None:
    """SuiteError where the record of a verification could not be written to `path` in the end, or should not be."""
    inside, outside = os.path.realpath(submission), os.path.realpath(path)
    if os.path.commonpath([inside, outside]) == inside:
        raise SuiteError(
            f"--record {path}: inside of the submission, where it would be its submitter's own word; choose "
            "another place"
        )
    if path.is_dir():
        raise SuiteError(f"--record {path}: a folder; name a file, as in --record {path / 'verification.json'}")
    if os.path.lexists(path):
        try:
            recorded(path)
        except PabenchError:
            raise SuiteError(
                f"--record {path}: holds something else than a verification, and is not written over; "
                "choose another name"
            ) from None
    try:
        files.make_folders(path.parent)
        files.check_writable(path.parent)
    except PabenchError as error:
        cause = getattr(error.__cause__, "strerror", "") or str(error)
        raise SuiteError(f"--record {path}: cannot be written ({cause}); choose another place") from None
