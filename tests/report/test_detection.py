"""What a study could have detected, in one sentence."""

from __future__ import annotations

import pytest

from pabench.report.detection import could_detect
from pabench.statistics.power import Comparison

from ..synthetic import CRITERIA, cells, study_of, with_top1

NOISE = (0.0, 1.0, -1.0, 2.0, -2.0)
RULES = [CRITERIA[name] for name in ("random", "snip", "grasp")]


def told(*, rules=RULES, models=("resnet20",), seeds=3, lost=()):
    """random stays as it is; snip goes up and down by NOISE, and grasp by twice as much."""
    scale = {"random": 0.0, "snip": 1.0, "grasp": 2.0}

    def top1(cell):
        return 80.0 + scale[cell.criterion.name] * NOISE[cell.seed] if cell.criterion else 90.0

    made = {rule.name: None if rule.name in lost else with_top1(top1) for rule in rules}
    return could_detect(study_of(cells(rules, models=models, seeds=seeds), **made).plain)


def test_the_difference_is_that_of_holms_first_step_with_the_studys_own_spread():
    """SDs 1, 1 and 2 of three seeds; the median, corrected for so few, is 1.2011."""
    difference = Comparison(1.2011, 0.05 / 3).detectable(3)

    assert told() == (
        f"These 3 seeds could have detected a true difference of {difference:.2f} points between two criteria "
        "(power 0.8, Holm over 3 pairs), as differences vary by 1.20 points from seed to seed; "
        "from 3 seeds that is known to within 0.52 to 6.28 times (95 %)."
    )


def test_over_several_models_it_is_that_of_their_mean():
    difference = Comparison(1.2011, 0.05 / 3, 2).detectable(3)

    assert f"a true difference of {difference:.2f} points" in told(models=("resnet20", "vgg11_bn"))
    assert "(over 2 models, power 0.8, Holm over 3 pairs)" in told(models=("resnet20", "vgg11_bn"))


def test_one_pair_is_not_corrected():
    """-1, 0 and 1 have an SD of 1."""
    difference = Comparison(1.2011).detectable(3)

    assert f"{difference:.2f} points between two criteria (power 0.8), as" in told(rules=RULES[:2])


def test_one_seed_detects_nothing():
    said = "Fewer than two seeds are finished: no difference between two criteria can be told from chance."
    assert told(seeds=1) == said


def test_two_seeds_and_many_pairs_detect_no_difference_that_accuracies_can_have():
    """SDs 0.71 to 1.41 of two seeds; t(1 - 0.05 / 20, 1) = 127, times 1.05 / sqrt(2), times 1.28: 121 points."""
    rules = [CRITERIA[name] for name in ("random", "snip", "grasp", "magnitude", "synflow")]
    scale = dict(zip(CRITERIA, (0.0, 1.0, 2.0, 3.0, 4.0), strict=True))

    def top1(cell):
        return 80.0 + scale[cell.criterion.name] * NOISE[cell.seed] if cell.criterion else 90.0

    found = study_of(cells(rules, models=["resnet20"], seeds=2), **dict.fromkeys(scale, with_top1(top1)))

    assert "could have detected no difference, however large, between two criteria" in could_detect(found.plain)


@pytest.mark.parametrize(("rules", "said"), [(RULES[:1], ""), ([], "")])
def test_there_is_nothing_to_say_of_fewer_than_two_criteria(rules, said):
    assert told(rules=rules) == said


def test_what_is_not_finished_is_not_counted_on():
    assert told(lost=("random", "snip", "grasp")).startswith("Fewer than two seeds are finished")
    assert told(lost=("random", "snip")) == (
        "What these seeds could have detected is not known: no two criteria differ from each other by seed."
    )
