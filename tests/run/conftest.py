"""What the tests of runs share: a study that has been run, and clocks and engines of their own."""

from __future__ import annotations

import pytest

from pabench.run import estimate

HOUR = 3600.0


@pytest.fixture
def hourly(monkeypatch):
    """A training takes an hour, wherever it would be timed."""
    monkeypatch.setattr(estimate, "_calibrated", lambda *_: HOUR)
