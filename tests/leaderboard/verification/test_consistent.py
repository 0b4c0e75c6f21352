"""Level 2: what a submission says of itself in two places is the same in both."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from pabench.leaderboard.verification import consistent
from pabench.source import code_digest
from pabench.store.imagebits import packed
from pabench.suite.specs import CriterionSpec

from ...forgery import sha
from .looking import flaws, one, restate, said, zeros


def test_a_number_listed_again_does_not_give_the_stated_mean(forgery):
    forgery.scored(forgery.record(), 99.0)

    (only,) = flaws(forgery.listing())
    assert only.startswith("level 2: aggregates.json: digits / lenet_300_100 / snip 0.9: top1_mean: expected ")
    assert "(computed from the records)" in only


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["receipt"].update(kept=5021), "receipt.kept: expected 5020 (counted in the mask), found 5021"),
        (lambda r: r["receipt"].update(sparsity=0.95), "receipt.sparsity: expected 1 - 5020 / 50200, found 0.95"),
        (lambda r: r["receipt"].update(zero_scores=0, rounds=3), "receipt.rounds: expected 1 (the mask file's)"),
        (lambda r: r["receipt"].update(dead_layers=["fc1.weight"]), "receipt.dead_layers: expected []"),
        (lambda r: r["receipt"].update(version=9), "receipt.version: expected"),
        (lambda r: r["receipt"]["layers"][0].update(kept=1), "receipt.layers: expected"),
        (
            lambda r: r.update(flags=[{"flag": "tied", "detail": ""}]),
            "flags: expected none (from the receipt's numbers), found tied",
        ),
    ],
)
def test_level_two_counts_in_the_mask(forgery, change, message):
    forgery.both(forgery.record(), change)

    found = flaws(forgery.listing())
    assert any(message in flaw for flaw in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # 45,180 of 50,200 weights are removed from 50,610 parameters and from 100,400 FLOPs
        (
            lambda r: r["result"]["parameters"].update(pruned=5000),
            "result.parameters.pruned: expected 5430 (from the mask), found 5000",
        ),
        (
            lambda r: r["result"]["flops"].update(pruned=9000),
            "result.flops.pruned: expected 10040 (from the mask), found 9000",
        ),
        (lambda r: r["result"]["flops"].update(dense=90000, pruned=0), "result.flops"),
        (lambda r: r["result"]["curve"]["loss"].append(1.0), "result.curve.loss: expected 1 epochs, found 2 values"),
        (lambda r: r["result"].update(top5=1.0), "result.top5: expected at least top-1"),
        (lambda r: r["receipt"].update(tied_at_threshold=7), "receipt.tied_at_threshold: expected 1"),
        (lambda r: r.update(flags=[{"flag": "tied", "detail": ""}]), "flags: expected none (the receipt's file)"),
    ],
)
def test_level_two_compares_the_record_with_its_mask_and_its_receipt(forgery, change, message):
    path = forgery.record()
    forgery.change(path, change)
    forgery.means()

    assert any(f"records/{path.name}" in flaw and message in flaw for flaw in flaws(forgery.listing()))


BITS = packed(np.arange(100) < 22)
"""Of the 100 test images of a submission the first 22."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: r["result"].update(right=BITS, top1=23.0, top5=99.0),
            "result.top1: expected 100 * 22 / 100 (counted in result.right), found 23.0",
        ),
        (
            lambda r: r["result"].update(right=packed(np.ones(90, dtype=bool))),
            "result.right: expected a bit for each of 100 test images, found 12 bytes, not the 13 of 100 images",
        ),
        (
            lambda r: r["result"].update(right=packed(np.ones(104, dtype=bool))),
            "result.right: expected a bit for each of 100 test images, found bits are set beyond the 100 images",
        ),
        (lambda r: r["result"].pop("right"), "result: expected which test images, and which of them are right"),
        (
            lambda r: r["result"]["compared_by"].update(chance=1.0),
            "result.compared_by.chance: expected 100 / 10 classes, found 1.0",
        ),
        (lambda r: r["result"]["test"].update(sha256="0" * 64), "result.test: expected"),
        (lambda r: (r["result"].pop("right"), r["result"]["test"].pop("sha256")), ""),  # as older records are
        (lambda r: [r["result"].pop(name) for name in ("right", "test", "compared_by")], ""),  # and still older ones
    ],
)
def test_level_two_counts_the_test_images_that_are_right(forgery, change, message):
    path = forgery.record()
    forgery.change(path, change)
    forgery.means()

    found = flaws(forgery.listing())
    assert any(message in flaw for flaw in found) if message else found == []


DYING = {"classes": 1, "spread": 0.0, "effective_weights": 0}
FLAG = {"flag": "dead", "detail": ""}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(logits=DYING), "flags: expected dead (from its logits), found none"),
        (lambda r: r.update(flags=[FLAG]), "flags: expected none (from its logits), found dead"),
        (lambda r: (r.update(flags=[FLAG]), r.pop("logits")), "flags: expected none (from its logits), found dead"),
        (lambda r: r.update(flags=[FLAG], logits=DYING), ""),
        (lambda r: r.pop("logits"), ""),  # as older records are
    ],
)
def test_level_two_asks_for_the_flag_of_a_dead_network(forgery, change, message):
    path = forgery.record()
    forgery.change(path, change)

    found = flaws(forgery.listing())
    assert [message in flaw for flaw in found] == ([True] if message else [])


def test_a_mask_bit_flipped_in_place_is_not_what_the_file_is_called(forgery):
    path = next(forgery.folder.glob("masks/*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    assert any(f"masks/{path.name}" in flaw and "which its name is not" in flaw for flaw in flaws(forgery.folder, 1))


def test_a_mask_bit_flipped_throughout_is_one_weight_too_many(forgery):
    path = forgery.record()

    def more(flat: np.ndarray) -> None:
        flat[np.flatnonzero(~flat)[0]] = True

    forgery.mask(path, more)
    found = flaws(forgery.listing())

    assert any("receipt.kept: expected 5021 (counted in the mask), found 5020" in flaw for flaw in found)
    assert any("receipt.kept: expected 5020, which is N - floor(sparsity * N), found 5021" in flaw for flaw in found)


@pytest.mark.parametrize("part", ["weights", "order", "augmentation", "scoring_batch"])
def test_a_cell_that_does_not_share_what_its_block_shares_is_named(forgery, part):
    path = forgery.record()
    forgery.both(path, lambda r: r["pairing"].update({part: "0" * 64}))

    (only,) = flaws(forgery.listing())
    assert f"records/{path.name}" in only
    assert f"pairing.{part}: expected" in only
    assert "(most cells of its block), found 000" in only


def test_an_edited_source_is_not_the_one_the_cells_were_run_with(forgery):
    (path,) = forgery.folder.glob("criteria/*.py")
    path.write_text(path.read_text() + "# nothing to see\n")

    assert f"level 1: criteria/{path.name}: sha256 in submission.json" in flaws(forgery.folder)[0]
    assert any("the source of a criterion of the study" in flaw for flaw in flaws(forgery.listing()))


def test_a_key_made_for_other_code_than_the_submitted_file_is_named(forgery):
    """Bytes are no part of a key, so one file can be put in place of another without touching a key."""
    (path,) = forgery.folder.glob("criteria/*.py")
    before, text = sha(path.read_bytes()), path.read_text().replace("w.abs()", "-w.abs()")
    path.write_text(text)
    forgery.study(lambda s: s.update(cells=json.loads(json.dumps(s["cells"]).replace(before, sha(text.encode())))))

    (only,) = flaws(forgery.listing())
    assert only.startswith(f"level 2: study.json: criteria.steep.source: expected {code_digest(text.encode())}") or (
        "criteria.steep.source" in only and code_digest(text.encode()) in only
    )


def test_a_source_left_out_is_missed(forgery):
    (path,) = forgery.folder.glob("criteria/*.py")
    path.unlink()

    (only,) = flaws(forgery.listing())
    assert only.startswith("level 2: criteria: expected the file of steep with SHA-256")


@pytest.mark.parametrize(
    ("how", "flag"),
    [
        (zeros, "degenerate"),
        (lambda r: r.update(non_finite_scores=5000, score_histogram={}), "non-finite"),
        (lambda r: r.update(tied_at_threshold=40000, kept_of_tied=2000), "tied"),
    ],
)
def test_a_flag_that_its_own_numbers_earn_cannot_be_left_out(forgery, how, flag):
    path = forgery.record("snip", 0.8, 0)
    restate(forgery, path, how)

    (only,) = said(forgery)
    assert only.startswith(f"level 2: records/{path.name}: digits / lenet_300_100 / snip 0.8 / seed 0: flags: expected")
    assert f"expected {flag} (from the receipt's numbers), found none" in only


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda r: r.update(zero_scores=7), "receipt.zero_scores: expected 0 (the sum of its layers), found 7"),
        (lambda r: r.update(kept_of_tied=60000), "receipt.kept_of_tied: expected at most"),
        (lambda r: r.update(rounds=0), "receipt.rounds: expected at least 1"),
        (lambda r: r["score_histogram"]["positive"].append(5), "receipt.score_histogram: expected 50200 finite scores"),
        (lambda r: r["scores"].update({"0": 1e9}), "receipt.scores: expected quantiles in ascending order"),
        (lambda r: r["layers"][0].update(zero_scores=10**6), "at most 19200 scores of 0, found 1000000"),
    ],
)
def test_counts_of_scores_that_do_not_fit_each_other_fall_at_level_two(forgery, how, message):
    path = forgery.record("random", 0.8, 0)
    restate(forgery, path, how)

    assert one(said(forgery), f"level 2: records/{path.name}", message)


def test_a_training_that_went_on_from_a_checkpoint_may_be_longer_than_its_last_process(forgery):
    forgery.change(
        forgery.record(),
        lambda r: r["cost"].update(
            training_seconds=40.0, resumed_seconds=39.0, evaluation_seconds=0.5, wall_seconds=2.0
        ),
    )

    assert said(forgery) == []


@pytest.mark.parametrize(
    ("level", "how", "message"),
    [
        (2, lambda r: r["cost"].update(training_seconds=0.0), "cost.training_seconds: expected more than 0, found 0.0"),
        (2, lambda r: r["cost"].clear(), "cost.wall_seconds: expected more than 0, found None"),
        (2, lambda r: r["cost"].update(wall_seconds=1e-9), "cost.wall_seconds: expected at least"),
        (2, lambda r: r["cost"].update(resumed_seconds=1e6), "cost.resumed_seconds: expected at most"),
        (2, lambda r: r["cost"].update(scoring_seconds=1e-9), "cost.scoring_seconds: expected"),
        (1, lambda r: r["cost"].update(training_seconds=1e308), "cost.training_seconds: expected Input should be less"),
        (1, lambda r: r["result"].update(loss=1e308), "result.loss: expected Input should be less than or equal"),
        (1, lambda r: r["result"].update(curve={}), "result.curve.loss: expected Field required"),
        (
            1,
            lambda r: r["result"]["curve"].update(top1=[-5.0]),
            "result.curve.top1.0: expected Input should be greater",
        ),
        (1, lambda r: r["result"]["curve"].update(top1=[1e6]), "result.curve.top1.0: expected Input should be less"),
        (1, lambda r: r["result"]["curve"].update(more=["x"]), "result.curve.more.0: expected Input should be a valid"),
        (1, lambda r: r.update(created="yesterday"), "created: expected String should match pattern"),
        (1, lambda r: r.update(bank="a"), "bank: expected"),
    ],
)
def test_costs_and_curves_that_no_training_has_are_named(forgery, level, how, message):
    path = forgery.record()
    forgery.change(path, how)

    assert one(said(forgery), f"level {level}: records/{path.name}", message)


@pytest.mark.parametrize(("criterion", "images"), [("snip", 7), ("random", 100)])
def test_scoring_images_are_a_number_a_class_and_none_without_a_batch(forgery, criterion, images):
    path = forgery.record(criterion)
    forgery.both(path, lambda found: found["cost"].update(scoring_images=images))

    assert one(said(forgery), f"level 2: records/{path.name}", "cost.scoring_images: expected", f"found {images}")


def test_hashes_of_weights_cannot_be_left_out_everywhere(forgery):
    for kind in ("records", "receipts"):
        for path in forgery.folder.glob(f"{kind}/*.json"):
            forgery.change(path, lambda found: found["pairing"].pop("weights", None))

    found = said(forgery)
    assert len(found) == 14
    assert one(found, "level 2: records/", "pairing: expected hashes of weights, order, augmentation, scoring_batch")
    assert all("found no weights" in flaw for flaw in found)


@pytest.mark.parametrize(
    ("pattern", "requested", "kept", "wrong"),
    [
        ("", None, 100, []),
        ("", None, 99, [("receipt.kept", "100, which is N - floor(sparsity * N)", 99)]),
        ("2:4", None, 99, [("receipt.kept", "100, which is N - floor(sparsity * N)", 99)]),
        ("channels", 100, 92, []),
        ("channels", 92, 92, [("receipt.requested", "100, which is N - floor(sparsity * N)", 92)]),
        ("channels", 100, 101, [("receipt.kept", "whole channels of at most 100 weights", 101)]),
    ],
)
def test_the_count_is_exact_but_for_whole_channels_whose_receipt_says_what_was_asked(pattern, requested, kept, wrong):
    rule = CriterionSpec("snip", args={"pattern": pattern} if pattern else {})
    cell = SimpleNamespace(criterion=rule)

    assert list(consistent._kept(cell, {"requested": requested}, kept, 100)) == wrong


# --- other trainings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "change", "message"),
    [
        ("rigl", lambda m: m.update(kept=6000), "trained_mask.kept: expected 5020, as before training, found 6000"),
        (
            "rigl",
            lambda m: m["layers"].update({"fc.weight": m["layers"]["fc.weight"] + 1}),
            "trained_mask.kept: expected 5020, as before training",
        ),
        (
            "rigl",
            lambda m: m["layers"].update(
                {"fc.weight": m["layers"]["fc.weight"] + 1, "fc1.weight": m["layers"]["fc1.weight"] - 1}
            ),
            "trained_mask.layers: expected the layers and counts of the mask before training",
        ),
        ("set", lambda m: m.update(stayed=5021), "trained_mask.stayed: expected at most 5020 kept weights, found 5021"),
        ("signin", lambda m: m.update(stayed=5019), "trained_mask.stayed: expected all of 5020 kept weights"),
        ("signin", lambda m: m.update(sha256="0" * 64), "since all weights stayed, found 0000"),
    ],
)
def test_the_mask_at_the_end_of_a_training_is_as_large_as_at_the_beginning(trained_forgery, train, change, message):
    record = trained_forgery.record(train=train)
    trained_forgery.change(record, lambda found: change(found["trained_mask"]))
    assert any(message in flaw for flaw in flaws(trained_forgery.listing()))


def test_a_training_that_tells_of_no_mask_at_its_end_was_another_one(trained_forgery):
    trained_forgery.change(trained_forgery.record(train="rigl"), lambda found: found.pop("trained_mask"))
    assert one(said(trained_forgery), "trained_mask: expected the mask at the end of training, found none")


def test_plain_training_has_no_other_mask_at_its_end(trained_forgery):
    told = {"sha256": "0" * 64, "kept": 5020, "stayed": 5020, "layers": {}}
    trained_forgery.change(trained_forgery.record(), lambda found: found.update(trained_mask=told))
    assert one(said(trained_forgery), "trained_mask: expected none, the training is plain")


def test_plain_results_under_the_name_of_another_training_are_found(trained_forgery):
    """Cells, keys and labels derived from it, as the program would have; the suite says so, too."""

    def sold(cell):
        if cell["criterion"] and "train" not in cell:
            cell["train"] = {"name": "rigl", "given": {"every": 3}, "args": RIGL_3, "version": 1}

    trained_forgery.cells(sold)
    trained_forgery.study(lambda s: s.update(suite=s["suite"].replace("[plain,", "[{name: rigl, every: 3},")))
    assert one(said(trained_forgery), "rigl (every=3)", "trained_mask: expected the mask at the end of training")


RIGL_3 = {"drop": 0.3, "every": 3, "until": 0.75, "layers": "kept"}
