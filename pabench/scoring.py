"""The masks of a block's cells: a criterion given its images, its donor and its reference to trained weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pabench.ablation import IN_BATCH
from pabench.block import Block
from pabench.cell import Cell
from pabench.criterion import Criterion, Sources, Tensors
from pabench.donor import donor, donor_layers
from pabench.meter import Meter
from pabench.network import Network
from pabench.pruning import InapplicableError, prune_all
from pabench.receipt import Pruned
from pabench.reference import trained_weights

Report = Callable[[dict[str, Any]], None]


def scored(
    cells: Sequence[Cell], block: Block, rule: Criterion, module: nn.Module, report: Report
) -> list[tuple[Cell, Pruned, dict[str, float]]]:
    """Masks of each cell with what they cost. A one-shot criterion is given all densities at once.

    `cells` differ in their sparsity alone. A criterion that looks at trained weights gets those of one training of the
    dense network, which is part of its cost. InapplicableError: the cells' ablation means nothing to the criterion.
    """
    ablation, dtype = cells[0].ablation, getattr(torch, cells[0].scoring.dtype)
    if ablation in IN_BATCH and not rule.examples_per_class:
        raise InapplicableError(f"{rule.name} is data-free: {ablation} changes a scoring batch, which plays no part")
    training = Meter(block.device)

    def network_for(rule: Criterion) -> Network:
        return Network(module.to(block.device), bn=rule.bn, dtype=dtype)

    def sources(rule: Criterion, network: Network) -> Sources:
        def redraw(seed: int) -> Tensors:
            other = Network(block.network(seed).to(block.device), bn=rule.bn, dtype=dtype)
            return {**other.rest, **other.weights}

        if not rule.trains:
            return Sources(redraw=redraw)
        with training:
            weights = trained_weights(block, rule, network, report)
        return Sources(redraw=redraw, trained=lambda: dict(weights))

    def pruned(
        rule: Criterion, network: Network, densities: Sequence[float], given: Sources, invert: bool = False
    ) -> list[Pruned]:
        images = rule.examples_per_class
        batches = tuple(block.scoring_batches(images, rule.batch_count())) if images else ()
        return prune_all(
            network,
            rule,
            densities,
            batches=batches,
            seed=cells[0].seed_for("noise"),
            input_shape=block.dataset.shape,
            sources=given,
            invert=invert,
        )

    network = network_for(rule)
    given, giver = sources(rule, network), donor(rule)
    if giver is not None:
        other = network_for(giver)
        dense = sources(giver, other)
        layers = donor_layers(rule, lambda giver, density: pruned(giver, other, [density], dense)[0].masks)
        given = replace(given, layers=layers)
    found = []
    for group in [cells] if getattr(rule, "steps", 0) == 1 else [[cell] for cell in cells]:
        report({"stage": f"scoring {', '.join(f'{c.sparsity:g}' for c in group)}"})
        with Meter(network.device) as meter:
            results = pruned(rule, network, [1 - c.sparsity for c in group], given, ablation == "invert")
        for cell, result in zip(group, results, strict=True):
            peak = max(training.peak_bytes, meter.peak_bytes)
            cost = {"scoring_seconds": training.seconds + result.seconds, "scoring_peak_bytes": peak}
            found.append((cell, result, cost))
    return found
