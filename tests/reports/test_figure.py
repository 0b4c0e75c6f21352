"""Colours and captions of figures."""

from __future__ import annotations

import doctest

from matplotlib.figure import Figure
from pabench_reports import figure
from pabench_reports.figure import INK, looks


def test_reference_lines_take_no_colour_from_a_criterion():
    alone, both = looks(["snip", "grasp"]), looks(["late", "snip", "grasp"], {"late"})

    assert {name: both[name] for name in alone} == alone
    assert both["late"].color == INK


def test_a_figure_is_drawn_once(monkeypatch):
    """Drawing is the most that a page takes."""
    drawn = []
    monkeypatch.setattr(Figure, "draw", lambda self, renderer, draw=Figure.draw: drawn.append(draw(self, renderer)))

    found = figure.svg(lambda shown: shown.subplots().plot([1, 2]), width=3, height=2, name="One", label="a line")

    assert len(drawn) == 1
    assert 'aria-label="a line"' in found
    assert "<path" in found


def test_doctests_hold():
    assert doctest.testmod(figure).failed == 0
