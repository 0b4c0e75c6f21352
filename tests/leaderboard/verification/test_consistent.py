"""Level 2: what a submission says of itself in two places is the same in both."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pabench.source import code_digest

from ...forgery import sha
from .looking import flaws


def test_a_number_listed_again_does_not_give_the_stated_mean(forgery):
    path = forgery.record()
    forgery.change(path, lambda r: r["result"].update(top1=99.0, top5=99.5))

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
