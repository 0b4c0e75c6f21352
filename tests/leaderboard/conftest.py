"""What tests of pages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from pabench.leaderboard import site
from pabench.leaderboard.publish import publish


@pytest.fixture(scope="module")
def quick_reports():
    """A study's page takes seconds, and is tested in tests/report/test_page.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "render", lambda study, more: f"<!doctype html><title>{study.manifest['name']}</title>")
        yield


@pytest.fixture(scope="module")
def out(quick_reports, submission, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    publish([str(submission)], folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
