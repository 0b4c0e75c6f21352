"""Strict JSON in an envelope with its SHA-256: what is read back, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from pabench.errors import DataError
from pabench.store.envelope import MAX_VALUES, digest_of, parse
from pabench.store.store import Store
from pabench.suite.digest import digest


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" + b"[]," * MAX_VALUES + b"1]", "more than 250,000 values"),
        (b'{"":' * 31 + b"[" + b"{}," * MAX_VALUES + b"1]" + b"}" * 31, "more than 250,000 values"),
        (b'"' * 4_000_000, "more than 250,000 values"),
        (b"[" + b"[" * 33 + b"]" * 33 + b"]", "nested deeper than 32 levels"),
        (b'["' + b"]" * 40 + b'",' + b"[" * 32 + b"]" * 33, "nested deeper than 32 levels"),
        (b"{" * 40, "nested deeper than 32 levels"),
        (b"[" + b"9" * 5_000_000 + b"]", "Exceeds the limit"),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(120_000)) + b',"k119999":2}', "key 'k119999' twice"),
    ],
    ids=["lists", "objects", "quotes", "deep", "behind brackets", "open", "digits", "one of many keys twice"],
)
def test_what_would_fill_memory_or_time_is_refused_in_one_line(text, message):
    """Each of these took seconds or gigabytes: one key that stands twice was looked for among all pairs of keys."""
    with pytest.raises(DataError, match=message) as found:
        parse(text)

    assert len(str(found.value)) < 200


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=30,
)


@given(ANY, st.booleans(), st.sampled_from([(",", ":"), (" , ", " : "), (", ", ": ")]))
def test_whatever_is_strict_json_is_read_as_python_reads_it(value, ascii_only, separators):
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)

    assert parse(text.encode("utf-8", "surrogatepass")) == value


@pytest.mark.parametrize("whole", [2**63, 2**64, -(2**64), 10**30])
def test_integers_of_more_than_64_bits_stay_integers(whole):
    """Beside fractions of as many digits, which take no care."""
    value = [0.00012345678901234567, {"9" * 40: [1.5, whole]}]

    (_, found) = parse(json.dumps(value).encode())

    assert found == value[1]
    assert type(found["9" * 40][1]) is int


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":1,"a":2,"b":"\u0022:"}',
        r'{"a":1,"a":2,"b":"\u003a"}',
        '{"a" :1,"a":2}',
        r'{"a":1,"\u0061":2}',
        r'{"a":{"b":":","c":1,"c":2}}',
        r'{"x":"\\","a":1,"a":2,"y":"\":\":"}',
        '[{"a":1},{"b":[{"c":1,"c":2}]}]',
    ],
)
def test_a_key_twice_is_found_whatever_stands_around_it(text):
    with pytest.raises(DataError, match="twice"):
        parse(text.encode())


@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
def test_texts_are_taken_out_wherever_a_part_of_a_document_ends(monkeypatch, at_once):
    """Brackets and colons within a text would else count as levels and keys."""
    monkeypatch.setattr("pabench.store.envelope.AT_ONCE", at_once)
    text = ("[" * 40 + ":" * 9).join(['{"', '":1,"\\"', '":[2,"', '"]}'])

    assert list(parse(text.encode())) == ["[" * 40 + ":" * 9, '"' + "[" * 40 + ":" * 9]
    with pytest.raises(DataError, match="twice"):
        parse(b'{"a:":1,"b":2,"a:":3}')


def test_the_digest_of_records_is_that_of_the_sha_256_in_their_files(tmp_path):
    """Who has the files can make it again, and so can who has the records alone."""
    store = Store(tmp_path)
    store.open_study({"name": "tiny", "cells": []})
    made = {digest(name): {"key": digest(name), "status": "ok", "top1": name} for name in ("a", "b", "c")}
    for key, record in made.items():
        store.commit("records", key, record)

    files = {path.stem: json.loads(path.read_text())["sha256"] for path in (tmp_path / "records").iterdir()}

    assert digest_of(store.records(), made) == digest_of(made, made) == digest(files)
    few = sorted(made)[:2]
    assert digest_of(store.records(), few) == digest_of(made, few) != digest(files)
