"""What a study adds for reference lines: trained weights to prune by, and networks trained in place of pruned ones."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from torch import nn

from pabench.networks.network import Network, Tensors, prunable_weights
from pabench.networks.size import parameters
from pabench.networks.width import narrowed
from pabench.scoring.control import Control, Original
from pabench.scoring.criterion import Criterion
from pabench.scoring.pruning import SkippedError
from pabench.source import source_digest
from pabench.suite.cell import Cell
from pabench.training.block import Block
from pabench.training.loop import Report


def trained_weights(block: Block, rule: Criterion, network: Network, report: Report) -> Tensors:
    """Prunable weights of the block's dense network after its training, in the dtype and on the device of `network`.

    The training is that of the dense baseline: same weights, order, augmentation and random draws, so on equal hardware
    and threads the result is equal to the bit. SkippedError where the criterion leaves no epoch to train with masks.
    """
    epochs = block.cell.recipe.epochs
    if rule.dense_epochs() >= epochs:
        raise SkippedError(
            f"{rule.name} declines this recipe: {rule.dense_epochs()} epochs unpruned leave none of {epochs} to retrain"
        )
    report({"stage": "training the dense network"})
    module = block.network()
    block.fit(module, {}, report=report)
    return {
        n: w.detach().to(device=network.device, dtype=network.dtype).contiguous()
        for n, w in module.named_parameters()
        if n in network.weights
    }


def replacement(block: Block, rule: Control, cell: Cell, module: nn.Module) -> dict[str, Any]:
    """The receipt of a cell that trains another network in place of a pruned `module`: which one, and how large.

    `total` and `kept` are prunable weights of the two networks; `left` is how many parameters of all kinds the pruned
    one would have, and `parameters_instead` how many the other one has. SuiteError where there is no such network.
    """
    include = cell.scoring.include
    prunable = sum(w.numel() for w in prunable_weights(module, include).values())
    original = Original(
        model=cell.model,
        parameters=parameters(module, {})["dense"],
        prunable=prunable,
        narrowed=partial(narrowed, cell.model, block.dataset.classes, block.shape),
    )
    spec = rule.instead(original, 1 - cell.sparsity)
    other = block.network(spec=spec)
    kept = sum(w.numel() for w in prunable_weights(other, include).values())
    assert cell.criterion is not None
    return {
        "criterion": rule.name,
        "variant": cell.criterion.name.partition("@")[2],
        "parameters": asdict(rule),
        "version": rule.version,
        "source": source_digest(type(rule)),
        "dtype": "",
        "requested_sparsity": cell.sparsity,
        "sparsity": 1 - kept / prunable,
        "total": prunable,
        "kept": kept,
        "model": spec.identity(),
        "left": original.left(1 - cell.sparsity),
        "parameters_instead": parameters(other, {})["dense"],
        "layers": [],
        "dead_layers": [],
    }
