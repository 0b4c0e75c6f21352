"""Records as bytes that cannot lie by accident: canonical JSON inside an envelope with its SHA-256.

An envelope is itself JSON, `{"sha256":"<64 hex>","record":<canonical JSON>}` and a newline, and every byte of it is
checked: the digest covers the record's text as it stands in the file, and all around it is constant.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NoReturn

from pabench.errors import DataError
from pabench.suite.digest import canonical

# records have some KB and 6 levels: what exceeds that by far is an attack on memory or on the stack
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 32
HEAD = b'{"sha256":"'
MIDDLE = b'","record":'
TAIL = b"}\n"


def seal(record: dict[str, Any]) -> bytes:
    """The record in its envelope; ValueError if it holds NaN or an infinity."""
    body = canonical(record).encode()
    return HEAD + hashlib.sha256(body).hexdigest().encode() + MIDDLE + body + TAIL


def unseal(data: bytes) -> dict[str, Any]:
    """The record of an envelope, or a DataError that says what is wrong with it."""
    start = len(HEAD) + 64
    body = data[start + len(MIDDLE) : -len(TAIL)]
    if data != HEAD + hashlib.sha256(body).hexdigest().encode() + MIDDLE + body + TAIL:
        raise DataError(f"{len(data)} bytes do not match their SHA-256 (truncated or altered)")
    record = parse(body)
    if not isinstance(record, dict):
        raise DataError(f"holds a {type(record).__name__}, not a record")
    return record


def parse(data: bytes, *, limit: int = MAX_BYTES) -> Any:
    """Strict JSON: no NaN or infinity, no key twice, no more than `limit` bytes and `MAX_DEPTH` levels."""
    if len(data) > limit:
        raise DataError(f"{len(data)} bytes, more than {limit}")
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_reject_constant
        )
    except RecursionError:
        raise DataError(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise DataError(f"not strict JSON: {error}") from None
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is not finite")
    return number


def _reject_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _check_depth(value: Any) -> None:
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        # `type(x) is` and no recursion: this runs over every number of 20,000 records
        level = [x for y in level for x in (y.values() if type(y) is dict else y) if type(x) is dict or type(x) is list]
        if not level:
            return
    raise DataError(f"nested deeper than {MAX_DEPTH} levels")
