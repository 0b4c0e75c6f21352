"""What an ablation takes from its parent cell: the mask as it is, or permuted within layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pabench.cell import Cell
from pabench.errors import DataError
from pabench.masking import Masks, unpack
from pabench.pruning import SkippedError
from pabench.receipt import Pruned
from pabench.shuffling import shuffle
from pabench.store import Store

OF_WEIGHTS = ("gradient_norm",)
"""Entries of a receipt that speak of the weights that were scored, and not of a re-drawn network."""


def shuffled(store: Store, cell: Cell, pairing: Mapping[str, str]) -> Pruned:
    """The parent's mask permuted within layers, with the parent's receipt; nothing is scored again.

    DataError: there is no such mask. SkippedError: the criterion declined the network.
    """
    receipt = store.get("receipts", cell.parent().pruning_key)
    if receipt is None or receipt["status"] == "failed":
        raise DataError(
            f"no mask to shuffle: {receipt['message'] if receipt else 'the receipt of its parent is missing'}"
        )
    if receipt["status"] == "skipped":
        raise SkippedError(receipt["message"])
    refuse_foreign(store, cell.parent(), receipt, pairing)
    kept = {k: v for k, v in receipt["receipt"].items() if k not in ("mask", "batch", *OF_WEIGHTS)}
    masks, _ = unpack(store.get_mask(receipt["receipt"]["mask"]))
    made = shuffle(Masks(masks, kept, receipt["flags"]), seed=cell.seed_for("shuffle"))
    return Pruned(dict(made), made.receipt, made.flags, 0.0)


def inherited(receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt of a mask for a network with other weights: what was measured on the parent's is not repeated."""
    return {**receipt, "receipt": {**receipt["receipt"], **dict.fromkeys(OF_WEIGHTS)}, "cost": {}}


def refuse_foreign(store: Store, cell: Cell, receipt: Mapping[str, Any], pairing: Mapping[str, str]) -> None:
    """DataError where a cell's mask was made for other weights or images than `pairing` says; it is put away."""
    made_for = receipt.get("pairing", pairing)
    if any(made_for.get(part) != pairing.get(part) for part in ("weights", "scoring_batch")):
        store.quarantine("receipts", cell.pruning_key, "made for other weights or another scoring batch")
        raise DataError("the masks were made for other weights or images; --retry failed makes them anew")
