"""A study with all that may go wrong."""

from __future__ import annotations

import pytest

from pabench.report import frame
from pabench.report.study import Study

from ..synthetic import study_with_trouble


@pytest.fixture(scope="module")
def troubled() -> Study:
    return frame.study(*study_with_trouble())
