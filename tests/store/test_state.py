"""What a store says of a cell: are its masks there, and is it refused?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pabench.store.state import has_masks, masked, refused
from pabench.suite.specs import Scoring

from ..synthetic import CRITERIA, cells

_, CELL = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1)


def receipt(status: str, **inside) -> dict:
    return {"key": CELL.pruning_key, "status": status, "receipt": inside or None}


@pytest.mark.parametrize(
    ("status", "inside", "there"),
    [
        ("ok", {"mask": "0" * 64}, False),  # its file is lost: the mask is made again
        ("ok", {"model": "another network"}, True),
        ("skipped", {}, True),
        ("failed", {}, False),
    ],
)
def test_masks_are_made_where_a_file_is_lost_or_the_scoring_failed(store, status, inside, there):
    assert not has_masks(store, CELL)

    store.commit("receipts", CELL.pruning_key, receipt(status, **inside))

    assert has_masks(store, CELL) is there


def test_a_mask_that_is_there_is_not_made_again(store):
    sha = store.put_mask(b"bits")
    store.commit("receipts", CELL.pruning_key, receipt("ok", mask=sha))

    assert has_masks(store, CELL)
    assert masked(store, CELL.pruning_key) == {"mask": sha}


def test_a_cell_is_refused_where_the_suite_says_so_and_its_ranking_is_degenerate(store):
    """9 of 10 scores are 0."""
    refusing = replace(CELL, scoring=Scoring(degenerate="refuse"))
    finding = {"verdict": "degenerate", "detail": "9 of 10 scores are exactly 0"}
    store.commit("checks", refusing.check_key, {"key": refusing.check_key, "status": "ok", "finding": finding})

    told = refused(store, refusing)
    assert (told["status"], told["kind"], told["message"]) == ("skipped", "degenerate", finding["detail"])
    assert refused(store, CELL) == {}
