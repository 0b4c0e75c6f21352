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
from pabench.cell import Cell
from pabench.criterion import Criterion, Sources, Tensors, source_digest
from pabench.environment import environment
from pabench.errors import Aborted, DataError, DivergedError, MissingError
from pabench.execution import has_masks, refused
from pabench.maskfile import pack, unpack
from pabench.meter import Meter
from pabench.network import Network
from pabench.pruning import SkippedError, gradient_norm, prune_all
from pabench.receipt import Pruned
from pabench.record import blank_receipt, blank_record, now
from pabench.size import flops, parameters
from pabench.store import Store
from pabench.training import Evaluation, evaluate
from pabench.training import train as train_network

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
        images = rule.examples_per_class * rule.batch_count()
        batch = {"batch": block.batch_digest(images)} if images else {}
        pruned = _scored(cells, block, rule, module, report)
        reference = Network(module.to(block.device), bn="train", dtype=getattr(torch, cells[0].scoring.dtype))
        before = gradient_norm(reference, block.norm_batches())
        for cell, result, cost in pruned:
            norm = {"before": before, "after": gradient_norm(reference, block.norm_batches(), _on(reference, result))}
            receipt = _with_mask(store, cell, result, {**batch, "gradient_norm": norm})
            commit(cell, {"receipt": receipt, "flags": result.flags, "pairing": pairing, "cost": cost})
    except Aborted:
        raise
    except BaseException as error:
        for cell in cells:
            earlier = store.get("receipts", cell.pruning_key)
            if earlier is None or earlier["status"] == "failed":
                commit(cell, failure(error))


def _scored(
    cells: Sequence[Cell], block: Block, rule: Criterion, module: nn.Module, report: Report
) -> list[tuple[Cell, Pruned, dict[str, float]]]:
    """Masks of each cell with what they cost. A one-shot criterion is given all densities at once."""
    images = rule.examples_per_class
    batches = block.scoring_batches(images, rule.batch_count()) if images else []
    dtype = getattr(torch, cells[0].scoring.dtype)
    network = Network(module.to(block.device), bn=rule.bn, dtype=dtype)

    def redraw(seed: int) -> Tensors:
        other = Network(block.network(seed).to(block.device), bn=rule.bn, dtype=dtype)
        return {**other.rest, **other.weights}

    found = []
    for group in [cells] if getattr(rule, "steps", 0) == 1 else [[cell] for cell in cells]:
        report({"stage": f"scoring {', '.join(f'{c.sparsity:g}' for c in group)}"})
        with Meter(network.device) as meter:
            results = prune_all(
                network,
                rule,
                [1 - c.sparsity for c in group],
                batches=tuple(batches),
                seed=group[0].seed_for("noise"),
                input_shape=block.dataset.shape,
                sources=Sources(redraw=redraw),
            )
        for cell, result in zip(group, results, strict=True):
            cost = {"scoring_seconds": result.seconds, "scoring_peak_bytes": meter.peak_bytes}
            found.append((cell, result, cost))
    return found


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
    masks = unpack(store.get_mask(receipt["receipt"]["mask"]))[0] if cell.criterion else {}
    block = Block(cell, device)
    module = block.network()
    pairing = block.pairing(module)
    made_for = receipt.get("pairing", pairing)
    if any(made_for[part] != pairing[part] for part in ("weights", "scoring_batch")):
        store.quarantine("receipts", cell.pruning_key, "made for other weights or another scoring batch")
        raise DataError("the masks were made for other weights or images; --retry failed makes them anew")
    sizes = {"parameters": parameters(module, masks), "flops": flops(module, masks, block.dataset.shape)}
    torch.manual_seed(cell.seed_for("training"))  # dropout and stochastic depth
    with Meter(device) as training:
        curve = train_network(
            module,
            masks,
            block.train,
            cell.recipe,
            device=device,
            order_seed=cell.seed_for("order"),
            augment_seed=cell.seed_for("augmentation"),
            report=report,
        )
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


def rebuild(cell: Cell) -> Criterion:
    """The criterion of a cell, from its name and all of its parameters."""
    assert cell.criterion is not None
    rule = registry.criterion(cell.criterion.name.partition("@")[0], cell.criterion.args)
    if source_digest(type(rule)) != cell.criterion.source:
        raise DataError(f"{rule.name}: its file has changed since the run began; start the run again")
    return rule


def failure(error: BaseException) -> dict[str, Any]:
    """What a record says of an error: its kind, one line, and where it came from."""
    if isinstance(error, SkippedError):
        return {"status": "skipped", "kind": "declined", "message": str(error)}
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
    exact = {k: v for k, v in receipt.items() if k not in ("scores", "gradient_norm")}
    return {**receipt, "mask": store.put_mask(pack(result.masks, exact))}


def _load_plugins(payload: Mapping[str, Any]) -> None:
    for path in payload.get("plugins", ()):
        registry.try_drop_in(path)
