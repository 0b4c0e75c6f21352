"""Files of a site: no formula in a table, and what others wrote is left alone."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from pabench.errors import RefusedError
from pabench.leaderboard import sitefiles
from pabench.leaderboard.publish import publish

from .conftest import contents

pytestmark = pytest.mark.usefixtures("quick_reports")


def test_neither_a_cell_nor_a_header_of_a_table_is_a_formula():
    frame = pd.DataFrame({"=HYPERLINK(1)": ["@x", "y"], "top1": [-1.0, 2.0]})

    assert sitefiles.table(frame) == b"'=HYPERLINK(1),top1\n'@x,-1.0\ny,2.0\n"


def test_publishing_over_a_site_changes_what_changed_and_leaves_what_others_wrote(out, submission, tmp_path):
    folder = shutil.copytree(out, tmp_path / "site")
    (folder / "CNAME").write_text("boards.example.org")
    (folder / "studies" / "notes.txt").write_text("mine")
    before = contents(folder)

    again = publish([str(submission)], folder)
    assert (again.changed, again.removed) == (0, 0)

    renamed = publish([f"other={submission}"], folder)
    after = contents(folder)
    assert renamed.removed > 14
    assert not [path for path in after if "/small/" in path]
    assert after["CNAME"] == b"boards.example.org"
    assert after["studies/notes.txt"] == b"mine"
    board = next(path for path in before if path.startswith("boards/"))
    assert board in after  # its permalink stays


def test_a_file_of_somebody_else_is_not_written_over(submission, tmp_path):
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(RefusedError, match=r"index.html: not written by `pabench publish`"):
        publish([str(submission)], tmp_path)
    assert contents(tmp_path) == {"index.html": b"my home page"}

    (tmp_path / "index.html").rename(tmp_path / "README.md")
    made = publish([str(submission)], tmp_path)
    assert (tmp_path / "README.md").read_text() == "my home page"
    assert "left as it is" in made.notes[-1]


def test_a_file_that_was_edited_since_is_not_written_over(out, submission, tmp_path):
    folder = shutil.copytree(out, tmp_path / "site")
    (folder / "README.md").write_text("my front page")
    made = publish([str(submission)], folder)
    assert (folder / "README.md").read_text() == "my front page"
    assert made.notes[-1].endswith("README.md: written or edited by somebody else, left as it is")

    page = folder / "index.html"
    page.write_text(page.read_text() + "<!-- mine -->")
    before = contents(folder)
    with pytest.raises(RefusedError, match=r"index.html: edited since `pabench publish` wrote it; move it away"):
        publish([f"other={submission}"], folder)
    assert contents(folder) == before
