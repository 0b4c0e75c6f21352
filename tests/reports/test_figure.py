"""Colours and captions of figures."""

from __future__ import annotations

import doctest

from pabench_reports import figure
from pabench_reports.figure import INK, looks


def test_reference_lines_take_no_colour_from_a_criterion():
    alone, both = looks(["snip", "grasp"]), looks(["late", "snip", "grasp"], {"late"})

    assert {name: both[name] for name in alone} == alone
    assert both["late"].color == INK


def test_doctests_hold():
    assert doctest.testmod(figure).failed == 0
