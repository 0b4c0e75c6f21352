"""The cost section: gradient passes, epochs, and the Pareto front of accuracy and time."""

from __future__ import annotations

import re

from pabench_reports import cost

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

    assert "These records do not measure a single forward and backward pass" in html
    assert "Forward-backward passes" not in html
    assert re.findall(r'<td class="num">(0\.50)</td>', html) == ["0.50"] * 3
