"""Records as bytes that cannot lie by accident: canonical JSON inside an envelope with its SHA-256.

An envelope is itself JSON, `{"sha256":"<64 hex>","record":<canonical JSON>}` and a newline, and every byte of it is
checked: the digest covers the record's text as it stands in the file, and all around it is constant.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, NoReturn

import orjson

from pabench.errors import DataError
from pabench.suite.digest import canonical

# records have some KB and 6 levels: what exceeds that by far is an attack on memory or on the stack
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 32
HEAD = b'{"sha256":"'
MIDDLE = b'","record":'
TAIL = b"}\n"
BODY = slice(len(HEAD) + 64 + len(MIDDLE), -len(TAIL))
TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.S)
STEP = dict(zip(b"[{]}", (1, 1, -1, -1), strict=True))
NO_BRACKETS = bytes(set(range(256)) - set(STEP))
DIGITS = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(" ") for byte in range(256))
LONG = b"0" * 19


def seal(record: dict[str, Any]) -> bytes:
    """The record in its envelope; ValueError if it holds NaN or an infinity."""
    body = canonical(record).encode()
    return HEAD + hashlib.sha256(body).hexdigest().encode() + MIDDLE + body + TAIL


def unseal(data: bytes) -> dict[str, Any]:
    """The record of an envelope, or a DataError that says what is wrong with it."""
    record = parse(_body(data))
    if not isinstance(record, dict):
        raise DataError(f"holds a {type(record).__name__}, not a record")
    return record


def _body(data: bytes) -> bytes:
    body = data[BODY]
    if data != HEAD + hashlib.sha256(body).hexdigest().encode() + MIDDLE + body + TAIL:
        raise DataError(f"{len(data)} bytes do not match their SHA-256 (truncated or altered)")
    return body


class Sealed(Mapping[str, dict[str, Any]]):
    """Records by key, from the bytes of envelopes that were found to be whole.

    In memory a record takes five times the room of its text, so it is read again each time it is asked for.
    """

    def __init__(self, envelopes: Iterable[tuple[str, bytes]]) -> None:
        self._bodies = {key: data[BODY] for key, data in envelopes}
        self._careful = {key for key, body in self._bodies.items() if _needs_care(_without_texts(body))}

    def __getitem__(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = (_strict if key in self._careful else _quick)(self._bodies[key])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._bodies)

    def __len__(self) -> int:
        return len(self._bodies)

    def __contains__(self, key: object) -> bool:
        return key in self._bodies

    def text(self, key: str) -> bytes:
        """The record as canonical JSON, as it was sealed."""
        return self._bodies[key]


def digest_of(records: Mapping[str, Mapping[str, Any]], keys: Iterable[str]) -> str:
    """SHA-256 of the list of these keys, each with its record, as canonical JSON."""
    found, between = hashlib.sha256(b"["), b""
    for key in keys:
        text = records.text(key) if isinstance(records, Sealed) else canonical(records[key]).encode()
        found.update(between + b"[" + canonical(key).encode() + b"," + text + b"]")
        between = b","
    found.update(b"]")
    return found.hexdigest()


def parse(data: bytes, *, limit: int = MAX_BYTES) -> Any:
    """Strict JSON: no NaN or infinity, no key twice, no more than `limit` bytes and `MAX_DEPTH` levels."""
    if len(data) > limit:
        raise DataError(f"{len(data)} bytes, more than {limit}")
    bare = _without_texts(data)
    depth = accumulate(map(STEP.__getitem__, bare.translate(None, NO_BRACKETS)))
    if max(depth, default=0) > MAX_DEPTH:
        raise DataError(f"nested deeper than {MAX_DEPTH} levels")
    if not _needs_care(bare):
        with contextlib.suppress(orjson.JSONDecodeError):
            value = orjson.loads(data)
            if _keys(value) == bare.count(b":"):
                return value
    return _strict(data)


def _quick(data: bytes) -> Any:
    """What `parse` accepted, again."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _strict(data)


def _strict(data: bytes) -> Any:
    """By Python's own parser, which is slow, knows what orjson does not (integers of more than 64 bits, halves of
    surrogate pairs), and says what is wrong."""
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_reject_constant
        )
    except RecursionError:
        raise DataError(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise DataError(f"not strict JSON: {error}") from None


def _without_texts(data: bytes) -> bytes:
    """JSON without its strings, in which brackets, colons and digits mean nothing; of what is no JSON anything."""
    return b"".join(data.split(b'"')[::2]) if b"\\" not in data else TEXT.sub(b"", data)


def _needs_care(bare: bytes) -> bool:
    """Whether it has a number of 19 digits or more, which may be an integer of more than 64 bits: orjson makes a float
    of it."""
    return LONG in bare.translate(DIGITS)


def _keys(value: Any) -> int:
    """How many keys all objects in a value have."""
    count, level = 0, [value]
    while level:
        count += sum(len(x) for x in level if type(x) is dict)
        inner = [x.values() if type(x) is dict else x for x in level if type(x) is dict or type(x) is list]
        # `type(x) is` and no recursion: this runs over every number of 20,000 records
        level = [x for y in inner for x in y if type(x) is dict or type(x) is list]
    return count


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
