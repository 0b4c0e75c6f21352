"""Tests of pabench.diagnostics.oracle; what it finds is tested by conformance."""

from __future__ import annotations

import pytest

from pabench.diagnostics import oracle
from pabench.errors import DataError, MissingError


def test_reference_results_are_found_missing_or_unreadable_by_their_path(tmp_path):
    with pytest.raises(MissingError, match=r"index.json: no such file; --reference names a folder"):
        oracle.index(tmp_path)
    (tmp_path / "index.json").write_text('[{"fiel": "sf_mag"}]')
    with pytest.raises(DataError, match=r"index.json: .*unexpected keyword argument 'fiel'"):
        oracle.index(tmp_path)
