"""The section that says which studies a page is made of."""

from __future__ import annotations

from pabench_reports.studies import Studies

from pabench.report.join import join

from ..report.test_join import grid
from ..synthetic import ENVIRONMENT, folder, record


def test_versions_that_differ_are_named(tmp_path):
    a = folder(tmp_path / "a", grid("snip"), name="a")
    other = {**ENVIRONMENT, "torch": "2.11.0"}
    b = folder(tmp_path / "b", grid("grasp"), lambda cell: record(cell, environment=other), name="b", environment=other)

    html = Studies().render(join([a, b]))

    assert join([a, b]).manifest["environment"]["torch"] == "2.11.0 or 2.14.1"
    assert "torch 2.11.0" in html
    assert "Versions or hardware differ" in html
