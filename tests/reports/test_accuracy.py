"""Accuracy against sparsity, effective density and training FLOPs."""

from __future__ import annotations

import re

import pytest
from pabench_reports.accuracy import Accuracy, _effective, _flops, _windows, draw
from pabench_reports.figure import looks

from pabench.report import frame
from pabench.statistics.intervals import Interval
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, cells, manifest, record

LINE = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")


def study(criteria, top1, **changes):
    """Two seeds of each criterion, whose top-1 is `top1` in seed 0 and one more in seed 1."""
    expected = cells(criteria, models=["resnet20"], sparsities=[0.9, 0.98], seeds=2)
    records = {}
    for cell in expected:
        made = record(cell)
        flops = {"dense": 100, "pruned": 20 if cell.sparsity == 0.9 else 5 if cell.sparsity else 100}
        made["result"] = {**made["result"], "top1": top1 + cell.seed, "flops": flops}
        records[cell.key] = {**made, **changes}
    return frame.study(manifest(expected), records)


def styles(made):
    return looks([c for c in made.plain["criterion"].unique() if c != "dense"])


def test_the_numbers_under_a_figure_are_its_means_and_intervals():
    """50 and 51: mean 50.5, SD 0.7071, half width 0.5 * 12.706."""
    made = study([CRITERIA["snip"]], 50.0)

    figure = draw(made, made.plain, styles(made), "x")

    assert figure.numbers.heads[1:] == ("90 %", "98 %")
    assert figure.numbers.lines == (("snip", ("50.50 [44.15, 56.85]", "50.50 [44.15, 56.85]")),)


def test_an_axis_includes_the_intervals_it_shows_and_none_leaves_0_to_100():
    """97 and 98 have an interval of 97.5 +- 6.35: to 100, and no further; the axis begins below 91.15."""
    made = study([CRITERIA["snip"]], 97.0)

    assert draw(made, made.plain, styles(made), "x").numbers.lines[0][1][0] == "97.50 [91.15, 100.00]"
    window, *_ = _windows(made.plain, [Interval(97.5, 91.15, 100.0, 2, "t")])
    assert window[0] < 91.15
    assert window[1] == 100.0


def test_where_a_wide_interval_squeezes_all_others_they_are_shown_once_more():
    made = study([CRITERIA["snip"]], 97.0)

    whole, enlarged = _windows(made.plain, [Interval(97.5, 20.0, 100.0, 2, "t")])

    assert whole[0] < 20.0
    assert enlarged[0] > 90.0


def test_training_flops_are_in_parts_of_the_dense_network():
    made = study([CRITERIA["snip"]], 50.0)

    figure = _flops(made, made.plain, styles(made), "x")

    assert figure.lines == [("snip, training FLOPs, share of dense", ("20 %", "5 %"))]


def test_a_line_that_trains_more_than_the_pruned_network_is_not_among_the_flops():
    made = study([CRITERIA["snip"], LINE], 50.0)

    figure = _flops(made, made.plain, styles(made), "x")

    assert [name for name, _ in figure.lines] == ["snip, training FLOPs, share of dense"]
    assert "Not shown against FLOPs, as more than the pruned network is trained: late." in figure.notes


def test_effective_density_places_each_point_and_names_who_has_none():
    made = study([CRITERIA["snip"]], 50.0)
    rows = made.plain.assign(effective_density=(1 - made.plain["sparsity"]) / 2)
    rows.loc[(rows["sparsity"] == 0.98) & (rows["seed"] == 0), "effective_density"] = 0.0

    figure = _effective(rows, styles(made), "x")

    assert figure.lines == [("snip, effective density", ("5 %", "1 %"))]
    assert "Left out of it, as no path is left: 1 cell." in figure.notes
    assert _effective(made.plain, styles(made), "x") is None


@pytest.mark.parametrize(("sparsities", "panels"), [([0.9, 0.98], 1), ([0.9, 0.95, 0.98], 2)])
def test_other_axes_are_drawn_of_three_sparsities_or_more(sparsities, panels):
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=sparsities, seeds=2)
    made = frame.study(manifest(expected), {c.key: record(c) for c in expected})

    html = str(Accuracy().render(made))

    assert html.count("<figcaption") == 1
    assert html.count('aria-label="Top-1 accuracy against') == panels


def test_each_point_has_its_numbers_and_belongs_to_an_entry_of_the_legend():
    """50 and 51: 50.5, at two sparsities; the dense baseline is the same."""
    html = str(Accuracy().render(study([CRITERIA["snip"]], 50.0)))

    tips = [f"snip at {s} %: 50.50 [44.15, 56.85], n = 2" for s in (90, 98)]
    assert set(re.findall(r'data-series="snip" data-tip="([^"]*)"', html)) == set(tips)
    assert 'data-series="dense baseline" data-tip="dense baseline: 50.50 [44.15, 56.85], n = 2"' in html
    assert re.findall(r'<li data-series="([^"]*)">', html) == ["snip", "dense baseline"]


@pytest.mark.parametrize("sparsities", [[0.9], [0.9, 0.98]])
def test_one_sparsity_is_enough_for_an_axis(sparsities):
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=sparsities, seeds=1)
    made = frame.study(manifest(expected), {c.key: record(c) for c in expected})

    assert "<svg" in str(Accuracy().render(made))


def test_a_point_with_a_collapsed_cell_has_no_interval_and_the_notes_say_so():
    fine, fallen = (study([CRITERIA["snip"]], top1) for top1 in (80.0, 9.9))  # 9.9 is chance, 10.9 is not yet more

    told = [dict(draw(made, made.plain, styles(made), "x").numbers.lines)["snip"] for made in (fine, fallen)]

    assert [("[" in text) for text in (told[0][0], told[1][0])] == [True, False]
    notes = " ".join(draw(fallen, fallen.plain, styles(fallen), "x").notes)
    assert "No bar where a cell collapsed to chance (4 did)" in notes
    assert "No bar" not in " ".join(draw(fine, fine.plain, styles(fine), "x").notes)
