"""Level 2: what a record states though it follows from the rest of it, or from what every training has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pabench.ablation import IN_BATCH
from pabench.cell import Cell
from pabench.counted import Stated
from pabench.verdict import flags

UNDERIVED = ("doubtful", "other-environment")
"""Flags that no number of a receipt gives: what the criterion says of the network, and what `run --bank` says."""
COUNTS = ("zero_scores", "non_finite_scores", "tied_at_threshold", "kept_of_tied", "rounds")
QUANTILES = ("0", "0.25", "0.5", "0.75", "1")
TIMED = ("training_seconds", "evaluation_seconds", "wall_seconds")
ROUNDING = 1e-6


def flagged(record: Mapping[str, Any]) -> Stated:
    """The flags that a receipt's numbers earn, no more and no less."""
    receipt = record["receipt"]
    if not receipt["total"] or any(name not in receipt for name in COUNTS):
        return
    earned = {flag["flag"] for flag in flags(receipt)}
    shuffle = receipt.get("shuffle")
    if isinstance(shuffle, Mapping) and not shuffle.get("layers_changed"):
        earned.add("unchanged")
    there = {flag["flag"] for flag in record["flags"]} - {*UNDERIVED}
    if there != earned:
        yield "flags", f"{_names(earned)} (from the receipt's numbers)", _names(there)


def scored(receipt: Mapping[str, Any]) -> Stated:
    """Counts of scores and of ties that fit each other and the number of weights."""
    for name in COUNTS:
        if name not in receipt:
            yield f"receipt.{name}", "a count", "none"
            return
    total, zeros, tied = receipt["total"], receipt["zero_scores"], receipt["tied_at_threshold"]
    finite = total - receipt["non_finite_scores"]
    of_layers = sum(layer.get("zero_scores", 0) for layer in receipt["layers"])
    if zeros != of_layers:
        yield "receipt.zero_scores", f"{of_layers} (the sum of its layers)", zeros
    for layer in receipt["layers"]:
        if layer.get("zero_scores", 0) > layer["total"]:
            yield "receipt.layers", f"{layer['name']}: at most {layer['total']} scores of 0", layer["zero_scores"]
    if zeros > finite:
        yield "receipt.zero_scores", f"at most {finite} finite scores", zeros
    if not receipt["kept_of_tied"] <= min(tied, receipt["kept"]) <= tied <= total:
        yield (
            "receipt.kept_of_tied",
            f"at most {min(tied, receipt['kept'])} tied and kept weights",
            receipt["kept_of_tied"],
        )
    if not receipt["rounds"]:
        yield "receipt.rounds", "at least 1", 0
    bins = receipt.get("score_histogram") or {}
    if bins and (sum(bins["positive"]) + sum(bins["negative"]) + bins["zero"], bins["zero"]) != (finite, zeros):
        yield "receipt.score_histogram", f"{finite} finite scores, {zeros} of them 0", "other sums"
    values = [receipt["scores"][q] for q in QUANTILES if q in receipt.get("scores", {})]
    if values != sorted(values):
        yield "receipt.scores", "quantiles in ascending order", values


def curves(cell: Cell, result: Mapping[str, Any]) -> Stated:
    """One value an epoch of every curve."""
    for name, values in result["curve"].items():
        if len(values) != cell.recipe.epochs:
            yield f"result.curve.{name}", f"{cell.recipe.epochs} epochs", f"{len(values)} values"


def costs(cell: Cell, record: Mapping[str, Any], filed: Mapping[str, Any] | None) -> Stated:
    """Seconds that were measured, the parts within the whole, and what scoring cost as its receipt says."""
    cost = record["cost"]
    masked = cell.criterion is not None and "model" not in (record["receipt"] or {})
    measured = masked and cell.ablation in ("", "invert", *IN_BATCH)
    for name in (*TIMED, *(("scoring_seconds",) if measured else ())):
        if not cost.get(name):
            yield f"cost.{name}", "more than 0", cost.get(name)
    parts = (cost.get("training_seconds") or 0) + (cost.get("evaluation_seconds") or 0)
    if (cost.get("wall_seconds") or parts) < parts * (1 - ROUNDING):
        yield "cost.wall_seconds", f"at least {parts:g}, training and evaluation", cost["wall_seconds"]
    if filed is not None and cell.ablation != "reinit":
        for name, value in filed["cost"].items():
            if cost.get(name) != value:
                yield f"cost.{name}", f"{value} (the receipt's file)", cost.get(name)
    images = cost.get("scoring_images")
    if cell.criterion is not None and images is not None:
        each = cell.criterion.args.get("examples_per_class", 0)
        if not each and images:
            yield "cost.scoring_images", "0, the criterion has no scoring batch", images
        elif each and (not images or images % each):
            yield "cost.scoring_images", f"a multiple of {each} images a class", images


def _names(flags: set[str]) -> str:
    return ", ".join(sorted(flags)) or "none"
