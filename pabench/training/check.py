"""The check before a study: each criterion on each network once, so that nothing is trained for a ranking of zeros.

Findings are kept in the store under `Cell.check_key`, and a resumed study does not make them again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from pabench.data.cache import trust
from pabench.diagnostics.remedy import Patient, Treatment
from pabench.errors import Aborted
from pabench.scoring.context import Batch
from pabench.scoring.criterion import Criterion
from pabench.store.record import SCHEMA, labels, now
from pabench.store.store import Store
from pabench.store.verdict import DEGENERATE, HEALTHY, Finding, remedy_of
from pabench.suite.cell import Cell
from pabench.training.block import Block
from pabench.training.faults import raise_if_crowded
from pabench.training.loop import Report
from pabench.training.stage import described, device_of, load_plugins, store_of

IMAGES = 128
"""At most so many of a scoring batch are looked at: a score that is 0 for all of them is 0 by the network."""
TRIED = 20
"""And so many of them where remedies are tried, each of which takes a pass of its own."""


def check(payload: Mapping[str, Any], report: Report) -> None:
    """One finding, with its remedy where it is not healthy. What goes wrong is kept as failed and tried again later."""
    store, cell = store_of(payload), Cell.from_json(payload["cell"])
    data: dict[str, Any] = {"schema": SCHEMA, "key": cell.check_key, "labels": labels(cell), "created": now()}
    try:
        load_plugins(payload)
        trust(payload.get("hashed", {}))
        data |= {"status": "ok", **_checked(cell, device_of(payload))}
    except Aborted:
        raise
    except BaseException as error:
        raise_if_crowded(error, payload)
        data |= described(error)
    store.commit("checks", cell.check_key, data, replace_failed=True)


def told_by_receipt(store: Store, cell: Cell, *, into: Store) -> bool:
    """Whether the scores of the cell's receipt are beyond doubt; the check is then done, and kept as one is."""
    found = store.get("receipts", cell.pruning_key)
    receipt = found["receipt"] if found and found["status"] == "ok" else None
    if not receipt or not receipt.get("scores"):  # masks without scores are judged by themselves
        return False
    layers = receipt["layers"]
    finding = Finding(
        total=receipt["total"],
        layers=len(layers),
        zeros=receipt["zero_scores"],
        non_finite=receipt["non_finite_scores"],
        dead=tuple(layer["name"] for layer in layers if layer["zero_scores"] == layer["total"]),
        doubts="; ".join(flag["detail"] for flag in found["flags"] if flag["flag"] == "doubtful") if found else "",
        seconds=found["cost"].get("scoring_seconds", 0.0) if found else 0.0,
    )
    if finding.verdict != HEALTHY:
        return False
    data = {"schema": SCHEMA, "key": cell.check_key, "labels": labels(cell), "created": now(), "status": "ok"}
    healthy = {"finding": finding.to_json(), "remedy": None, "after": None}
    into.commit("checks", cell.check_key, {**data, **healthy}, replace_failed=True)
    return True


def _checked(cell: Cell, device: torch.device) -> dict[str, Any]:
    assert cell.criterion is not None
    block = Block(cell, device)
    patient = Patient(
        block.dataset.classes,
        block.shape,
        lambda rule: _few(block, rule, IMAGES),
        seed=cell.seed_for("noise"),
        weights_seed=cell.seed_for("weights"),
        dtype=getattr(torch, cell.scoring.dtype),
        device=device,
        include=cell.scoring.include,
        at_once=cell.scoring.batch,
    )
    as_it_is = Treatment(cell.criterion.name, cell.criterion.given, cell.model)
    ill = patient.examined(as_it_is)
    if cell.scoring.because == "criterion" and cell.scoring.dtype == "float32" and ill.finding.verdict != HEALTHY:
        precise = patient.examined(replace(as_it_is, dtype="float64")).finding
        if ill.finding.worse_than(precise):  # its cells are scored in float64, and checked as such
            return {"finding": ill.finding.to_json(), "remedy": None, "after": precise.to_json(), "needs": "float64"}
    if ill.finding.reason and not ill.finding.declined:
        # An error and no verdict of the criterion's own: kept as failed, it is looked at again after a repair.
        return {"status": "failed", "message": ill.finding.reason}
    found = replace(patient, batches=lambda rule: _few(block, rule, TRIED)).treat(ill)
    if not ill.finding.worse_than(found.finding):
        return {"finding": ill.finding.to_json(), "remedy": None, "after": None}
    remedy = {key: entry for key, entry in found.entries.items() if entry}
    return {"finding": ill.finding.to_json(), "remedy": remedy, "after": found.finding.to_json()}


def _few(block: Block, rule: Criterion, images: int) -> list[Batch]:
    """The criterion's scoring batches, or a class-balanced part of each where they are large."""
    if not rule.examples_per_class:
        return []
    batches = block.scoring_batches(rule.examples_per_class, rule.batch_count())
    every = max(1, math.ceil(len(batches[0][1]) / images))
    return [(x[::every], y[::every]) for x, y in batches]


def settled(stores: Sequence[Store], cell: Cell) -> Cell:
    """The cell in float64 where its suite leaves the type open and the check found that float32 does not do."""
    if cell.scoring.because != "criterion" or cell.scoring.dtype != "float32":
        return cell
    found = _found(stores, cell)
    if found is None or not found.get("needs"):
        return cell
    return replace(cell, scoring=replace(cell.scoring, dtype=found["needs"], because="network"))


def _found(stores: Sequence[Store], cell: Cell) -> dict[str, Any] | None:
    return next(filter(None, (store.get("checks", cell.check_key) for store in stores)), None)


# --- In words ---------------------------------------------------------------------------------------------------------


def lines(stores: Iterable[Store], cells: Iterable[Cell]) -> Iterator[str]:
    """What was found, a line for each criterion on each network that is not healthy."""
    stores, told = list(stores), set()
    for cell in cells:
        if cell.criterion is None or cell.check_key in told:
            continue
        told.add(cell.check_key)
        found = _found(stores, cell)
        if found is not None and (line := _line(cell, found)):
            yield f"{checked_title(cell)}: {line}"


def _line(cell: Cell, found: Mapping[str, Any]) -> str:
    if found["status"] == "failed":
        return f"the check failed: {found['message']}"
    finding = Finding.from_json(found["finding"])
    if finding.verdict == HEALTHY:
        return ""
    if found.get("needs"):
        return f"scored in {found['needs']}, as of float32's scores {finding.detail}"
    end = remedy_of(found)
    if finding.verdict == DEGENERATE and cell.scoring.degenerate == "refuse":
        end += "; its cells are skipped (scoring.degenerate: refuse)"
    return f"{finding.verdict}: {finding.detail}{end}"


def checked_title(cell: Cell) -> str:
    assert cell.criterion is not None
    return f"{cell.dataset.label} / {cell.model.label} / {cell.criterion.label}"
