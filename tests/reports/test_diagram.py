"""The critical-difference diagram: its labels and bars."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from pabench_reports.diagram import _rows, diagram
from pabench_reports.figure import looks

from pabench.statistics.ranktest import Friedman


@pytest.mark.parametrize("k", [2, 5, 16])
def test_no_label_of_the_diagram_lies_on_another(k):
    """Ranks close together, where labels would collide if they stood at them: each side has rows of its own."""
    ranks = {f"criterion {i}": 1 + (k - 1) * (0.5 + 0.01 * i / k) for i in range(k)}
    drawn = diagram(Friedman(ranks, 9.0, 0.01, 30, 0.05), looks(list(ranks)), "x").svg

    places = {name: _place(drawn, name) for name in ranks}
    for side in (True, False):
        heights = sorted(y for x, y in places.values() if (x < 288) is side)  # the middle of 8 inches at 72 points
        assert all(b - a >= 15 for a, b in pairwise(heights)), heights


def _place(drawn: str, name: str) -> tuple[float, float]:
    tag = re.search(rf"<text([^>]*)>{name} ", drawn).group(1)
    return tuple(float(re.search(rf' {key}="([\d.]+)"', tag).group(1)) for key in ("x", "y"))


def test_bars_that_overlap_stand_in_rows_of_their_own():
    assert _rows([(1.0, 2.0), (1.5, 3.0), (2.5, 4.0)]) == [(0, 1.0, 2.0), (1, 1.5, 3.0), (0, 2.5, 4.0)]
