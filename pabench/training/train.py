"""The second stage of a cell: a network trained under its masks and evaluated, as one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pabench.errors import Aborted, DataError
from pabench.networks.models import weights_digest
from pabench.networks.network import Tensors
from pabench.networks.size import flops, parameters
from pabench.scoring.masks import unpack
from pabench.scoring.meter import Meter
from pabench.store.record import blank_record, now
from pabench.store.state import refused
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.suite.specs import ModelSpec
from pabench.training.block import Block
from pabench.training.environment import environment
from pabench.training.loop import Report, evaluate
from pabench.training.prune import inherited, refuse_foreign
from pabench.training.stage import failure, load_plugins, without_weights


def train(payload: Mapping[str, Any], report: Report) -> None:
    """One record: the outcome of a cell, whatever it is."""
    store = Store(payload["store"])
    cell = Cell.from_json(payload["cell"])
    device = torch.device(payload["device"])
    earlier = store.get("records", cell.key)
    if earlier is not None and earlier["status"] != "failed":
        return  # another run on this folder has computed it
    record = blank_record(cell, environment(device, cell.recipe.precision))
    try:
        load_plugins(payload)
        with Meter(device) as wall:
            record |= _outcome(store, cell, device, report)
        record["cost"] = {**record["cost"], "wall_seconds": wall.seconds}
    except Aborted:
        raise
    except BaseException as error:  # a plugin may raise SystemExit as well: its cell fails, and the study goes on
        record |= failure(error)
    record["created"] = now()
    store.commit("records", cell.key, record, replace_failed=True)
    if record["result"]:
        report({"top1": record["result"]["top1"]})


def _outcome(store: Store, cell: Cell, device: torch.device, report: Report) -> dict[str, Any]:
    """The part of a record that training gives; a cell whose pruning failed or was declined ends before it."""
    receipt = store.get("receipts", cell.pruning_key) if cell.criterion else {}
    if ended := refused(store, cell):
        return ended
    if receipt is None:
        raise DataError("the receipt of this cell's masks is missing or broken; run the suite again")
    if ended := _ended(cell, receipt):
        return ended
    made, block = receipt.get("receipt") or {}, Block(cell, device)
    if "model" in made:
        trainee = _replacing(block, ModelSpec(**made["model"]))
    else:
        trainee = _masked(block, unpack(store.get_mask(made["mask"]))[0] if made else {})
    refuse_foreign(store, cell, receipt, trainee.made_on)
    if cell.ablation == "reinit":
        receipt = inherited(receipt)
    module, masks = trainee.module, trainee.masks
    with Meter(device) as training:
        curve = block.fit(module, masks, dense_epochs=made.get("dense_epochs", 0), report=report)
    with Meter(device) as testing:
        outcome = evaluate(module, block.test, cell.recipe, device=device)
    scores = {"top1": outcome.top1, "top5": outcome.top5, "loss": outcome.loss}
    return {
        "status": "ok",
        "pairing": trainee.pairing,
        "receipt": receipt.get("receipt"),
        "flags": receipt.get("flags", []),
        "result": {**scores, "curve": curve, **trainee.sizes},
        "cost": {
            **receipt.get("cost", {}),
            "training_seconds": training.seconds,
            "training_peak_bytes": training.peak_bytes,
            "evaluation_seconds": testing.seconds,
        },
    }


def _ended(cell: Cell, receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record of a cell that is not trained, as its receipt says; {} for one that is."""
    if receipt.get("status", "ok") != "ok":
        return {k: receipt[k] for k in ("status", "kind", "message", "traceback")}
    flags = receipt.get("flags", [])
    degenerate = next((f for f in flags if f["flag"] == "degenerate"), None)
    if degenerate is None or cell.scoring.degenerate != "refuse":
        return {}
    skipped = {"status": "skipped", "kind": "degenerate", "message": degenerate["detail"]}
    return {**skipped, "receipt": receipt["receipt"], "flags": flags}


@dataclass(frozen=True)
class _Trainee:
    """The network that a cell trains. Its masks, if any, must have been made on a network of the pairing `made_on`."""

    module: nn.Module
    masks: Tensors
    pairing: dict[str, str]
    made_on: dict[str, str]
    sizes: dict[str, Any]


def _masked(block: Block, masks: Tensors) -> _Trainee:
    """The block's own network, dense without masks; in the ablation `reinit` another draw of it."""
    module = block.network()
    pairing = made_on = block.pairing(module)
    if block.cell.ablation == "reinit":  # the mask is of the draw that all others train
        drawn = block.network(block.cell.seed_for("weights"))
        made_on = {**pairing, "weights": weights_digest(drawn)}
    return _Trainee(module, masks, pairing, made_on, _sizes(block, module, masks))


def _replacing(block: Block, spec: ModelSpec) -> _Trainee:
    """Another network in place of the pruned one. Its sizes are beside those of the network that it replaces."""
    module = block.network(spec=spec)
    pairing = without_weights(block.pairing(module))
    dense = _sizes(block, block.network(), {})
    sizes = {what: {**own, "dense": dense[what]["dense"]} for what, own in _sizes(block, module, {}).items()}
    return _Trainee(module, {}, pairing, pairing, sizes)


def _sizes(block: Block, module: nn.Module, masks: Tensors) -> dict[str, dict[str, Any]]:
    return {"parameters": parameters(module, masks), "flops": flops(module, masks, block.dataset.shape)}
