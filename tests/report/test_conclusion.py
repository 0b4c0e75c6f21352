"""What a study says of its criteria: never more than the test that decides."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pabench.report import frame
from pabench.report.conclusion import alike, conclusion
from pabench.report.detection import could_detect
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, cells, collapsed, failed, manifest, record, study_of, with_top1

NOISE = (0.0, 0.1, -0.1)
THREE = ("random", "snip", "grasp")


def study(points, *, noise=NOISE, made=None, **axes):
    """Criteria with these accuracies, each up and down by seed in its own way; `made` maps names to other records."""
    waves = {name: noise[i:] + noise[:i] for i, name in enumerate(points)}

    def at(name):
        return with_top1(lambda cell: points[name] + waves[name][cell.seed])

    axes = {"models": ["resnet20"], "sparsities": [0.9], "seeds": 3, **axes}
    expected = cells([CRITERIA[name] for name in points], **axes)
    return study_of(expected, **{name: at(name) for name in points} | (made or {}))


def found(points, **more):
    return conclusion(study(points, **more)).found


def test_a_criterion_that_is_better_than_all_is_called_so_with_where_and_on_how_many_seeds():
    said = found({"random": 80.0, "snip": 90.0, "grasp": 85.0})

    assert said == "On cifar10 · resnet20, at 90 % sparsity, with 3 seeds, snip is better than all 2 other criteria."
    assert found({"random": 80.0, "snip": 90.0}).endswith("snip is better than random.")


def test_who_cannot_be_told_apart_from_the_first_is_named_and_called_neither_better_nor_worse():
    made = study({"random": 80.0, "snip": 90.0, "grasp": 89.89})

    assert conclusion(made).found.endswith(
        "snip ranks first and is better than random; grasp cannot be told apart from it."
    )
    assert alike(conclusion(made).board) == ["grasp"]


def test_where_nothing_is_separable_the_first_is_no_winner():
    points = {"random": 90.0, "snip": 90.01, "grasp": 90.12}

    assert found(points).endswith(
        "no two of the 3 criteria can be told apart: grasp ranks first, but that may be chance."
    )
    two = found({"random": 90.0, "snip": 90.0})
    assert "cannot be told apart" in two
    assert "may be chance" in two


def test_criteria_of_one_mean_rank_share_it():
    """Each wins in one of two seeds; that one stands first by its name says nothing."""
    waves = {"random": (0.0, 0.3), "snip": (0.3, 0.0)}
    made = {name: with_top1(lambda cell, wave=wave: 90.0 + wave[cell.seed]) for name, wave in waves.items()}
    far = with_top1(lambda cell: 50.0 + NOISE[cell.seed])

    two, three = dict.fromkeys(waves, 90.0), dict.fromkeys(THREE, 90.0)
    assert found(two, seeds=2, made=made).endswith(
        "random and snip cannot be told apart: random and snip share the first rank."
    )
    assert found(three, seeds=2, made={**made, "grasp": far}).endswith(
        "random and snip share the first rank; random is better than grasp."
    )


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_one_seed_tells_nothing_apart_whatever_the_accuracies(spread):
    said = found({"random": 60.0, "snip": 60.0 + spread}, seeds=1)

    assert "with 1 seed, snip and random cannot be told apart" in said


def test_sparsities_are_listed_up_to_four_and_then_counted():
    points = {"random": 80.0, "snip": 90.0}

    assert "averaged over sparsities of 80, 95 and 99 %" in found(points, sparsities=[0.8, 0.95, 0.99])
    many = found(points, sparsities=[0.5, 0.8, 0.9, 0.95, 0.99])
    assert "averaged over 5 sparsities from 50 % to 99 %" in many


def test_several_models_are_spoken_of_together():
    said = found({"random": 80.0, "snip": 90.0}, models=["resnet20", "vgg11_bn"])

    assert said.startswith(
        "Over 2 models (cifar10 · resnet20, cifar10 · vgg11_bn), at 90 % sparsity, with 3 seeds each"
    )
    assert found({"random": 80.0, "snip": 90.0}, models=list("abcde")).startswith("Over 5 models, at")


def test_failed_cells_crown_no_survivor_and_the_limits_say_so():
    points = {"random": 80.0, "snip": 99.0, "grasp": 90.0}
    survivor = with_top1(lambda cell: 99.0 + NOISE[cell.seed])
    lost = study(points, made={"snip": lambda c: failed(c) if c.seed == 0 else survivor(c)})

    said = conclusion(lost)

    assert "snip is better" not in said.found
    assert "snip ranks first, but no other criterion can be told apart from it." in said.found
    assert said.limits == ("No verdict on snip: cells failed or are missing, and the rest cannot speak for them.",)


def test_no_verdict_is_said_of_those_alone_that_have_none():
    """Three of five seeds are run of two criteria, and two of the third: the two are told apart."""
    points = {"random": 80.0, "snip": 99.0, "grasp": 90.0}

    def until(name, last):
        at = with_top1(lambda cell: points[name] + NOISE[(cell.seed + len(name)) % 3])
        return lambda cell: at(cell) if cell.seed < last else None

    ran = {name: until(name, last) for name, last in (("random", 3), ("snip", 3), ("grasp", 2))}
    said = conclusion(study(points, seeds=5, made=ran))

    assert "snip ranks first and is better than random; grasp cannot be told apart from it." in said.found
    assert said.limits == ("No verdict on grasp: cells failed or are missing, and the rest cannot speak for them.",)


def test_what_is_not_ranked_is_not_claimed_to_be_worse():
    points = {"random": 80.0, "snip": 90.0, "grasp": 85.0}
    rarely = study(points, made={"grasp": lambda c: failed(c) if c.seed else record(c)})

    said = conclusion(rarely)

    assert said.found.endswith("snip is better than random.")
    assert said.limits == ("Not ranked, as too few of their cells are finished: grasp.",)


def test_collapsed_cells_are_told():
    said = conclusion(study({"random": 80.0, "snip": 90.0, "grasp": 85.0}, made={"grasp": collapsed}))

    assert said.limits == ("Some cells of grasp collapsed to chance.",)


def test_one_that_is_behind_in_every_block_and_not_told_apart_is_explained():
    """A cell of random collapsed, so signs are tested: of 3 blocks their p is 1/4 at least, before any correction."""
    points = {"random": 40.0, "snip": 90.0}
    plain = with_top1(lambda cell: 40.0 + NOISE[cell.seed])
    fallen = {name: lambda c: plain(c) if c.seed else collapsed(c) for name in ("random", "grasp")}

    said = conclusion(study(points, made=fallen))
    both = conclusion(study({**points, "grasp": 40.0}, made=fallen))

    assert "snip and random cannot be told apart" in said.found
    rest = "behind snip, but where cells collapsed the test flips signs, for which 3 are too few."
    assert said.limits == ("Some cells of random collapsed to chance.", f"In all 3 blocks random is {rest}")
    assert both.limits[1:] == (f"In all 3 blocks grasp and random are {rest}",)


def test_a_model_of_which_no_seed_is_finished_is_not_spoken_of():
    points = {"random": 80.0, "snip": 90.0}
    begun = {
        name: lambda c, top1=top1: with_top1(lambda c: top1 + NOISE[c.seed])(c) if c.model.name == "resnet20" else None
        for name, top1 in points.items()
    }

    said = conclusion(study(points, made=begun, models=["resnet20", "vgg11_bn"]))

    assert said.found.startswith("On cifar10 · resnet20, at 90 % sparsity, with 3 seeds, snip")
    assert said.limits == (
        "No seed of cifar10 · vgg11_bn is finished by every ranked criterion: nothing here is about it.",
    )


def test_a_study_without_results_or_with_one_criterion_compares_nothing():
    nothing = conclusion(frame.study(manifest(cells()), {}))

    assert nothing.found == "No pruned network is trained yet: there is nothing to say about the criteria."
    assert nothing.evidence == ""
    assert found({"snip": 90.0}, models=["resnet20", "vgg11_bn"]) == (
        "Over 2 models (cifar10 · resnet20, cifar10 · vgg11_bn), at 90 % sparsity, "
        "only snip is ranked: there is nothing to compare it with."
    )
    line = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")
    lines = conclusion(study_of(cells([line], models=["resnet20"])))
    assert lines.found == "This study has reference lines only: there is no criterion to rank."
    assert lines.lines[0] == f"answer: {lines.found}"
    no_block = study({"random": 80.0, "snip": 90.0}, made={"snip": None, "random": failed})
    assert conclusion(no_block).found.startswith("No pruned network is trained yet")


def test_it_says_what_could_be_detected_and_whether_to_cite_it():
    """The criteria differ by 0.1 from seed to seed: random costs far more than these seeds can detect."""
    good = study({"random": 80.0, "snip": 82.0})
    dense = study({"random": 80.0, "snip": 82.0}, made={"dense": None})
    bad = study({"random": 80.0, "snip": 82.0}, made={"dense": with_top1(lambda c: 70.0 - 2 * NOISE[c.seed])})

    assert conclusion(good).detects == could_detect(good.plain)
    assert conclusion(good).evidence.startswith("It passes the checks for evidence: the unpruned network has learned")
    assert conclusion(dense).evidence.startswith(
        "Whether it may be cited as evidence is open: no dense network is finished"
    )
    assert conclusion(bad).evidence.startswith(
        "Not evidence about the criteria: random at 90 % beats the dense network"
    )


def test_a_terminal_gets_a_table_and_the_same_sentences():
    said = conclusion(study({"random": 80.0, "snip": 90.0, "grasp": 89.89}))

    assert said.lines[:4] == [
        "place   criterion   90 %  told apart from the first",
        "1 to 2  snip       90.00",
        "1 to 2  grasp      89.89  no",
        "3       random     80.00  yes",
    ]
    assert said.lines[4:] == [f"answer: {said.found}", f"detects: {said.detects.said}", f"cite: {said.evidence}"]
    many = conclusion(study({"random": 80.0, "snip": 90.0}, sparsities=[0.4, 0.5, 0.8, 0.9, 0.95, 0.99]))
    assert many.lines[0].split("  ")[2].strip() == "mean of 6 sparsities"
    models = conclusion(study({"random": 80.0, "snip": 90.0}, models=["resnet20", "vgg11_bn"]))
    assert "mean rank" in models.lines[0]


def test_the_27th_group_is_not_taken_for_the_first():
    """Letters end at z, and a1 is another group than a."""
    made = SimpleNamespace(ranked=[SimpleNamespace(criterion=n, letters=g) for n, g in (("x", "a"), ("y", "a1"))])

    assert alike(made) == []
