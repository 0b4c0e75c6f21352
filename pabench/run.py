"""One cell, every stage: the only module that knows them all.

Two tasks make a cell: `prune` gives the masks of one criterion at all asked sparsities of a block, `train` trains,
evaluates and writes one record. Both take plain data and write to the store; whatever goes wrong becomes a record.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pabench import registry
from pabench.block import Block
from pabench.cell import Cell, ModelSpec
from pabench.control import Control
from pabench.criterion import Batch, Criterion
from pabench.digest import source_digest
from pabench.donor import donor, donor_identity
from pabench.environment import environment
from pabench.errors import Aborted, DataError, DivergedError, MissingError, SuiteError
from pabench.execution import has_masks, refused
from pabench.masking import pack, unpack
from pabench.meter import Meter, clock
from pabench.model import weights_digest
from pabench.network import Network
from pabench.parent import inherited, refuse_foreign, shuffled
from pabench.pruning import InapplicableError, SkippedError, gradient_norm
from pabench.receipt import Pruned
from pabench.record import STATISTICS, blank_receipt, blank_record, now
from pabench.reference import replacement
from pabench.scoring import scored
from pabench.size import flops, parameters
from pabench.store import Store
from pabench.training import Evaluation, evaluate

Report = Callable[[dict[str, Any]], None]


def prune(payload: Mapping[str, Any], report: Report) -> None:
    """Receipts and masks of cells that differ only in their sparsity; a one-shot criterion scores once for all."""
    store = Store(payload["store"])
    cells = [c for c in map(Cell.from_json, payload["cells"]) if not has_masks(store, c)]  # another run may have them
    cells = [c for c in cells if not refused(store, c)]
    if not cells:
        return

    def commit(cell: Cell, receipt: Mapping[str, Any]) -> None:
        store.commit("receipts", cell.pruning_key, {**blank_receipt(cell), **receipt}, replace_failed=True)

    try:
        _load_plugins(payload)
        block = Block(cells[0], torch.device(payload["device"]))
        rule = rebuild(cells[0])
        module = block.network()
        pairing = block.pairing(module)
        if isinstance(rule, Control):
            if cells[0].ablation:
                raise InapplicableError(
                    f"{rule.name} prunes nothing: {cells[0].ablation} changes a mask, and it has none"
                )
            for cell in cells:
                commit(cell, {"pairing": _without_weights(pairing), **_replaced(block, rule, cell, module)})
            return
        images = rule.examples_per_class * rule.batch_count()
        batch = {"batch": block.batch_digest(images)} if images else {}
        giver = donor(rule)
        if giver and giver.examples_per_class:
            batch["donor_batch"] = block.batch_digest(giver.examples_per_class * giver.batch_count())
        if cells[0].ablation != "shuffle":
            pruned = scored(cells, block, rule, module, report)
        else:
            pruned = [(cell, shuffled(store, cell, pairing), {}) for cell in cells]
        reference = Network(module.to(block.device), bn="train", dtype=getattr(torch, cells[0].scoring.dtype))
        batches = block.norm_batches()
        times: list[float] = []
        before = _timed_norm(reference, batches, None, times)
        for cell, result, cost in pruned:
            norm = {"before": before, "after": _timed_norm(reference, batches, _on(reference, result), times)}
            dense = {"dense_epochs": rule.dense_epochs()} if rule.trains else {}
            receipt = _with_mask(store, cell, result, {**batch, **dense, "gradient_norm": norm})
            unit = {"gradient_seconds": min(times), "gradient_images": sum(len(y) for _, y in batches)}
            if cost:  # a shuffled mask was not scored
                cost = {**cost, **unit, "scoring_images": images * block.dataset.classes}
            commit(cell, {"receipt": receipt, "flags": result.flags, "pairing": pairing, "cost": cost})
    except Aborted:
        raise
    except BaseException as error:
        for cell in cells:
            earlier = store.get("receipts", cell.pruning_key)
            if earlier is None or earlier["status"] == "failed":
                commit(cell, failure(error))


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
        _load_plugins(payload)
        with Meter(device) as wall:
            record |= _trained(store, cell, device, report)
        record["cost"] = {**record["cost"], "wall_seconds": wall.seconds}
    except Aborted:
        raise
    except BaseException as error:
        record |= failure(error)
    record["created"] = now()
    store.commit("records", cell.key, record, replace_failed=True)
    if record["result"]:
        report({"top1": record["result"]["top1"]})


def _trained(store: Store, cell: Cell, device: torch.device, report: Report) -> dict[str, Any]:
    """The part of a record that training gives; a cell whose pruning failed or was declined ends here."""
    if skipped := refused(store, cell):
        return skipped
    receipt = store.get("receipts", cell.pruning_key) if cell.criterion else {}
    if receipt is None:
        raise DataError("the receipt of this cell's masks is missing or broken; run the suite again")
    if receipt.get("status", "ok") != "ok":
        return {k: receipt[k] for k in ("status", "kind", "message", "traceback")}
    flags = receipt.get("flags", [])
    degenerate = next((f for f in flags if f["flag"] == "degenerate"), None)
    if degenerate and cell.scoring.degenerate == "refuse":
        skipped = {"status": "skipped", "kind": "degenerate", "message": degenerate["detail"]}
        return {**skipped, "receipt": receipt["receipt"], "flags": flags}
    made = receipt.get("receipt") or {}
    masks = unpack(store.get_mask(made["mask"]))[0] if "mask" in made else {}
    block = Block(cell, device)
    instead = ModelSpec(**made["model"]) if "model" in made else None
    module = block.network(spec=instead)
    pairing = _without_weights(block.pairing(module)) if instead else block.pairing(module)
    made_on = pairing
    if cell.ablation == "reinit":
        if not instead:
            made_on = {**pairing, "weights": weights_digest(block.network(cell.seed_for("weights")))}
        receipt = inherited(receipt)
    refuse_foreign(store, cell, receipt, made_on)
    sizes = {"parameters": parameters(module, masks), "flops": flops(module, masks, block.dataset.shape)}
    if instead:
        original = block.network()
        sizes["parameters"]["dense"] = parameters(original, {})["dense"]
        sizes["flops"]["dense"] = flops(original, {}, block.dataset.shape)["dense"]
    with Meter(device) as training:
        curve = block.fit(module, masks, dense_epochs=made.get("dense_epochs", 0), report=report)
    with Meter(device) as testing:
        outcome: Evaluation = evaluate(module, block.test, cell.recipe, device=device)
    return {
        "status": "ok",
        "pairing": pairing,
        "receipt": receipt.get("receipt"),
        "flags": flags,
        "result": {"top1": outcome.top1, "top5": outcome.top5, "loss": outcome.loss, "curve": curve, **sizes},
        "cost": {
            **receipt.get("cost", {}),
            "training_seconds": training.seconds,
            "training_peak_bytes": training.peak_bytes,
            "evaluation_seconds": testing.seconds,
        },
    }


def _replaced(block: Block, rule: Control, cell: Cell, module: nn.Module) -> dict[str, Any]:
    """The receipt of a cell that trains another network, or why there is none."""
    try:
        return {"receipt": replacement(block, rule, cell, module)}
    except SuiteError as error:
        return failure(SkippedError(f"{rule.name} declines this network: {error}"))


def _without_weights(pairing: Mapping[str, str]) -> dict[str, str]:
    """What another network shares with the cells of its block: order, augmentation and images, but no weights."""
    return {part: value for part, value in pairing.items() if part != "weights"}


def rebuild(cell: Cell) -> Criterion:
    """The criterion of a cell, from its name and all of its parameters."""
    assert cell.criterion is not None
    rule = registry.criterion(cell.criterion.name.partition("@")[0], cell.criterion.args)
    if source_digest(type(rule)) != cell.criterion.source:
        raise DataError(f"{rule.name}: its file has changed since the run began; start the run again")
    if donor_identity(rule) != cell.criterion.donor:
        raise DataError(f"{rule.allocation}: the criterion has changed since the run began; start the run again")  # type: ignore[attr-defined]
    return rule


def failure(error: BaseException) -> dict[str, Any]:
    """What a record says of an error: its kind, one line, and where it came from."""
    if isinstance(error, SkippedError):
        return {"status": "skipped", "kind": error.kind, "message": str(error)}
    text = "".join(traceback.format_exception(error))
    return {
        "status": "failed",
        "kind": _kind(error),
        "message": f"{type(error).__name__}: {error}"[:2000],
        "traceback": text[-20000:],
        "receipt": None,
        "result": None,
    }


def _kind(error: BaseException) -> str:
    out_of_memory = "can't allocate memory" in str(error) or "out of memory" in str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or out_of_memory:
        return "oom"
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, (DataError, MissingError)):
        return "data"
    return "io" if isinstance(error, OSError) else "plugin-error"


def _timed_norm(
    network: Network, batches: Sequence[Batch], masks: dict[str, torch.Tensor] | None, times: list[float]
) -> float | None:
    """The gradient norm; its time, of one forward and one backward pass, is the unit that scoring is compared to."""
    began = clock(network.device)
    norm = gradient_norm(network, batches, masks)
    times.append(clock(network.device) - began)
    return norm


def _on(network: Network, result: Pruned) -> dict[str, torch.Tensor]:
    return {n: m.to(network.device) for n, m in result.masks.items()}


def _with_mask(store: Store, cell: Cell, result: Pruned, more: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt of a mask that is in the store. The sparsity is the suite's own number, without binary noise.

    The mask file holds the receipt without its statistics, whose last digit depends on the number of threads: equal
    masks are one file.
    """
    assert cell.criterion is not None
    variant = cell.criterion.name.partition("@")[2]
    receipt = {**result.receipt, "requested_sparsity": cell.sparsity, "variant": variant, **more}
    exact = {k: v for k, v in receipt.items() if k not in STATISTICS}
    return {**receipt, "mask": store.put_mask(pack(result.masks, exact))}


def _load_plugins(payload: Mapping[str, Any]) -> None:
    for path in payload.get("plugins", ()):
        registry.try_drop_in(path)
