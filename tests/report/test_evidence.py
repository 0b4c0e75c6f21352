"""Whether a study can speak about criteria: three things that keep it from it, and where they are told."""

from __future__ import annotations

import pytest
from pabench_reports.overview import Overview
from pabench_reports.take import Take, bibtex

from pabench.report.evidence import caveat, footings, silences
from pabench.report.folders import read
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, cells, record, study_of, with_top1

NOISE = (0.0, 0.3, -0.3)
RULES = [CRITERIA["random"], CRITERIA["snip"]]
VERDICT = "not evidence about the criteria"


def study(random=88.0, dense=91.0, snip=89.0, *, fit=99.0, rules=RULES, spread=1.0, **axes):
    """Accuracies at every sparsity and seed; criteria and dense go up and down with the seed, each in its own way."""
    wave = {"dense": 0.0, "random": spread, "snip": -spread}
    points = {"dense": dense, "random": random, "snip": snip}

    def top1(cell):
        name = cell.criterion.name if cell.criterion else "dense"
        return points.get(name, 50.0) + wave.get(name, 0.0) * NOISE[cell.seed]

    def made(cell):
        whole = with_top1(top1)(cell)
        if cell.criterion:
            return whole
        trained = {"training_images": {"top1": fit, "images": 2000}} if fit is not None else {}
        return {**{k: v for k, v in whole.items() if k != "training_images"}, **trained}

    axes = {"models": ["resnet20"], "sparsities": (0.8,), **axes}
    return study_of(cells(rules, **axes), **dict.fromkeys(("dense", "random", "snip", "random@other"), made))


def reasons(of):
    (one,) = footings(of)
    return one.against


def test_a_study_that_can_speak_has_nothing_against_it():
    """Differences of random and snip: 0, 0.6, -0.6 about their mean; three seeds detect 5.65 * 0.72 / sqrt(3) = 2.4."""
    found = study()

    assert reasons(found) == ()
    assert (silences(found), caveat(found)) == ([], "")
    assert footings(found)[0].unknown == ()


@pytest.mark.parametrize(("fit", "speaks"), [(69.9, False), (70.0, True), (10.0, False)])
def test_a_dense_network_that_has_not_learned_its_training_images_is_no_ground(fit, speaks):
    found = reasons(study(fit=fit))

    said = f"the dense network gets {fit} % of its training images right (without augmentation); 70 % are asked for"
    assert found == (() if speaks else (said,))


def test_random_pruning_that_beats_dense_is_told_with_its_test():
    """random minus dense: 2, 2.3, 1.7; standard error 0.173, t = 11.5, p = 0.0074."""
    assert reasons(study(random=93.0)) == (
        "random at 80 % beats the dense network by 2.00 points (paired t test, p = 0.007)",
    )


def test_random_pruning_that_is_above_dense_by_chance_has_not_beaten_it():
    """But there is no difference to detect either."""
    (found,) = reasons(study(random=91.1))

    assert found.startswith("the smallest difference that 3 seeds can detect is")
    assert found.endswith("and random at 80 % gains 0.10 points against the dense network")


def test_where_random_is_as_good_as_dense_it_costs_nothing():
    (found,) = reasons(study(random=91.0))

    assert found.endswith("and random at 80 % costs 0.00 points against the dense network")


def test_seeds_that_can_detect_less_than_what_random_costs_are_no_ground():
    """Ten times the spread: 24 points, where random costs 3."""
    (found,) = reasons(study(spread=10.0))

    assert found.startswith("the smallest difference that 3 seeds can detect is 23.")
    assert found.endswith("(in a single test), and random at 80 % costs 3.00 points against the dense network")


def test_a_difference_that_no_two_accuracies_can_have_is_not_told_in_points():
    """Fifty times the spread: 120 points."""
    (found,) = reasons(study(spread=50.0))

    assert found.startswith("3 seeds can detect no difference, however large (in a single test), and random at 80 %")


def test_a_criterion_that_fell_to_chance_in_a_seed_says_nothing_of_the_spread():
    """Differences of magnitude and random: 10, 9.9 and 10.2. snip falls to chance in the third seed."""
    points = {"random": (60.0, 60.5, 59.5), "magnitude": (70.0, 70.4, 69.7), "snip": (71.0, 70.6, 10.0)}
    made = with_top1(lambda c: points[c.criterion.name][c.seed] if c.criterion else 90.0)
    rules = [CRITERIA[name] for name in points]

    def found(*names):
        axes = {"models": ["resnet20"], "sparsities": (0.8,)}
        return footings(study_of(cells(rules, **axes), dense=made, **dict.fromkeys(names, made)))[0]

    assert found("random", "magnitude", "snip").against == ()
    fallen = with_top1(lambda c: (60.0, 60.5, 10.0)[c.seed] if c.criterion else 90.0)
    axes = {"models": ["resnet20"], "sparsities": (0.8,)}
    (alone,) = footings(study_of(cells(rules[:2], **axes), dense=fallen, random=fallen, magnitude=fallen))
    assert alone.unknown == (
        "cells of every criterion collapsed beside random at 80 %: what could be detected is unknown",
    )


def test_one_seed_can_detect_nothing():
    assert reasons(study(seeds=1)) == ("one seed can detect no difference",)


def test_where_no_sparsity_speaks_the_lowest_is_told_of_and_the_others_are_named():
    both = study(random=91.0, sparsities=(0.95, 0.8, 0.9))

    (first, others) = reasons(both)
    assert first.endswith("and random at 80 % costs 0.00 points against the dense network")
    assert others == "nor is it at 90 and 95 %"
    assert caveat(both) == VERDICT


def test_one_seed_can_detect_nothing_at_any_sparsity_and_that_is_said_once():
    assert reasons(study(seeds=1, sparsities=(0.8, 0.95))) == ("one seed can detect no difference",)


def test_each_sparsity_is_judged_by_itself():
    """At 80 % random pruning beats dense, at 95 % it costs far more than the seeds can detect."""

    def top1(cell):
        if cell.criterion is None:
            return 91.0
        wave = NOISE[cell.seed] * (1 if cell.criterion.name == "random" else -1)
        return (93.0 if cell.sparsity == 0.8 else 50.0) + wave

    made = with_top1(top1)
    found = study_of(cells(RULES, models=["resnet20"], sparsities=(0.95, 0.8)), dense=made, random=made, snip=made)

    (one,) = footings(found)
    assert (one.against, one.where, list(one.silent)) == ((), " at 80 %", [0.8])
    (line,) = silences(found)
    assert line.startswith(f"{VERDICT.capitalize()} at 80 %: random at 80 % beats the dense network by 2.00 points (")
    assert caveat(found) == f"{VERDICT} at 80 %"
    assert f"; {VERDICT} at 80 \\%}}" in Take().render(found)
    assert Overview().render(found).count(line) == 1


def test_random_pruning_of_another_version_counts_and_reference_lines_do_not():
    other = CriterionSpec("random@other", version=1)
    line = CriterionSpec("random", {"late": 1}, {"late": 1}, 1, trains=True, reference_line="trained first")

    assert footings(study(rules=[other, CRITERIA["snip"]]))[0].unknown == ()
    assert footings(study(rules=[line, CRITERIA["snip"]]))[0].unknown == ("there is no random pruning to measure by",)


def test_older_records_are_not_accused():
    """Their curves are of augmented images: 90 of 100 of those may be all of the others."""
    (one,) = footings(study(fit=None))

    assert one.against == ()
    assert one.unknown[0].startswith(
        "its records, of an older version, have training accuracy on augmented images only (9"
    )


def test_what_is_not_finished_is_not_judged():
    missing = study_of(cells(RULES, models=["resnet20"]), dense=None)
    (one,) = footings(missing)

    assert (one.against, silences(missing)) == ((), [])
    assert one.unknown == ("no dense network is finished", "no block has finished both dense and random at 80 %")


def test_the_first_screen_and_the_citation_say_it():
    silent = study(fit=50.0)

    assert Overview().render(silent).count("Not evidence about the criteria: the dense network gets 50.0 %") == 1
    assert f"; {VERDICT}}}" in Take().render(silent)
    assert VERDICT not in Take().render(study()) + Overview().render(study()).lower()


def test_a_model_that_is_no_ground_is_named_beside_one_that_is():
    def dense(cell):
        return record(cell, training_images={"top1": 50.0 if cell.model.name == "vgg11_bn" else 99.0, "images": 2000})

    both = study_of(cells(RULES, seeds=3), dense=dense)

    assert [line.partition(":")[0] for line in silences(both)] == [f"{VERDICT.capitalize()} on cifar10 · vgg11_bn"]
    assert caveat(both) == f"{VERDICT} on cifar10 · vgg11_bn"


def test_the_citation_stays_one_field_whatever_a_model_is_called():
    text = bibtex({"name": "x", "created": "2026"}, "not evidence on a_b}, evil = {x")

    assert r"not evidence on a\_b\}, evil = \{x" in text


def test_each_training_stands_on_its_own_ground(trained):
    study = read(trained)
    found = footings(study)
    assert [one.title for one in found] == [
        f"digits · lenet_300_100, training {name}"
        for name in ("plain", "signin", "rigl (every=2)", "set (layers=free)")
    ]
    assert [one.against for one in found] == [footings(study.under(name))[0].against for name in study.trainings]
