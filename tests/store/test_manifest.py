"""A manifest read cell by cell is what any parser makes of it, and costs what its distinct parts cost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from pabench.errors import DataError
from pabench.store import manifest
from pabench.suite.digest import canonical, digest

LIMITS = {"limit": 2**20, "cells": 100}
SIGNS = '},{[]a: "\\'
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(SIGNS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(SIGNS, max_size=3), inner, max_size=3),
    max_leaves=8,
)
CELLS = st.lists(st.dictionaries(st.text(SIGNS, max_size=3), ANY, max_size=4), max_size=6)


@given(CELLS, st.dictionaries(st.sampled_from(["a", "cell", "command", "metrics", "zz"]), ANY))
def test_whatever_stands_in_a_study_it_is_read_as_python_reads_it(cells, rest):
    study = {**rest, "cells": cells}
    text = canonical(study)

    read = manifest.read(text.encode(), **LIMITS)

    assert read == json.loads(text)
    assert manifest.digest(read) == digest(json.loads(text))


def test_equal_parts_of_cells_are_one_object():
    cells = [{"model": {"name": "a"}, "seed": seed, "recipe": {"lr": 1}} for seed in range(3)]

    one, two, three = manifest.read(canonical({"cells": cells}).encode(), **LIMITS)["cells"]

    assert one["model"] is two["model"] is three["model"]
    # 1 and 1.0 are equal, and not the same text
    first, second = manifest.read(b'{"cells":[{"a":[1]},{"a":[1.0]}]}', **LIMITS)["cells"]
    assert (type(first["a"][0]), type(second["a"][0])) == (int, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"cells":[{"a":1},{"a":1},{"a":1}]}', "more than 2 cells"),
        (b'{"cells":[{"a":[1,2,3,4,5,6,7,8]},{"a":[1,2,3,4,5,6,7]}]}', "together more than 12 values"),
        (b'{"cells":[{"a":1,"a":2}]}', "key 'a' twice"),
        (b'{"cells":[{"a":1}],"cells":[]}', "key 'cells' twice"),
        (b'{"cells":[{"a":1}', "not strict JSON"),
        (b'{"cells":[{"a":1}]', "not strict JSON"),
        (b'{"cells":[{"a":NaN}]}', "not strict JSON"),
        (b'{"cells":[{"a":"' + b"x" * 70_000 + b'"}]}', "a cell of 65,536 characters or more"),
        (b'{"x":{"cells":[{"a":1}]}}', "not the study's"),
        (b'{"x":"\\"cells":[{"a":1}]}', "not strict JSON"),
    ],
)
def test_what_is_no_manifest_or_too_large_is_refused_in_one_line(text, message):
    with pytest.raises(DataError, match=message):
        manifest.read(text, limit=2**20, cells=2, values=12)
