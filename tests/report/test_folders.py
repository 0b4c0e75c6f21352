"""Results folders: read by one process or by two, and the names that tell them apart."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pabench.report.folders import AT_ONCE
from pabench.report.join import join

from ..synthetic import cells, folder
from .test_join import grid


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path):
    a = folder(tmp_path / "first", grid("snip"))
    b = folder(tmp_path / "second", grid("grasp"))

    assert [part.label for part in join([b, a]).parts] == ["study (first)", "study (second)"]


TWICE = """
import os, sys
from pathlib import Path
from pabench.report import halves, page
from pabench.report.folders import read

def told(study):
    return repr((study.told, dict(study.records), study.broken, study.strays))

folder, forks = Path(sys.argv[1]), []
fork = os.fork
os.fork = lambda: forks.append(1) or fork()
two = read(folder)
of_two = page.render(two)
halves._may_copy = lambda: False
one = read(folder)
assert told(one) == told(two)
assert one.frame.equals(two.frame)
assert page.render(one) == of_two
print(len(forks), two.broken, len(two.records))
"""


@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux with two cores")
def test_two_processes_make_the_page_that_one_makes(tmp_path):
    """Every fortieth record is broken, in the halves of both; at the second reading they are in quarantine."""
    study = folder(tmp_path / "results", cells(models=("resnet20",), seeds=20))
    records = sorted((study / "records").iterdir())
    assert len(records) > 2 * AT_ONCE
    for path in records[::40]:
        path.write_bytes(path.read_bytes()[:-30])

    done = subprocess.run([sys.executable, "-c", TWICE, study], capture_output=True, text=True, timeout=120)

    broken = len(records[::40])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"2 {broken} {len(records) - broken}\n"
    assert len(list((study / "quarantine").iterdir())) == broken
