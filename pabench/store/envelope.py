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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

import orjson

from pabench.errors import DataError
from pabench.suite.digest import canonical, digest

# records have some KB and 6 levels: what exceeds that by far is an attack on memory or on the stack
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 32
MAX_VALUES = 250_000
"""Of one document, keys included. Whatever they are, they take some 64 bytes each in memory, and 1,000 where each is
wrong by its schema."""
BYTES_OF_A_VALUE = 7
"""In a manifest on average, with its key and what is between."""
HEAD = b'{"sha256":"'
MIDDLE = b'","record":'
TAIL = b"}\n"
SHA = slice(len(HEAD), len(HEAD) + 64)
BODY = slice(len(HEAD) + 64 + len(MIDDLE), -len(TAIL))
NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
NO_MARKS = bytes(set(range(256)) - set(b'[{]}"'))
SEPARATORS = (b",", b":", b"[", b"{")
SQUARE = bytes.maketrans(b"{}", b"[]")
DIGITS = bytes(ord("0") if byte in b"0123456789" else byte if byte in b"." else ord(" ") for byte in range(256))
LONG = b"0" * 19
LONG_INTEGER = re.compile(rb"(?<![\d.])\d{19}")
"""What is behind a point makes no integer."""
AT_ONCE = 2**18
"""Bytes of a document whose texts are taken out at once: each text is an object, and takes four times its room."""


def seal(record: dict[str, Any]) -> bytes:
    """The record in its envelope; ValueError if it holds NaN or an infinity."""
    body = canonical(record).encode()
    return HEAD + hashlib.sha256(body).hexdigest().encode() + MIDDLE + body + TAIL


def unseal(data: bytes) -> dict[str, Any]:
    """The record of an envelope, or a DataError that says what is wrong with it."""
    body = data[BODY]
    if data != HEAD + hashlib.sha256(body).hexdigest().encode() + MIDDLE + body + TAIL:
        raise DataError(f"{len(data)} bytes do not match their SHA-256 (truncated or altered)")
    record = parse(body)
    if not isinstance(record, dict):
        raise DataError(f"holds a {type(record).__name__}, not a record")
    return record


def digest_in(data: bytes) -> bytes:
    """The SHA-256 that an envelope names, which `unseal` has found to be that of its record."""
    return bytes.fromhex(data[SHA].decode())


class Sealed(Mapping[str, dict[str, Any]]):
    """Records by key, each read from its envelope when it is asked for: all of them would fill the memory.

    `digests` are the SHA-256 of those that were found to be whole; DataError for one that is another by now.
    """

    def __init__(self, digests: Mapping[str, bytes], read: Callable[[str], bytes]) -> None:
        self._digests, self._read = digests, read

    def __getitem__(self, key: str) -> dict[str, Any]:
        body = self._read(key)[BODY]
        if hashlib.sha256(body).digest() != self._digests[key]:
            raise DataError(f"the record {key} was changed while it was looked at; run the command again")
        found: dict[str, Any] = (_strict if _needs_care(body) else _quick)(body)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, key: object) -> bool:
        return key in self._digests

    def digest(self, key: str) -> str:
        """The SHA-256 of a record, as its envelope names it."""
        return self._digests[key].hex()


def digest_of(records: Mapping[str, Mapping[str, Any]], keys: Iterable[str]) -> str:
    """The digest of an object that has, for each of these keys, the SHA-256 that the envelope of its record names."""
    return digest({key: records.digest(key) if isinstance(records, Sealed) else digest(records[key]) for key in keys})


def parse(data: bytes, *, limit: int = MAX_BYTES, values: int = MAX_VALUES) -> Any:
    """Strict JSON: no NaN or infinity, no key twice, no more than `limit` bytes, `MAX_DEPTH` levels and `values`."""
    if len(data) > limit:
        raise DataError(f"{len(data)} bytes, more than {limit}")
    # each value takes a byte: most documents are too short to have too many
    if len(data) > values and data.count(b'"') > 4 * values:
        raise DataError(f"more than {values:,} values")
    brackets = _brackets(data) if len(data) <= values else None
    if _deep(_brackets_of(_without_texts(data), values) if brackets is None else brackets):
        raise DataError(f"nested deeper than {MAX_DEPTH} levels")
    if not _needs_care(data):
        with contextlib.suppress(orjson.JSONDecodeError):
            value = orjson.loads(data)
            again = orjson.dumps(value)
            if again == data or _same_keys(data, again):
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


def _without_texts(data: bytes) -> bytearray:
    """JSON without its strings, in which brackets, colons and digits mean nothing; of what is no JSON anything."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    inside, bare = False, bytearray()  # it grows in its place: pieces that are joined would be there twice
    for start in range(0, len(data), AT_ONCE):
        parts = data[start : start + AT_ONCE].split(b'"')
        bare += b"".join(parts[inside::2])
        inside ^= len(parts) % 2 == 0
    return bare


def _brackets(data: bytes) -> bytes | None:
    """The brackets of JSON that has none in its texts and no escapes; None of any other. It takes a third of the time
    of taking out texts."""
    marks = data.translate(SQUARE, NO_MARKS).replace(b'""', b"")
    return None if b'"' in marks or b"\\" in data else marks


def _brackets_of(bare: bytearray, values: int) -> bytearray:
    """The brackets of JSON without its strings, which has no more than so many values."""
    if len(bare) > values and sum(map(bare.count, SEPARATORS)) > values:
        raise DataError(f"more than {values:,} values")
    return bare.translate(SQUARE, NO_BRACKETS)


def _deep(brackets: bytes | bytearray) -> bool:
    """Whether they have more than MAX_DEPTH levels: each turn takes away the innermost one of every branch."""
    for _ in range(MAX_DEPTH):
        if not brackets:  # nearly always after six turns
            return False
        brackets = brackets.replace(b"[]", b"")
    # where brackets do not match the parser says so, and would recurse
    return b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH


def _needs_care(data: bytes) -> bool:
    """Whether it has a number of 19 digits or more before its point, which may be an integer of more than 64 bits:
    orjson makes a float of it."""

    def perhaps() -> bool:  # nearly all have no such digits even in their texts
        digits = data.translate(DIGITS)
        return LONG in digits and LONG in digits.replace(b"." + LONG, b"")

    return perhaps() and LONG_INTEGER.search(_without_texts(data)) is not None


def _same_keys(data: bytes, again: bytes) -> bool:
    """Whether JSON has as many keys as what its value was written as, which has each once."""
    if b"\\u" not in data and data.count(b":") == again.count(b":"):  # colons of texts are the same in both
        return True
    return _keys(_without_texts(data)) == _keys(_without_texts(again))


def _keys(bare: bytearray) -> int:
    """How many keys all objects in it have."""
    return bare.count(b":")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        again = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {again[:80]!r} twice")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is not finite")
    return number


def _reject_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")
