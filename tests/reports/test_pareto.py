"""The Pareto front of accuracy and time."""

from __future__ import annotations

import pytest
from pabench_reports.figure import looks_of
from pabench_reports.pareto import offers, pareto

from .test_cost import GIVEN, scored, study


def drawn_of(made):
    return pareto(scored(made), looks_of(made.plain), "x")


def test_the_front_holds_who_is_beaten_in_time_or_accuracy_alone():
    market = offers(scored(study(GIVEN)))

    assert (market.blocks, market.left) == (2, [])
    assert [(o.criterion, o.time, o.top1.mean) for o in market.offers] == [
        ("random", 0.01, pytest.approx(50.05)),
        ("snip", 1.0, pytest.approx(60.05)),
        ("grasp", 3.0, pytest.approx(55.05)),
    ]
    assert [o.criterion for o in market.front] == ["random", "snip"]


def test_reference_lines_stand_beside_the_front():
    """The fastest and the best of all, and yet no criterion to be compared with."""
    drawn = drawn_of(study(GIVEN, criteria=("random", "snip", "late")))

    assert [name for name, values in drawn.numbers.lines if values[-1] == "yes"] == ["random", "snip"]
    assert [name for name, _ in drawn.numbers.lines] == ["random", "snip", "late"]
    assert "Reference lines stand beside and are not on the front." in drawn.notes


def test_who_fails_takes_no_block_from_the_others():
    made = study(GIVEN, seeds=3, unfinished=lambda c: c.criterion.name == "grasp" and c.seed < 2)

    market = offers(scored(made))

    assert ([o.criterion for o in market.offers], market.blocks, market.left) == (["random", "snip"], 3, ["grasp"])


def test_a_reference_line_takes_no_block_from_the_criteria():
    """It has two blocks of four: criteria are compared in all four, and it is named as left out."""
    made = study(
        GIVEN,
        criteria=("random", "snip", "late"),
        seeds=4,
        unfinished=lambda c: c.criterion.name == "late" and c.seed < 2,
    )

    market = offers(scored(made))

    assert ([o.criterion for o in market.offers], market.blocks, market.left) == (["random", "snip"], 4, ["late"])


def test_a_survivor_is_not_on_the_front_and_beats_nobody():
    """snip, better than grasp and faster, lost one block of three: what it has in the others is that of survivors."""
    whole = study(GIVEN, seeds=3)
    some = study(GIVEN, seeds=3, unfinished=lambda c: c.criterion.name == "snip" and c.seed == 1)

    fronts = [{offer.criterion for offer in offers(scored(made)).front} for made in (whole, some)]

    assert fronts == [{"random", "snip"}, {"random", "grasp"}]
    assert "Not on the front, as cells failed or are missing: snip." in drawn_of(some).notes


def test_one_criterion_is_no_front():
    assert drawn_of(study(GIVEN, criteria=("snip",))) is None


def test_criteria_look_as_everywhere_on_the_page():
    made = study(GIVEN)

    keys = {key.name: key.look for key in drawn_of(made).keys}

    assert {name: keys[name] for name in GIVEN if name in keys} == {
        n: look for n, look in looks_of(made.plain).items() if n in keys
    }
    assert keys["grasp"].color == looks_of(made.plain)["grasp"].color != keys["snip"].color
