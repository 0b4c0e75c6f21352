"""Runs without a page: to make one takes longer than a small study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pabench.report.conclusion import lines
from pabench.report.folders import read
from pabench.report.page import NAME


@contextmanager
def undrawn() -> Iterator[None]:
    """Inside, a run says what its report would say, and writes none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.cli.running.written", _shown)
        yield


def _shown(folder: Path) -> dict[str, Any]:
    return {"conclusion": lines(read(folder)), "report": str(folder / NAME)}
