"""The numbers and names that a record may hold: types with ranges that a table and a page can bear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Finite = Annotated[float, Field(ge=-1e300, le=1e300, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Column = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,80}$")]
Nothing = Annotated[dict[str, Any], Field(max_length=0)]
LARGEST = 2**63
"""Whole numbers are smaller, wherever they stand: what a float or a table cannot hold is no number of a record."""


class Part(BaseModel):
    """What may hold more than is checked here, and must hold what is."""

    model_config = ConfigDict(strict=True, extra="allow")


def large(data: Any, where: str = "") -> Iterator[str]:
    """Where whole numbers stand that are too large."""
    if isinstance(data, int) and abs(data) >= LARGEST:
        yield where
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from large(value, f"{where}.{key}" if where else str(key))
