"""Cells of two studies: which is kept, and why."""

from __future__ import annotations

from pabench_reports.studies import Studies
from pabench_reports.twice import twice

from pabench.report.join import join

from ..report.test_join import grid
from ..synthetic import failed, folder, record, with_top1


def test_two_results_of_one_cell_are_named_and_the_earlier_is_kept(tmp_path):
    early = folder(tmp_path / "z", grid("snip"), name="z")
    late = folder(
        tmp_path / "a",
        grid("snip"),
        lambda cell: {**with_top1(lambda c: 50.0)(cell), "created": "2027-01-01T00:00:00Z"},
        name="a",
    )

    joint = join([late, early])

    assert set(joint.frame["study"]) == {"z"}
    assert 50.0 not in set(joint.frame["top1"])
    assert [(one.label, one.others, one.same, one.top1[1]) for one in twice(joint)] == [("z", ("a",), False, 50.0)] * 4
    assert "z and a have different results for one and the same cell" in Studies().render(joint)


def test_what_is_kept_says_why(tmp_path):
    """It stands before one that failed, whenever either was made."""
    late = {"created": "2027-01-01T00:00:00Z"}
    a = folder(tmp_path / "a", grid("snip"), lambda cell: record(cell, **late), name="a")
    b = folder(tmp_path / "b", grid("snip"), failed, name="b")
    c = folder(tmp_path / "c", grid("snip"), with_top1(lambda cell: 50.0), name="c")

    assert {one.why for one in twice(join([a, b]))} == {"the only one that finished"}
    assert "that of a, the only one that finished, is kept" in Studies().render(join([a, b]))
    assert {(one.label, one.why) for one in twice(join([a, c]))} == {("c", "the earlier")}
    assert {(one.label, one.why) for one in twice(join([a, b, c]))} == {("c", "the earliest that finished")}
