"""Colours and captions of figures."""

from __future__ import annotations

import doctest
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure
from pabench_reports import figure
from pabench_reports.figure import INK, looks, mark

from pabench.source import declared


def test_reference_lines_take_no_colour_from_a_criterion():
    alone, both = looks(["snip", "grasp"]), looks(["late", "snip", "grasp"], {"late"})

    assert {name: both[name] for name in alone} == alone
    assert both["late"].color == INK


def test_criteria_that_most_studies_have_look_alike_in_all_of_them():
    one, other = (
        looks(["random", "mine", "snip", "grasp"]),
        looks(["grasp", "synflow (steps=100)", "snip@late", "snip"]),
    )

    assert one["grasp"] == other["grasp"]
    assert (
        one["snip"] == other["snip"] == looks(["snip@late"])["snip@late"]
    )  # a variant's, where the other is not there
    greys = looks(["random", "random (allocation=erk)", "random (allocation=uniform)"])
    assert {look.color for look in greys.values()} == {figure.GREY}
    assert len({look.marker for look in greys.values()}) == 3
    assert one["mine"] == looks(["mine"])["mine"] == looks(["random", "px", "mine", "fts"])["mine"]
    assert len(set(one.values())) == len(set(other.values())) == 4
    many = looks([f"c{i}" for i in range(60)])
    assert len(set(many.values())) == 60


def test_every_built_in_criterion_has_a_look_of_its_own():
    lines = {name for name, one in declared().items() if one.reference_line}

    assert {*figure.OWN, "random"} == set(declared()) - lines
    assert set(figure.LINES) == lines
    assert len(set(looks(figure.OWN).values())) == len(figure.OWN)


def test_a_figure_is_drawn_once(monkeypatch):
    """Drawing is the most that a page takes."""
    drawn = []
    monkeypatch.setattr(Figure, "draw", lambda self, renderer, draw=Figure.draw: drawn.append(draw(self, renderer)))

    found = figure.Panel(lambda shown: shown.subplots().plot([1, 2]), 3, 2, "One", "a line").svg

    assert len(drawn) == 1
    assert 'aria-label="a line"' in found
    assert "<path" in found


def test_what_is_marked_has_a_tooltip_and_an_entry_and_no_name_leaves_its_attribute():
    name = 'a" onload="x <b>'

    svg = figure.Panel(lambda f: f.subplots().plot([1], [2], gid=mark(name, f"{name}: 2")), 3, 2, "One", "x").svg

    found = [e.attrib for e in ElementTree.fromstring(svg).iter() if "data-series" in e.attrib]
    assert found == [{"data-series": name, "data-tip": f"{name}: 2"}]


def test_a_drawing_keeps_no_id_that_nothing_names():
    svg = figure.Panel(lambda f: f.subplots().plot([1, 2], marker="o"), 3, 2, "One", "x").svg

    ids = set(re.findall(r' id="([^"]*)"', svg))
    assert ids == set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg))
    assert all(
        len(number.partition(".")[2]) <= 2 for number in re.findall(r"[\d.]+", re.search(r' d="([^"]*)"', svg)[1])
    )


def test_every_marker_has_a_swatch():
    drawn = {marker: figure.Key("x", figure.Look("#000000", marker, ())).swatch for marker in (*figure.MARKERS, "x")}

    assert len(set(drawn.values())) == len(drawn) == 12
    assert 'd="M10.0 10.0L18.0 2.0M10.0 2.0L18.0 10.0"' in drawn["x"]


def test_files_have_a_legend_and_are_the_same_bytes_again(tmp_path):
    drawn = figure.Drawn(
        "x",
        (figure.Panel(lambda f: f.subplots().plot([1, 2], gid=mark("snip", "told")), 3, 2, "One · a", "x"),),
        (),
        keys=(figure.Key("snip", figure.Look("#0072b2", "o", ())),),
    )

    paths = drawn.save(tmp_path)
    before = [path.read_bytes() for path in paths]

    assert [path.name for path in paths] == ["one-a.pdf", "one-a.svg"]
    assert before[0].startswith(b"%PDF-1.4")
    assert [path.read_bytes() for path in drawn.save(tmp_path)] == before
    assert b"<!-- snip -->" in before[1]  # letters are outlines, and matplotlib names them
    assert b"told" not in before[1]


def test_doctests_hold():
    assert doctest.testmod(figure).failed == 0
