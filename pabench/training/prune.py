"""The first stage of a cell: the masks of one criterion at all asked sparsities of a block, with their receipts.

Three kinds of cells have three kinds of receipts: a scored mask, a parent's mask that is shuffled, and, for a reference
line that prunes nothing, the network that is trained instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pabench.data.cache import trust
from pabench.errors import Aborted, DataError, SuiteError
from pabench.networks.network import Network, Tensors
from pabench.scoring.context import Batch, Sources
from pabench.scoring.control import Control
from pabench.scoring.criterion import Criterion
from pabench.scoring.donor import donor, donor_layers
from pabench.scoring.gradients import Taken, by_criterion, shares_gradient
from pabench.scoring.masks import Masks, pack, unpack
from pabench.scoring.meter import Meter, clock
from pabench.scoring.pruning import InapplicableError, SkippedError, gradient_norm, misfit, prune_all
from pabench.scoring.receipt import Pruned
from pabench.scoring.shuffling import shuffle
from pabench.store.record import OF_NETWORK, STATISTICS, blank_receipt
from pabench.store.state import has_masks, refused
from pabench.store.store import Store, checkpoints_of
from pabench.suite.ablations import IN_BATCH
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.training.block import Block
from pabench.training.checkpoint import as_many_threads, forget
from pabench.training.environment import cores
from pabench.training.faults import raise_if_crowded
from pabench.training.loop import Report
from pabench.training.reference import budget, gradually, replacement, trained, weights_of
from pabench.training.stage import device_of, failure, load_plugins, rebuild, store_of, without_weights

OF_WEIGHTS = ("gradient_norm",)
"""Entries of a receipt that speak of the weights that were scored, and not of a re-drawn network."""


def prune(payload: Mapping[str, Any], report: Report) -> None:
    """Receipts and masks of cells that differ only in their sparsity; a one-shot criterion scores once for all.

    And of several criteria that need one gradient (`shares_gradient`), one after another: each fails for itself.
    """
    store = store_of(payload)
    cells = [c for c in map(Cell.from_json, payload["cells"]) if not has_masks(store, c)]  # another run may have them
    cells = [c for c in cells if not refused(store, c)]
    if not cells:
        return
    device = torch.device(payload["device"])
    # of the dense network: the same for all lines of a block that prune by it, whoever trains it first
    kept = checkpoints_of(store.folder, digest(["pruned", cells[0].dense().key]))
    shared: _Shared | None = None
    with as_many_threads(kept, cores()):
        for own in by_criterion(cells):
            began = time.perf_counter()
            try:
                shared = shared or _Shared(store, own[0], payload, kept)
                for cell, receipt in _receipts(store, own, shared, report):
                    now = clock(device)
                    cost = {**receipt.get("cost", {}), "pruning_seconds": now - began}
                    _commit(store, cell, {**receipt, "cost": cost})
                    began = now
            except Aborted:
                raise
            except BaseException as error:  # a plugin may raise SystemExit as well: its cells fail, others go on
                raise_if_crowded(error, payload)
                for cell in own:
                    earlier = store.get("receipts", cell.pruning_key)
                    if earlier is None or earlier["status"] == "failed":  # those before it, or another run's, stay
                        _commit(store, cell, failure(error, device))
    forget(kept)


class _Shared:
    """What criteria have in common that are scored in one task: their block, its norms, and a gradient."""

    def __init__(self, store: Store, cell: Cell, payload: Mapping[str, Any], kept: Path) -> None:
        load_plugins(payload)
        trust(payload.get("hashed", {}))
        self.block = Block(cell, device_of(payload), kept=kept)
        self.taken = Taken() if shares_gradient(cell) else None
        in_block = payload.get("block", ())
        self.norms = _Norms(store, self.block, in_block, self.taken) if payload.get("norms", True) else None

    @cached_property
    def pairing(self) -> dict[str, str]:
        return self.block.pairing(self.block.network())


def _commit(store: Store, cell: Cell, receipt: Mapping[str, Any]) -> None:
    store.commit("receipts", cell.pruning_key, {**blank_receipt(cell), **receipt}, replace_failed=True)


def _receipts(
    store: Store, cells: Sequence[Cell], shared: _Shared, report: Report
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Of each cell what its receipt says, as soon as it is known; masks are in the store by then."""
    rule, block, norms, pairing = rebuild(cells[0]), shared.block, shared.norms, shared.pairing
    if isinstance(rule, Control):
        yield from _of_control(cells, block, rule, block.network(), without_weights(pairing))
        return
    for cell in cells:
        if wrong := misfit(rule, 1 - cell.sparsity):
            yield cell, {"pairing": pairing, **failure(SkippedError(wrong), block.device)}
    cells = [cell for cell in cells if not misfit(rule, 1 - cell.sparsity)]
    if not cells:
        return
    if block.cell.ablation == "shuffle":
        # not scored, so it costs nothing
        found: list[tuple[Pruned, dict[str, float]]] = [(shuffled(store, cell, pairing), {}) for cell in cells]
    else:
        found = scored(cells, block, rule, report, shared.taken)
    given = _given(block, rule)
    for cell, (pruned, cost) in zip(cells, found, strict=True):
        norm = norms and {"before": norms.dense, "after": norms.under(pruned.masks)}
        receipt = _with_mask(store, cell, pruned, {**given, "gradient_norm": norm})
        cost = {**cost, **(norms.unit() if norms else {})} if cost else {}
        yield cell, {"receipt": receipt, "flags": pruned.flags, "pairing": pairing, "cost": cost}


# --- A reference line that prunes nothing -----------------------------------------------------------------------------


def _of_control(
    cells: Sequence[Cell], block: Block, rule: Control, module: nn.Module, pairing: dict[str, str]
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """The network that is trained in place of the pruned one, or why there is none."""
    if block.cell.ablation:
        raise InapplicableError(f"{rule.name} prunes nothing: {block.cell.ablation} changes a mask, and it has none")
    for cell in cells:
        try:
            found = {"receipt": replacement(block, rule, cell, module)}
        except SuiteError as error:
            found = failure(SkippedError(f"{rule.name} declines this network: {error}"), block.device)
        yield cell, {"pairing": pairing, **found}


# --- A scored mask ----------------------------------------------------------------------------------------------------


class _Setting:
    """A criterion on the dense network of a block with all that it may look at; `training` is what that has cost, and
    `before` the seconds that ended processes have spent on it."""

    def __init__(self, block: Block, rule: Criterion, dtype: torch.dtype, report: Report) -> None:
        include = block.cell.scoring.include

        def redraw(seed: int) -> Tensors:
            module = block.network(seed, block.cell.model.drawn)
            other = Network(module.to(block.device), bn=rule.bn, dtype=dtype, include=include)
            return {**other.rest, **other.weights}

        self.block, self.rule, self.training, self._report = block, rule, Meter(block.device), report
        if rule.bn_warmup:
            with self.training:
                module = block.warmed(block.network(), rule.bn_warmup)
            self.network = Network(module, bn=rule.bn, dtype=dtype, include=include)
        else:
            self.network = block.scored_network(rule.bn, dtype)
        self.sources = Sources(redraw=redraw)
        self.budget: dict[str, Any] = {}
        self.before = 0.0
        if rule.trains and not rule.gradual(1.0):
            with self.training:
                dense, self.before = trained(block, rule, report)
            weights, self.budget = weights_of(dense, self.network), budget(rule, block.cell.recipe.epochs, dense)
            self.sources = replace(self.sources, trained=lambda: dict(weights))

    def masks(self, densities: Sequence[float], *, invert: bool = False, taken: Taken | None = None) -> list[Pruned]:
        if self.rule.gradual(1.0):
            self._train_gradually(*densities)
        images = self.rule.examples_per_class
        batches = self.block.scoring_batches(images, self.rule.batch_count()) if images else []
        return prune_all(
            self.network,
            self.rule,
            densities,
            batches=tuple(batches),
            seed=self.block.cell.seed_for("noise"),
            input_shape=self.block.shape,
            sources=self.sources,
            invert=invert,
            at_once=self.block.cell.scoring.batch,
            taken=taken,
        )

    def _train_gradually(self, density: float) -> None:
        """Before anything is scored, so that training computes as it does for the record."""
        gradual, epochs = self.rule.gradual(density), self.block.cell.recipe.epochs
        assert gradual is not None
        with self.training:
            sparse, self.before = gradually(self.block, gradual, self._report)
        weights = weights_of(sparse, self.network)
        self.sources = replace(self.sources, gradual=lambda density: dict(weights))
        self.budget = {"dense_epochs": 0, "total_epochs": epochs, "gradual": asdict(gradual)}


def scored(
    cells: Sequence[Cell], block: Block, rule: Criterion, report: Report, taken: Taken | None = None
) -> list[tuple[Pruned, dict[str, float]]]:
    """Masks of each cell with what they cost, in their order. A one-shot criterion is given all densities at once.

    `cells` differ in their sparsity alone. A criterion that looks at trained weights gets those of one training of the
    dense network, which is part of its cost. A gradient that is lent to it (`taken`) counts as if it had taken it.
    InapplicableError: the cells' ablation means nothing to the criterion.
    """
    ablation, dtype = cells[0].ablation, getattr(torch, cells[0].scoring.dtype)
    if ablation in IN_BATCH and not rule.examples_per_class:
        raise InapplicableError(f"{rule.name} is data-free: {ablation} changes a scoring batch, which plays no part")
    own = _Setting(block, rule, dtype, report)
    trainings = [own.training]
    if (giver := donor(rule)) is not None:
        other = _Setting(block, giver, dtype, report)
        trainings.append(other.training)
        layers = donor_layers(rule, lambda _, density: other.masks([density])[0].masks)
        own.sources = replace(own.sources, layers=layers)
    one_shot = getattr(rule, "steps", 0) == 1  # one with rounds scores anew on the way to each density
    found = []
    for group in [cells] if one_shot else [[cell] for cell in cells]:
        report({"stage": f"scoring {', '.join(f'{c.sparsity:g}' for c in group)}"})
        lent = taken.lent if taken else 0
        with Meter(own.network.device) as scoring:
            results = own.masks([1 - c.sparsity for c in group], invert=ablation == "invert", taken=taken)
        peak = max(meter.peak_bytes for meter in [*trainings, scoring])
        borrowed = 0.0
        if taken and taken.lent > lent:
            peak, borrowed = max(peak, taken.peak_bytes), taken.seconds
        elif taken:
            taken.peak_bytes = peak
        for result in results:
            result.receipt.update(own.budget)
            # each cell is charged the whole training and scoring, as if it were alone
            seconds = own.before + sum(meter.seconds for meter in trainings) + borrowed + result.seconds
            images = rule.examples_per_class * rule.batch_count() * block.dataset.groups
            found.append((result, {"scoring_seconds": seconds, "scoring_peak_bytes": peak, "scoring_images": images}))
    return found


def _given(block: Block, rule: Criterion) -> dict[str, Any]:
    """What a receipt says of the images that a criterion was given."""
    found: dict[str, Any] = {}
    if images := rule.examples_per_class * rule.batch_count():
        found["batch"] = block.batch_digest(images)
    if rule.bn_warmup:
        found["bn_warmup"] = block.warmup_told(rule.bn_warmup)
    giver = donor(rule)
    if giver and giver.examples_per_class:
        found["donor_batch"] = block.batch_digest(giver.examples_per_class * giver.batch_count())
    return found


class _Norms:
    """Gradient norms of a block's network, dense and under masks, in float32: a norm needs no more.

    The fastest of these passes, each one forward and one backward, is the unit that the time of scoring is compared to.
    `in_block` are keys of other prunings of the block: the norm of the dense network is taken from their receipts; or
    from the gradient that scoring has `taken`, where that is of the same images.
    """

    def __init__(self, store: Store, block: Block, in_block: Sequence[str], taken: Taken | None) -> None:
        self._store, self._block, self._in_block, self._taken = store, block, in_block, taken
        self._seconds: list[float] = []

    @cached_property
    def _network(self) -> Network:
        # by the statistics of the batch, as the training that follows begins
        return self._block.scored_network("train", torch.float32)

    @cached_property
    def _batches(self) -> list[Batch]:
        return self._block.norm_batches()

    @cached_property
    def dense(self) -> float | None:
        known = dense_norm(self._store, self._in_block)
        return self.under({}) if known is None else known

    def under(self, masks: Tensors) -> float | None:
        device, lent = self._network.device, self._taken.lent if self._taken else 0
        there = {n: m.to(device) for n, m in masks.items()}
        began = clock(device)
        norm = gradient_norm(self._network, self._batches, there, taken=self._taken)
        if not self._taken or self._taken.lent == lent:
            self._seconds.append(clock(device) - began)
        return norm

    def unit(self) -> dict[str, float]:
        return {"gradient_seconds": min(self._seconds), "gradient_images": sum(len(y) for _, y in self._batches)}


def dense_norm(store: Store, prunings: Sequence[str]) -> float | None:
    """The norm of the dense network's gradient, where a receipt of one of these prunings of its block has it."""
    for receipt in filter(None, (store.get("receipts", key) for key in prunings)):
        norm = ((receipt["receipt"] or {}).get("gradient_norm") or {}).get("before")
        if norm is not None:
            return float(norm)
    return None


def _with_mask(store: Store, cell: Cell, result: Pruned, more: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt of a mask that is in the store. The sparsity is the suite's own number, without binary noise.

    The mask file holds the receipt without its statistics, whose last digit depends on the number of threads, and
    without what is said of the network: equal masks are one file.
    """
    assert cell.criterion is not None
    variant = cell.criterion.name.partition("@")[2]
    receipt = {**result.receipt, "requested_sparsity": cell.sparsity, "variant": variant, **more}
    exact = {k: v for k, v in receipt.items() if k not in (*STATISTICS, *OF_NETWORK)}
    return {**receipt, "mask": store.put_mask(pack(result.masks, exact))}


# --- A parent's mask --------------------------------------------------------------------------------------------------


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
        raise DataError(
            "the masks were made for other weights or images; --retry failed makes them anew (where a dataset of yours "
            "gives other images each time, mend that first)"
        )
