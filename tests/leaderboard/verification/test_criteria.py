"""What a submission says of its criteria is what their classes say, and whatever prunes shows its mask."""

from __future__ import annotations

from typing import Any

import pytest

from pabench.store.envelope import unseal

from ...forgery import Forgery
from .looking import of, one, restate, said, sampled, suite, zeros


def test_a_reference_line_that_says_it_is_a_criterion_falls_at_level_two(lines):
    lines.cells(of("magnitude_after_training", lambda rule: rule.update(reference_line="")))

    assert one(
        said(lines),
        "level 2: study.json: criteria.magnitude_after_training.reference_line: expected 'not at initialization",
        "found ''",
    )


def test_a_criterion_that_says_it_trains_nothing_falls_at_level_two(lines):
    lines.cells(of("magnitude_after_training", lambda rule: rule.update(trains=False)))

    assert one(said(lines), "level 2: study.json: criteria.magnitude_after_training.trains: expected True (its class)")


def test_a_criterion_that_withdraws_from_the_ranking_falls_at_level_two(forgery):
    forgery.cells(of("snip", lambda rule: rule.update(reference_line="not at initialization: withdrawn")))

    assert one(said(forgery), "level 2: study.json: criteria.snip.reference_line: expected '' (its class)")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"reference_line": "not ranked"},
            "criteria.steep.reference_line: expected '' (its class), found 'not ranked'",
        ),
        ({"trains": True}, "criteria.steep.trains: expected False (its class), found True"),
    ],
)
def test_of_a_plugin_its_class_is_asked_at_level_three(forgery, entry, message):
    forgery.cells(of("steep", lambda rule: rule.update(entry)))

    assert one(said(forgery, 3), "level 3: study.json: digits / lenet_300_100 / steep", message)


def test_a_donor_that_its_allocation_does_not_name_falls_at_level_two(lines):
    lines.cells(of("random", lambda rule: rule.update(donor={})))

    assert one(said(lines), "level 2: study.json: criteria.random (allocation=as:magnitude).donor: expected magnitude")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("snip@official-best", ".name: expected a variant that the criterion has (synaptic-flow), found official-best"),
        ("snip@synaptic-flow", ".args.bn: expected eval (the variant's), found train"),
    ],
)
def test_a_variant_that_it_is_not_falls_at_level_two(forgery, name, message):
    forgery.cells(of("snip", lambda rule: rule.update(name=name)))
    suite(forgery, "snip", name)
    variant = name.partition("@")[2]
    for sparsity in (0.8, 0.9):
        for seed in (0, 1):
            forgery.mask(forgery.record(name, sparsity, seed), lambda flat: None, variant=variant)

    (only,) = said(forgery)
    assert only == f"level 2: study.json: criteria.{name}{message}"


def test_a_variant_that_a_plugin_does_not_have_falls_at_level_three(forgery):
    forgery.cells(of("steep", lambda rule: rule.update(name="steep@best")))
    suite(forgery, "steep", "steep@best")
    for sparsity in (0.8, 0.9):
        for seed in (0, 1):
            forgery.mask(forgery.record("steep@best", sparsity, seed), lambda flat: None, variant="best")

    assert one(said(forgery, 3), "level 3: study.json", "criteria.steep@best: expected a variant and parameters that")


def unmask(forged: Forgery, name: str, sparsity: float, seed: int) -> None:
    """A cell that says that it trained another network, of as many parameters, with numbers that fit."""

    def how(found: dict[str, Any]) -> None:
        receipt = found["receipt"]
        left = 50610 - 50200 + receipt["kept"]  # the parameters of lenet_300_100 on digits, 50,200 of them prunable
        del receipt["mask"]
        receipt.update(model={"name": "lenet_300_100", "args": {}, "stem": ""}, left=left, parameters_instead=left)
        found["pairing"].pop("weights")
        if found.get("result"):
            found["result"]["parameters"]["pruned"] = left

    path = forged.record(name, sparsity, seed)
    sha = unseal(path.read_bytes())["receipt"]["mask"]
    forged.both(path, how)
    forged.scored(path, 99.0)
    (forged.folder / "masks" / f"{sha}.safetensors").unlink()


def test_a_criterion_without_its_mask_falls_at_level_two(forgery):
    unmask(forgery, "snip", 0.9, 0)

    found = said(forgery)
    assert one(found, "level 2: records/", "snip 0.9 / seed 0: receipt.model: expected a mask, it is no control")
    assert one(found, "receipt.model: expected a mask, as digits / lenet_300_100 / snip")


def test_a_plugin_that_hides_one_of_its_masks_falls_at_level_two_and_all_of_them_at_level_three(forgery):
    unmask(forgery, "steep", 0.8, 0)
    assert one(said(forgery), "level 2: records/", "steep 0.8 / seed 0: receipt.model: expected a mask, as digits")

    for place in ((0.8, 1), (0.9, 0), (0.9, 1)):
        unmask(forgery, "steep", *place)
    assert said(forgery) == []
    assert one(
        said(forgery, 3),
        "level 3: records/",
        "/ steep ",
        "receipt.model: expected a mask (made here), found another network",
    )


def test_a_control_with_more_parameters_than_it_may_have_falls_at_level_two_and_another_network_at_three(lines):
    path = lines.record("small_dense", 0.8, 0)
    before = unseal(path.read_bytes())["receipt"]

    def parameters(found: dict[str, Any], n: int) -> None:
        found["receipt"].update(parameters_instead=n)
        if found.get("result"):
            found["result"]["parameters"]["pruned"] = n

    lines.both(path, lambda found: parameters(found, before["left"] + 1))
    most = f"more than 0 and at most {before['left']}, found {before['left'] + 1}"
    assert one(said(lines), f"level 2: records/{path.name}", f"result.parameters.pruned: expected {most}")

    lines.both(path, lambda found: parameters(found, before["left"]))
    assert said(lines) == []
    found = said(lines, 3)
    assert one(found, f"level 3: records/{path.name}", f"expected {before['parameters_instead']} (made here)")
    assert one(found, "result.parameters.pruned: expected", "(the network's)")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda r: r.update(tied_at_threshold=3), "receipt.tied_at_threshold: expected 1 (made here), found 3"),
        (lambda r: r.update(rounds=2), "receipt.rounds: expected 1 (made here), found 2"),
        (zeros, "receipt.zero_scores: expected"),
    ],
)
def test_numbers_of_scores_that_fit_each_other_are_compared_with_those_made_here(forgery, monkeypatch, how, message):
    path = forgery.record("snip", 0.8, 0)
    restate(forgery, path, how)
    if how is zeros:
        forgery.both(path, lambda found: found.update(flags=[{"flag": "degenerate", "detail": ""}]))
    sampled(monkeypatch, path)

    found = said(forgery, 3)
    assert one(found, f"level 3: records/{path.name}", message)
    assert how is not zeros or one(found, "flags: expected none (made here), found degenerate")


def test_scoring_images_that_could_be_are_compared_with_those_made_here(forgery, monkeypatch):
    path = forgery.record("snip")
    forgery.both(path, lambda found: found["cost"].update(scoring_images=10))
    sampled(monkeypatch, path)

    assert one(said(forgery, 3), f"level 3: records/{path.name}", "cost.scoring_images: expected 100 (made here)")
