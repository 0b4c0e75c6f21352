"""The record of a verification: where it may be written, and whether it was altered."""

from __future__ import annotations

import pytest

from pabench.cli.main import app
from pabench.errors import DataError, SuiteError
from pabench.leaderboard.verification import (
    certificate,
    verify as verification,
)
from pabench.leaderboard.verification.verify import verify


def test_a_record_is_not_written_into_the_submission(submission, tmp_path):
    found = verify(submission)
    with pytest.raises(SuiteError, match="its submitter's own word"):
        verification.record(found, submission / "verification.json")

    verification.record(found, tmp_path / "v.json")
    assert certificate.recorded(tmp_path / "v.json")["digest"] == found.digest


def test_a_record_goes_where_nothing_else_is_and_that_is_seen_first(submission, tmp_path, monkeypatch):
    """Before level 1: what it would find may take hours, and would be lost."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "c").mkdir()
    monkeypatch.setattr(verification, "verify", lambda *_, **__: pytest.fail("it was looked at first"))
    for target, told in (
        (tmp_path / "notes.txt", "holds something else than a verification, and is not written over"),
        (tmp_path / "c", "a folder; name a file"),
        (
            tmp_path / "notes.txt" / "v.json",
            r"cannot be written \((Not a directory|File exists)\); choose another place",
        ),
        (submission / "v.json", "inside of the submission"),
    ):
        with pytest.raises(SuiteError, match=told) as refusal:
            app(["verify", str(submission), "--record", str(target)], standalone_mode=False)
        assert refusal.value.exit_code == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_record_replaces_an_earlier_one(submission, tmp_path):
    for seed in (1, 2):
        verification.record(verify(submission, seed=seed), tmp_path / "new" / "v.json")

        assert certificate.recorded(tmp_path / "new" / "v.json")["seed"] == seed


def test_an_altered_record_is_refused(submission, tmp_path):
    verification.record(verify(submission), tmp_path / "v.json")
    (tmp_path / "v.json").write_bytes((tmp_path / "v.json").read_bytes().replace(b'"passed":2', b'"passed":4'))

    with pytest.raises(DataError, match="no record of a verification"):
        certificate.recorded(tmp_path / "v.json")
