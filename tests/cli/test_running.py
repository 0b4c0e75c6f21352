"""What `pabench run` prints while a study is carried out."""

from __future__ import annotations


def test_a_run_prints_plain_lines_where_there_is_no_terminal_and_where_the_report_is(finished):
    folder, done = finished
    lines = done.stdout.splitlines()

    assert lines[0] == "tiny: 2 cells, 0 done, 2 to do"
    assert lines[1].startswith("[1/2] digits / lenet_300_100 / dense / seed 0: ")
    assert "left)" in lines[1]
    assert lines[-2:] == ["cells: 2 ok", f"report: {folder / 'out' / 'report.html'}"]
    assert "\x1b" not in done.stdout
    assert (folder / "out" / "report.html").stat().st_size > 10_000
