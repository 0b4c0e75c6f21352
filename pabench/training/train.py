"""The second stage of a cell: a network trained under its masks and evaluated, as one record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from pabench.data.cache import trust
from pabench.errors import Aborted, DataError, DeclinedError, PluginError
from pabench.networks.compact import compacted
from pabench.networks.liveness import effective
from pabench.networks.models import weights_digest
from pabench.networks.network import Network, Tensors, scoring_mode
from pabench.networks.size import flops, parameters
from pabench.scoring.gradual import Gradual
from pabench.scoring.masks import unpack
from pabench.scoring.meter import Meter, clock
from pabench.scoring.pruning import InapplicableError
from pabench.store.imagebits import packed
from pabench.store.maskbits import bits_digest
from pabench.store.quality import R2, TOP1, quality_of
from pabench.store.record import blank_record, now
from pabench.store.state import refused
from pabench.store.store import Store, checkpoints_of
from pabench.store.verdict import dead
from pabench.suite.cell import Cell
from pabench.suite.specs import ModelSpec
from pabench.training.block import Block
from pabench.training.checkpoint import as_many_threads, forget
from pabench.training.environment import cores, environment
from pabench.training.faults import raise_if_crowded
from pabench.training.loop import Evaluation, Report, Source, evaluate
from pabench.training.precision import told
from pabench.training.prune import inherited, refuse_foreign
from pabench.training.reference import refuse_unlike, repeatable, resumed
from pabench.training.sparse import Held, method
from pabench.training.stage import device_of, failure, load_plugins, store_of, without_weights


def train(payload: Mapping[str, Any], report: Report) -> None:
    """One record: the outcome of a cell, whatever it is."""
    began = time.perf_counter()
    store = store_of(payload)
    cell = Cell.from_json(payload["cell"])
    earlier = store.get("records", cell.key)
    if earlier is not None and earlier["status"] != "failed":
        return  # another run on this folder has computed it
    device = torch.device(payload["device"])
    kept = checkpoints_of(store.folder, cell.key)
    with as_many_threads(kept, cores()):
        record = blank_record(cell, environment(device, told(cell.recipe.precision, device)))
        try:
            device_of(payload)
            load_plugins(payload)
            trust(payload.get("hashed", {}))
            record |= _outcome(store, cell, device, report)
            record["cost"] = {**record["cost"], "wall_seconds": clock(device) - began}
        except Aborted:
            raise
        except BaseException as error:  # a plugin may raise SystemExit as well: its cell fails, and the study goes on
            raise_if_crowded(error, payload)
            record |= failure(error, device)
    record["created"] = now()
    store.commit("records", cell.key, record, replace_failed=True)
    forget(kept)
    if record["result"]:
        quality = quality_of(record["result"]).name
        report({quality: record["result"][quality]})


def _outcome(store: Store, cell: Cell, device: torch.device, report: Report) -> dict[str, Any]:
    """The part of a record that training gives; a cell whose pruning failed or was declined ends before it."""
    receipt = store.get("receipts", cell.pruning_key) if cell.criterion else {}
    if ended := refused(store, cell):
        return ended
    if receipt is None:
        raise DataError("the receipt of this cell's masks is missing or broken; run again with --retry failed")
    if ended := _ended(cell, receipt):
        return ended
    return _trained(store, cell, receipt, device, report)


def _trained(
    store: Store, cell: Cell, receipt: Mapping[str, Any], device: torch.device, report: Report
) -> dict[str, Any]:
    """What comes of training the block's network under the masks of a receipt, or another network in its place."""
    made = receipt.get("receipt") or {}
    block = Block(cell, device, kept=checkpoints_of(store.folder, cell.key))
    sparse = _sparse(cell, made)
    instead = ModelSpec(**made["model"]) if "model" in made else None
    module = block.network(spec=instead)
    masks = unpack(store.get_mask(made["mask"]))[0] if made and not instead else {}
    pairing, sizes = block.pairing(module), _sizes(block, module, masks)
    if instead:  # its sizes stand beside those of the network that it replaces
        pairing, dense = without_weights(pairing), _sizes(block, block.network(), {})
        sizes = {what: {**own, "dense": dense[what]["dense"]} for what, own in sizes.items()}
    made_on = pairing
    if cell.ablation == "reinit":  # the mask is of the draw that all others train
        made_on = {**pairing, "weights": weights_digest(block.network(cell.seed_for("weights")))}
        receipt = inherited(receipt)
    refuse_foreign(store, cell, receipt, made_on)
    first = made.get("resumes_at")
    if first is not None:  # its dense training is part of the scoring's time, which is not counted twice
        module = resumed(store, block, made, report)
    dense_epochs = made.get("dense_epochs", 0)
    gradual = Gradual(**made["gradual"]) if "gradual" in made else None
    if gradual and cell.ablation:
        raise InapplicableError(f"{made['criterion']} prunes as it trains: {cell.ablation} has no mask to begin with")
    graphs: dict[str, Any] = {}

    def news(event: dict[str, Any]) -> None:
        graphs.update({key: value for key, value in event.items() if key == "cuda_graphs"})
        report(event)

    with Meter(device) as training:
        module, left, compaction = _compacted(block, module, masks, dense_epochs, gradual, sparse)
        checkpoints = block.checkpoints(module, "masked")
        with repeatable() if gradual else nullcontext():
            curve = block.fit(
                module,
                left,
                dense_epochs=dense_epochs,
                first_epoch=first or 0,
                gradual=gradual,
                sparse=sparse,
                checkpoints=checkpoints,
                report=news,
            )
    if gradual:
        refuse_unlike(store, block, module, gradual, masks)
    final = sparse.final if sparse and sparse.method.moves else masks
    earlier = checkpoints.seconds if checkpoints else 0.0
    test = block.test
    with Meter(device) as testing:
        outcome = evaluate(module, test, cell.recipe, device=device)
    fit = {} if cell.criterion else {"training_images": _fit(block, module)}
    logits: dict[str, Any] = {"classes": outcome.classes, "spread": outcome.spread}
    if masks and outcome.classes <= 1:  # only then can no path be left: other cells are spared the search
        logits["effective_weights"] = _effective_weights(block, final)
    return {
        "status": "ok",
        "pairing": pairing,
        "receipt": receipt.get("receipt"),
        "flags": [*receipt.get("flags", []), *dead(logits, cell.recipe.precision)],
        "result": {
            **_tested(test, block.dataset.classes, outcome),
            "curve": curve,
            **sizes,
        },
        "logits": logits,
        **fit,
        **({"trained_mask": _ending(masks, final)} if sparse else {}),
        **compaction,
        **graphs,
        "cost": {
            **receipt.get("cost", {}),
            "training_seconds": training.seconds + earlier,
            **({"resumed_seconds": earlier} if earlier else {}),
            "training_peak_bytes": training.peak_bytes,
            "evaluation_seconds": testing.seconds,
        },
    }


def _tested(test: Source, outputs: int, outcome: Evaluation) -> dict[str, Any]:
    """What a result says of the test: reports know no dataset. How far noise carries chance, which images these are in
    which order, and which of them are right; of numbers none ever is, and who guesses says their mean."""
    looked_at = {"images": len(test.split), "sha256": test.split.digest()}
    if outcome.r2 is not None:
        chance = {"compared_by": {"name": R2.name, "chance": 0.0}}
        return {**chance, **outcome.numbers, "test": {**looked_at, "outputs": outputs}}
    return {
        "compared_by": {"name": TOP1.name, "chance": 100 / outputs},
        **outcome.numbers,
        "test": {**looked_at, "classes": outputs},
        "right": packed(outcome.right.numpy()),
    }


def _compacted(
    block: Block,
    module: nn.Module,
    masks: Tensors,
    dense_epochs: int,
    gradual: Gradual | None = None,
    sparse: Held | None = None,
) -> tuple[nn.Module, Tensors, dict[str, Any]]:
    """What is trained in place of a network under masks, its own masks, and what the record says of it."""
    if not masks or not block.cell.recipe.compact:
        return module, masks, {}
    try:
        if dense_epochs:
            raise DeclinedError(f"not compacted: the masks take hold after epoch {dense_epochs}")
        if gradual:
            raise DeclinedError("not compacted: the masks come about in training")
        if sparse and sparse.method.moves:
            raise DeclinedError("not compacted: the mask moves in training")
        small = compacted(module, masks, block.shape)
    except DeclinedError as error:
        return module, masks, {"compaction": {"declined": str(error)}}
    shrank = {"flops": flops(small.module, {}, block.shape)["dense"], "layers": small.layers(module)}
    return small.module, small.masks, {"compaction": shrank}


def _sparse(cell: Cell, made: Mapping[str, Any]) -> Held | None:
    """The training that a cell asks for instead of the plain one, of the mask of its receipt.

    InapplicableError: it has no mask that could be trained so.
    """
    if cell.train.is_plain:
        return None
    how = method(cell.train.name, cell.train.args)
    line = "prunes nothing" if "model" in made else "prunes as it trains" if "gradual" in made else ""
    if made.get("dense_epochs") or made.get("resumes_at") is not None:
        line = "trains before its mask takes hold"
    if line:
        raise InapplicableError(f"{made['criterion']} {line}: there is no mask for {how.name} to begin with")
    if how.moves and (pattern := made["parameters"].get("pattern")):
        raise InapplicableError(f"{how.name} moves single weights: nothing would be left of the pattern {pattern}")
    return Held(how, cell.seed_for(how.name))


def _ending(masks: Tensors, final: Tensors) -> dict[str, Any]:
    """What a record says of the mask at the end of training: its bits as a hash, what it keeps of each layer and in
    all, and how many weights of the mask at the beginning are among them."""
    bits = {name: mask.numpy() for name, mask in final.items()}
    layers = {name: int(mask.sum()) for name, mask in final.items()}
    stayed = sum(int((masks[name].cpu() & mask).sum()) for name, mask in final.items())
    return {"sha256": bits_digest(bits), "kept": sum(layers.values()), "stayed": stayed, "layers": layers}


def _fit(block: Block, module: nn.Module) -> dict[str, Any]:
    """What a trained network gives for training images as they are; the curve's are augmented, and met on the way."""
    found = evaluate(module, block.sample, block.cell.recipe, device=block.device)
    quality = quality_of(found.numbers).name
    return {quality: found.numbers[quality], "images": len(block.sample.split)}


def _effective_weights(block: Block, masks: Tensors) -> int | None:
    """How many kept weights lie on a path from the input to a logit; None where paths are not known."""
    network = Network(block.network().to(block.device))
    try:
        with scoring_mode(network.device):
            return sum(int(e.sum()) for e in effective(network, masks, block.shape).values())
    except PluginError:
        return None


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


def _sizes(block: Block, module: nn.Module, masks: Tensors) -> dict[str, dict[str, Any]]:
    return {"parameters": parameters(module, masks), "flops": flops(module, masks, block.shape)}
