"""About this run: how many cells there are, and what they were run on."""

from __future__ import annotations

from pabench_reports.about import About

from ..synthetic import battery


def test_all_cells_are_counted_and_the_ablations_named():
    """Three data-free criteria times two ablations of the batch times three seeds are skipped by design."""
    html = About().render(battery())

    assert "<b>93</b> cells" in html
    assert "<b>18</b> skipped" in html
    assert "<summary>93 cells: 75 ok, 18 skipped</summary>" in html
    assert "shuffle, reinit, invert, random_labels, shuffled_pixels" in html
    assert "<dt>Hardware</dt><dd>cpu: Example 3000</dd>" in html
