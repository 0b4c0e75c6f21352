"""Results folders, and the names that tell them apart."""

from __future__ import annotations

from pabench.report.join import join

from ..synthetic import folder
from .test_join import grid


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path):
    a = folder(tmp_path / "first", grid("snip"))
    b = folder(tmp_path / "second", grid("grasp"))

    assert [part.label for part in join([b, a]).parts] == ["study (first)", "study (second)"]
