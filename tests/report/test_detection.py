"""What a study could have detected, in one sentence."""

from __future__ import annotations

import pytest

from pabench.report.detection import could_detect
from pabench.statistics.power import Comparison

from ..synthetic import CRITERIA, cells, study_of, with_top1

NOISE = (0.0, 1.0, -1.0, 2.0, -2.0)
RULES = [CRITERIA[name] for name in ("random", "snip", "grasp")]


def found(*, rules=RULES, models=("resnet20",), seeds=3, lost=()):
    """random stays as it is; snip goes up and down by NOISE, and grasp by twice as much."""
    scale = {"random": 0.0, "snip": 1.0, "grasp": 2.0}

    def top1(cell):
        return 80.0 + scale[cell.criterion.name] * NOISE[cell.seed] if cell.criterion else 90.0

    made = {rule.name: None if rule.name in lost else with_top1(top1) for rule in rules}
    return could_detect(study_of(cells(rules, models=models, seeds=seeds), **made).plain)


def told(**study) -> str:
    return found(**study).said


def test_the_difference_is_that_of_holms_first_step_with_the_studys_own_spread():
    """SDs 1, 1 and 2 of three seeds; the median, corrected for so few, is 1.2011."""
    difference = Comparison(1.2011, 0.05 / 3).detectable(3)

    assert told() == (
        "With 3 seeds a true difference between two criteria is found in 8 of 10 such studies if it is "
        f"{difference:.2f} points or more. That is for a pair of typical spread: half of the pairs vary more, and need "
        "more."
    )
    basis = found().basis
    assert "the clearest of 3 pairs shows with power 0.8 at 5 %" in basis
    assert "vary by 1.20 points from seed to seed" in basis
    assert "the true value may be 0.52 to 6.28 times that (95 % interval)" in basis


def test_over_several_models_it_is_that_of_their_mean():
    difference = Comparison(1.2011, 0.05 / 3, 2).detectable(3)

    assert f"{difference:.2f} points or more" in told(models=("resnet20", "vgg11_bn"))
    assert "correction, over 2 models." in found(models=("resnet20", "vgg11_bn")).basis


def test_a_criterion_of_which_cells_collapsed_is_told_to_be_apart():
    """By a sign-flip test, which sees no size: it is not in this number."""
    made = {"random": 0.0, "snip": 1.0}
    made = {name: with_top1(lambda c, scale=scale: 80.0 + scale * NOISE[c.seed]) for name, scale in made.items()}
    fell = with_top1(lambda c: 10.0 if c.seed else 80.0)
    study = study_of(cells(RULES, models=["resnet20"], seeds=3), **made, grasp=fell)

    assert could_detect(study.plain).said.startswith(
        "With 3 seeds a true difference between two criteria of which no cell collapsed is found in 8 of 10"
    )


def test_one_pair_is_not_corrected():
    """-1, 0 and 1 have an SD of 1."""
    difference = Comparison(1.2011).detectable(3)

    assert f"{difference:.2f} points or more" in told(rules=RULES[:2])
    assert "Holm" not in found(rules=RULES[:2]).basis


def test_one_seed_detects_nothing():
    said = "Fewer than two seeds are finished: no difference between two criteria can be told from chance."
    assert told(seeds=1) == said


def test_two_seeds_and_many_pairs_detect_no_difference_that_accuracies_can_have():
    """SDs 0.71 to 1.41 of two seeds; t(1 - 0.05 / 20, 1) = 127, times 1.05 / sqrt(2), times 1.28: 121 points."""
    rules = [CRITERIA[name] for name in ("random", "snip", "grasp", "magnitude", "synflow")]
    scale = dict(zip(CRITERIA, (0.0, 1.0, 2.0, 3.0, 4.0), strict=True))

    def top1(cell):
        return 80.0 + scale[cell.criterion.name] * NOISE[cell.seed] if cell.criterion else 90.0

    study = study_of(cells(rules, models=["resnet20"], seeds=2), **dict.fromkeys(scale, with_top1(top1)))

    said = "With 2 seeds no difference between two criteria, however large, would be found."
    assert could_detect(study.plain).said == said


@pytest.mark.parametrize(("rules", "said"), [(RULES[:1], ""), ([], "")])
def test_there_is_nothing_to_say_of_fewer_than_two_criteria(rules, said):
    assert told(rules=rules) == said


def test_a_model_that_lacks_seeds_is_named_and_nothing_is_said_of_the_whole():
    def made(wanted):
        return lambda cell: with_top1(lambda c: 80.0 + NOISE[c.seed])(cell) if cell.model.name in wanted else None

    def said(*wanted):
        study = study_of(
            cells(RULES, models=["resnet20", "resnet32", "resnet56"], seeds=2),
            **{rule.name: made(wanted) for rule in RULES},
        )
        return could_detect(study.plain).said

    unknown = "are finished: what the whole study can detect is not known yet."
    assert said("resnet20", "resnet56") == f"Fewer than two seeds of cifar10 · resnet32 {unknown}"
    assert said("resnet20") == f"Fewer than two seeds of 2 of 3 models {unknown}"


def test_what_is_not_finished_is_not_counted_on():
    assert told(lost=("random", "snip", "grasp")).startswith("Fewer than two seeds are finished")
    assert told(lost=("random", "snip")) == f"{UNKNOWN}: no two criteria have finished two seeds of a model in common."


UNKNOWN = "What these seeds could have detected is not known"


def test_why_differences_have_no_spread_is_told():
    """Criteria that are always alike, and criteria of which cells fell to chance: no t test is made of those."""
    alike = with_top1(lambda cell: 80.0 + NOISE[cell.seed])
    fell = with_top1(lambda cell: 10.0 if cell.seed else 80.0)

    def said(**made):
        return could_detect(study_of(cells(RULES, models=["resnet20"], seeds=3), **made).plain).said

    assert said(random=alike, snip=alike, grasp=alike) == f"{UNKNOWN}: no two criteria differ from each other by seed."
    assert said(random=alike, snip=fell, grasp=fell) == (
        f"{UNKNOWN}: of every two criteria one has cells that collapsed to chance."
    )


def test_models_of_one_seed_are_compared_as_models_and_what_they_detect_is_not_told():
    models = ("resnet20", "resnet32", "resnet56")

    assert told(models=models, seeds=1).startswith("Most models have a single seed, and the tests compare models:")
