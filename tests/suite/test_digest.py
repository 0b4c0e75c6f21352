"""Equal values have one text and one hash."""

from __future__ import annotations

import hashlib

import pytest

from pabench.suite.digest import canonical, derive_seed, digest


def test_the_text_is_sorted_and_tight_and_its_sha256_is_the_digest():
    assert canonical({"b": [1, 2.5], "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5]}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_half_a_surrogate_pair_is_a_question_mark_and_a_whole_one_a_character():
    """A file can hold no half, and texts of plugins may have some: nothing that reads records must meet it."""
    half, whole = {"b\ud800": ["a\udc00b", {"c": "\ud800"}]}, {"b?": ["a?b", {"c": "?"}]}
    assert canonical(half) == canonical(whole)
    assert canonical("\U0001f600 \\ud800") == '"\\ud83d\\ude00 \\\\ud800"'


def test_a_seed_is_the_first_63_bits_of_the_digest_of_its_parts():
    assert derive_seed("order", 3) == int(hashlib.sha256(b'["order",3]').hexdigest(), 16) >> 193
    assert derive_seed("order", 3) != derive_seed("order3")
