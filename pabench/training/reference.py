"""What a study adds for reference lines: trained weights to prune by, and networks trained in place of pruned ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import nn

from pabench.errors import DataError
from pabench.networks.models import weights_digest
from pabench.networks.network import Network, Tensors, prunable_weights
from pabench.networks.size import parameters
from pabench.networks.width import narrowed
from pabench.parameters import told
from pabench.scoring.control import Control, Original
from pabench.scoring.criterion import Criterion
from pabench.scoring.gradual import Gradual
from pabench.scoring.pruning import InapplicableError, SkippedError
from pabench.source import source_digest
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.training.block import Block
from pabench.training.loop import Report


def trained(block: Block, rule: Criterion, report: Report) -> tuple[nn.Module, float]:
    """The block's dense network after its training, and the seconds that ended processes have spent on that.

    SkippedError: the criterion leaves no epoch to train with masks.

    The training is that of the dense baseline: same weights, order, augmentation and random draws, so on equal hardware
    and threads the result is equal to the bit.
    """
    epochs = block.cell.recipe.epochs
    if (begin := rewound_to(rule)) >= epochs:
        raise SkippedError(
            f"{rule.name} declines this recipe: {begin} epochs unpruned leave none of {epochs} to retrain"
        )
    return _dense(block, report)


def weights_of(module: nn.Module, network: Network) -> Tensors:
    """Prunable weights of a trained network, in the dtype and on the device of the `network` that is scored."""
    return {
        n: w.detach().to(device=network.device, dtype=network.dtype).contiguous()
        for n, w in module.named_parameters()
        if n in network.weights
    }


def rewound_to(rule: Criterion) -> int:
    """The epoch of the recipe that the masked training of a line begins with."""
    resumed = rule.resumes_at()
    return rule.dense_epochs() if resumed is None else resumed


def budget(rule: Criterion, epochs: int, module: nn.Module) -> dict[str, Any]:
    """What the receipt of a line says of its training by a recipe of so many `epochs`; `module` is the trained network.

    `total_epochs` are those of the dense network that it is pruned by and those with masks: what it takes altogether.
    """
    begin, resumed = rewound_to(rule), rule.resumes_at()
    found: dict[str, Any] = {"dense_epochs": rule.dense_epochs(), "total_epochs": epochs + epochs - begin}
    return found if resumed is None else {**found, "resumes_at": resumed, "trained_weights": weights_digest(module)}


def resumed(store: Store, block: Block, made: Mapping[str, Any], report: Report) -> nn.Module:
    """The trained network that the mask of a receipt is of: trained once more, as it was for its pruning.

    DataError: it comes out otherwise here, and the mask is not of its weights; the receipt is put away.
    InapplicableError: the cell's weights are drawn anew, and trained ones go on.
    """
    if block.cell.ablation == "reinit":
        raise InapplicableError(
            f"{made['criterion']} goes on from trained weights: there are no initial ones to draw anew"
        )
    module, _ = _dense(block, report)
    if weights_digest(module) != made["trained_weights"]:
        store.quarantine("receipts", block.cell.pruning_key, "training has given other weights")
        raise DataError(
            "the trained network is another than the one that was pruned: another machine, another number of threads "
            "or kernels that do not repeat themselves; --retry failed prunes it anew"
        )
    return module


def gradually(block: Block, gradual: Gradual, report: Report) -> tuple[nn.Module, float]:
    """The block's network after its training, in which it was pruned to the density that `gradual` says, and the
    seconds that ended processes have spent on that."""
    module = block.network()
    masks = {n: torch.ones(w.shape, dtype=torch.bool) for n, w in _prunable(block, module).items()}
    checkpoints = block.checkpoints(module, f"gradual-{digest(asdict(gradual))[:16]}")
    report({"stage": f"training and pruning to {1 - gradual.density:g}"})
    with repeatable():
        block.fit(module, masks, gradual=gradual, checkpoints=checkpoints, report=report)
    return module, checkpoints.seconds if checkpoints else 0.0


def refuse_unlike(store: Store, block: Block, module: nn.Module, gradual: Gradual, masks: Tensors) -> None:
    """DataError where training has pruned other weights than the `masks` of the receipt, which is put away."""
    found = gradual.masks(_prunable(block, module), gradual.density)
    if any(not torch.equal(found[n].cpu(), m) for n, m in masks.items()):
        store.quarantine("receipts", block.cell.pruning_key, "training has pruned other weights")
        raise DataError(
            "training has pruned other weights than it had for the mask: another machine, another number of threads "
            "or kernels that do not repeat themselves; --retry failed prunes it anew"
        )


@contextmanager
def repeatable() -> Iterator[None]:
    """Inside, kernels are those that come to the same when a network is trained again."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=cudnn.allow_tf32):
        yield


def _prunable(block: Block, module: nn.Module) -> dict[str, nn.Parameter]:
    return prunable_weights(module, block.cell.scoring.include)


def _dense(block: Block, report: Report) -> tuple[nn.Module, float]:
    report({"stage": "training the dense network"})
    module = block.network()
    checkpoints = block.checkpoints(module, "dense")
    with repeatable():
        block.fit(module, {}, checkpoints=checkpoints, report=report)
    return module, checkpoints.seconds if checkpoints else 0.0


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
        "parameters": told(rule),
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
