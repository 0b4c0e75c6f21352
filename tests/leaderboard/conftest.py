"""What tests of pages share."""

from __future__ import annotations

import pytest

from pabench.leaderboard import site


@pytest.fixture(scope="module")
def quick_reports():
    """A study's page takes seconds, and is tested in tests/report/test_page.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "render", lambda study: f"<!doctype html><title>{study.manifest['name']}</title>")
        yield
