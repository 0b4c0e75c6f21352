"""Colours and captions of figures."""

from __future__ import annotations

import doctest

from pabench_reports import figure
from pabench_reports.figure import INK, looks


def test_reference_lines_take_no_colour_from_a_criterion():
    alone, both = looks(["snip", "grasp"]), looks(["late", "snip", "grasp"], {"late"})

    assert {name: both[name] for name in alone} == alone
    assert both["late"].color == INK


def test_the_caption_names_the_interval_that_is_drawn():
    assert doctest.testmod(figure).failed == 0
    assert figure.interval_name([1, 3]) == "95 % t interval of the mean"
    assert figure.interval_name([12]) == "95 % BCa bootstrap interval of the mean"
