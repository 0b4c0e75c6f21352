"""The cost section: gradient passes, epochs, and the Pareto front of accuracy and time."""

from __future__ import annotations

import doctest
import re

import pytest
from pabench_reports import cost, figure
from pabench_reports.pareto import offers, pareto

from pabench.report import frame
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, cells, failed, manifest, record

LINE = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")


def study(given, *, criteria=("random", "snip", "grasp"), seeds=2, unfinished=None, **more):
    """`given` maps a criterion to (scoring seconds, top-1); `more` are further numbers of the cost."""
    specs = [LINE if name == "late" else CRITERIA[name] for name in criteria]
    expected = cells(specs, models=["resnet20"], sparsities=[0.9, 0.98], seeds=seeds)
    records = {}
    for cell in expected:
        made = record(cell)
        if cell.criterion:
            seconds, top1 = given[cell.criterion.name]
            made["result"] = {**made["result"], "top1": top1 + 0.1 * cell.seed}
            made["cost"] = {**made["cost"], "scoring_seconds": seconds, **more}
            if unfinished and unfinished(cell):
                made = failed(cell)
        records[cell.key] = made
    return frame.study(manifest(expected), records)


def scored(made):
    return made.plain[made.plain["criterion"] != "dense"]


GIVEN = {"random": (0.01, 50.0), "snip": (1.0, 60.0), "grasp": (3.0, 55.0), "late": (0.001, 90.0)}


def test_gradient_passes_are_of_as_many_images_as_the_criterion_saw():
    """A pass of 100 images takes 0.5 s. Of 50 images: 0.25 s, so 1 s are 4 passes; without images 1 s are 2."""
    made = study(dict.fromkeys(GIVEN, (1.0, 50.0)), gradient_seconds=0.5, gradient_images=100, scoring_images=50)
    rows = scored(made)

    assert cost.passes(rows).tolist() == [4.0] * len(rows)
    assert cost.passes(rows.assign(scoring_images=0)).tolist() == [2.0] * len(rows)


def test_records_that_time_no_pass_say_so_and_count_training_epochs():
    """1 s of scoring beside 160 epochs in 320 s: half an epoch."""
    made = study(dict.fromkeys(GIVEN, (1.0, 50.0)), gradient_seconds=None, training_seconds=320.0)

    html = str(cost.ScoringCost().render(made))

    assert "not in these records, which do not time a single pass" in html
    assert "Fwd-bwd equivalents" not in html
    assert re.findall(r'<td class="num">(0\.50)</td>', html) == ["0.50"] * 3


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
    drawn = pareto(scored(study(GIVEN, criteria=("random", "snip", "late"))), "x")

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


def test_the_caption_names_the_interval_that_is_drawn():
    assert doctest.testmod(figure).failed == 0
    assert figure.interval_name([1, 3]) == "95 % t interval of the mean"
    assert figure.interval_name([12]) == "95 % BCa bootstrap interval of the mean"


def test_one_criterion_is_no_front():
    assert pareto(scored(study(GIVEN, criteria=("snip",))), "x") is None
