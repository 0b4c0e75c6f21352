"""A submission holds all that others need to check a study, and nothing of the submitter's machine."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pabench.errors import RefusedError
from pabench.leaderboard import submission as submitting
from pabench.leaderboard.submission import submit
from pabench.leaderboard.verification.folder import read
from pabench.store.envelope import seal, unseal
from pabench.store.store import Store
from pabench.suite.digest import digest


def test_it_lists_every_file_with_its_hash(submission):
    stated = json.loads((submission / "submission.json").read_text())
    there = {str(p.relative_to(submission)): p.read_bytes() for p in submission.rglob("*") if p.is_file()}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in there.items() if name != "submission.json"}

    assert {name: entry["sha256"] for name, entry in stated["files"].items()} == hashes
    assert stated["digest"] == digest(hashes) == read(submission).digest
    # 2 seeds of dense + 3 criteria at 2 sparsities; equal criteria would share masks
    assert len([name for name in there if name.startswith("records/")]) == 14
    assert len([name for name in there if name.startswith("masks/")]) == 12


def test_nothing_in_it_tells_where_it_was_made(submission, results):
    texts = b"".join(p.read_bytes() for p in submission.rglob("*.json"))
    here = str(results.parent).encode()

    assert here in (results / "study.json").read_bytes()
    assert here not in texts
    assert str(Path.home()).encode() + b"/" not in texts


def test_two_submissions_of_one_study_are_equal(submission, results, tmp_path):
    again = submit(results, tmp_path / "again").folder

    first, second = ({p.name: p.read_bytes() for p in f.rglob("*.json")} for f in (submission, again))
    assert first == second


def test_records_keep_their_keys_and_numbers(submission, results):
    before, after = Store(results).records(), Store(submission).records()

    assert {k: r["result"] for k, r in after.items()} == {k: r["result"] for k, r in before.items()}


def test_a_gap_in_the_grid_is_refused_by_name_unless_told(results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "results")
    key, record = next((k, r) for k, r in Store(folder).records().items() if r["labels"]["criterion"] == "snip")
    (folder / "records" / f"{key}.json").unlink()

    with pytest.raises(RefusedError, match="1 of 14 cells have no record") as refused:
        submit(folder, tmp_path / "out")
    cell = record["cell"]
    title = f"digits / lenet_300_100 / snip {cell['sparsity']:g} / seed {cell['seed']}"
    assert title in str(refused.value)
    assert not (tmp_path / "out").exists()

    made = submit(folder, tmp_path / "out", incomplete=True)
    assert made.missing == 1
    assert json.loads((made.folder / "submission.json").read_text())["incomplete"] == [key]


def test_a_study_larger_than_a_submission_may_be_is_refused_before_anything_is_written(results, tmp_path, monkeypatch):
    monkeypatch.setattr(submitting, "MAX_CELLS", 13)

    with pytest.raises(RefusedError, match="14 cells; a submission has at most 13: run each dataset or model"):
        submit(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_not_written_over(results, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")

    with pytest.raises(RefusedError, match="there already"):
        submit(results, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_the_trace_of_a_failed_cell_keeps_file_names_and_loses_folders(results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "results")
    key = next(iter(Store(folder).records()))
    path = folder / "records" / f"{key}.json"
    trace = 'File "/home/ada/lab/steep.py", line 3, in score'
    record = {**unseal(path.read_bytes()), "status": "failed", "result": None, "traceback": trace}
    path.write_bytes(seal({**record, "environment": {**record["environment"], "host": "lovelace"}}))

    made = Store(submit(folder, tmp_path / "out").folder).get("records", key)

    assert made["traceback"] == 'File "steep.py", line 3, in score'
    assert "host" not in made["environment"]
