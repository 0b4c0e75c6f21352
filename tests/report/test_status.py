"""What became of cells: counted from the records alone, without the table of the report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from pabench.cli.results import status_text
from pabench.errors import DataError
from pabench.report.folders import read
from pabench.report.status import counts
from pabench.store.envelope import seal
from pabench.store.store import Store
from pabench.store.verdict import tally
from pabench.suite.digest import canonical, digest

from .. import synthetic


@pytest.fixture
def folder(tmp_path):
    """132 cells: 2 failed, 4 without a record, 3 collapsed, 3 degenerate; one name is a script."""
    manifest, records = synthetic.study_with_trouble()
    store = Store(tmp_path / "study")
    store.open_study(manifest)
    for key, record in records.items():
        store.commit("records", key, record)
    return tmp_path / "study"


def test_counts_are_those_of_the_table(folder):
    found, study = counts(folder), read(folder)

    assert {status: found[status] for status in ("ok", "failed", "missing")} == Counter(study.frame["status"])
    assert (found["ok"], found["failed"], found["missing"], found["skipped"]) == (126, 2, 4, 0)
    flags = tally(study.frame["flags"])
    assert (found["flagged"], found["flags"]) == (flags.cells, flags.by_flag) == (6, {"collapsed": 3, "degenerate": 3})


def test_a_failed_cell_is_named_with_its_reason_in_the_order_of_the_study(folder):
    assert [failure["cell"] for failure in counts(folder)["failures"]] == [
        "cifar10 / vgg11_bn / magnitude 0.99 / seed 0",
        "cifar10 / vgg11_bn / snip 0.99 / seed 2",
    ]
    assert counts(folder)["failures"][0]["why"] == "diverged: epoch 3: the loss is nan; lower recipe.lr"


def test_a_broken_record_is_missing_and_put_aside(folder):
    path = sorted((folder / "records").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-9])

    assert (counts(folder)["missing"], counts(folder)["broken"]) == (5, 1)
    assert "1 broken record set aside (log.txt says why)" in status_text(counts(folder))
    assert [file.name for file in (folder / "quarantine").iterdir()] == [f"records-{path.stem}-1.json"]


def test_a_record_of_no_cell_is_not_counted(folder):
    manifest = Store(folder).manifest()
    Store(folder).open_study({**manifest, "cells": manifest["cells"][:10]})

    assert counts(folder)["cells"] == counts(folder)["ok"] == 10


@pytest.mark.parametrize("cells", [[{"seed": 0}], [7], None])
def test_what_is_no_study_is_said_in_one_line(folder, cells):
    manifest = {**Store(folder).manifest(), "cells": cells}
    (folder / "study.json").write_text(canonical({**manifest, "sha256": digest(manifest)}))

    with pytest.raises(DataError, match=r"study\.json: cannot be read as a study \((Key|Type)Error: .*another version"):
        counts(folder)


def test_a_record_of_another_shape_is_said_in_one_line(folder):
    path = sorted((folder / "records").iterdir())[0]
    path.write_bytes(seal({"key": path.stem, "status": "failed", "flags": 3}))

    with pytest.raises(DataError, match="cannot be read as a study"):
        counts(folder)


def test_no_table_is_made_for_it(folder):
    """pandas and scipy take a second to load, which is most of what a small study's status took."""
    code = (
        "import sys, json; from pathlib import Path; from pabench.report.status import counts\n"
        f"found = counts(Path({str(folder)!r}))\n"
        "print(json.dumps([found['ok'], sorted({'pandas', 'scipy', 'numpy'} & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == [126, []]
