"""The sources of criteria are found by their SHA-256."""

from __future__ import annotations

import json
import shutil

import pytest

from pabench.errors import RefusedError
from pabench.leaderboard.submission import submit
from pabench.suite.digest import digest

from ..conftest import STEEP


def test_it_holds_the_source_of_a_criterion_that_is_not_built_in_and_no_other(submission):
    assert [p.read_text() for p in (submission / "criteria").iterdir()] == [STEEP]


def test_a_source_that_changed_since_the_run_is_refused(results, tmp_path):
    shutil.copytree(results.parent, tmp_path / "study")
    source = tmp_path / "study" / "criteria" / "steep.py"
    source.write_text(STEEP + "# edited\n")
    study = json.loads((tmp_path / "study" / "out" / "study.json").read_text())
    study["suite_path"] = str(tmp_path / "study" / "small.yaml")
    study["sha256"] = digest({k: v for k, v in study.items() if k != "sha256"})
    (tmp_path / "study" / "out" / "study.json").write_text(json.dumps(study))

    with pytest.raises(RefusedError, match=r"steep: the file that defines it .* --plugin FILE"):
        submit(tmp_path / "study" / "out", tmp_path / "out")
