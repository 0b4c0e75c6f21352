"""A submission to lie in, for all tests of the levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...forgery import Forgery


@pytest.fixture
def forgery(submission: Path, tmp_path: Path) -> Forgery:
    return Forgery(submission, tmp_path / "forged")
