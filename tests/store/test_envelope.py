"""Strict JSON in an envelope with its SHA-256: what is read back, and what is refused."""

from __future__ import annotations

import pytest

from pabench.errors import DataError
from pabench.store.envelope import parse


@pytest.mark.parametrize(
    "text",
    [
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        '{"a":1,"a":1}',
        "[" * 33 + "]" * 33,
        "[" * 200_000,
        "1" * 5000,
        '"\xff"',
        "",
        "{} {}",
    ],
    ids=["nan", "infinity", "overflow", "key twice", "33 deep", "200000 deep", "5000 digits", "latin1", "empty", "two"],
)
def test_what_is_not_strict_json_is_refused(text):
    with pytest.raises(DataError):
        parse(text.encode("latin1"))


def test_strict_json_is_accepted_up_to_its_depth():
    assert parse(b"[" * 32 + b"]" * 32)
    assert parse(b'{"a":[1,-2.5e-3,null,true,"x"]}') == {"a": [1, -0.0025, None, True, "x"]}
