"""Metrics of a study: of cells and of pairs of cells, as its tasks.

A metric that raises costs its own number only: the entry says why it is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import compress
from typing import Any

from pabench import registry
from pabench.data.cache import trust
from pabench.data.dataset import steps_per_epoch
from pabench.diagnostics.measure import complete, measured, prepared
from pabench.diagnostics.metric import CurveMetric, MaskMetric, MetricContext, Numbers, PairMetric, Training, checked
from pabench.errors import Aborted, DataError
from pabench.networks.network import Network, Tensors
from pabench.networks.zoo.planted import hidden_in
from pabench.parameters import create
from pabench.scoring.masks import unpack
from pabench.source import source_digest
from pabench.store.figures import Of, entry, file, file_key, of_cells, pairs as pairs_of, single
from pabench.store.state import masked
from pabench.suite.cell import Cell
from pabench.suite.specs import MetricSpec
from pabench.training.block import Block
from pabench.training.faults import raise_if_crowded
from pabench.training.loop import Report
from pabench.training.prune import dense_norm
from pabench.training.stage import device_of, failure, load_plugins, store_of


def cells(payload: Mapping[str, Any], report: Report) -> None:
    """Metrics of masks and of trainings, for cells of one block and criterion, as far as they lack them."""
    work = _Work(payload, single)
    for cell in work.cells:
        receipt = masked(work.store, cell.pruning_key) if cell.criterion else {}
        record = work.store.get("records", cell.key)
        there = {"mask": receipt is not None, "training": record is not None and record["status"] == "ok"}
        entries, seconds = [], {}
        for of, spec in work.lacking((of, spec) for of, spec in single([cell], work.metrics) if there[spec.stage]):
            report({"stage": f"{spec.title} at {cell.sparsity:g}"})
            began = time.perf_counter()
            measure, *what = (work.of_mask, cell, receipt) if spec.stage == "mask" else (work.of_training, record)
            entries.append(work.entry(of, spec, measure, *what))
            seconds[spec.name] = time.perf_counter() - began
        work.commit(entries, seconds)


def pairs(payload: Mapping[str, Any], report: Report) -> None:
    """Metrics of pairs of masks, for the cells of one block, as far as they lack them."""
    work = _Work(payload, pairs_of)
    for sparsity in dict.fromkeys(c.sparsity for c in work.cells):
        report({"stage": f"sparsity {sparsity:g}"})
        masks = {}  # of one sparsity at a time: those of all may not fit
        for cell in work.cells:
            if cell.sparsity == sparsity and (receipt := masked(work.store, cell.pruning_key)) is not None:
                masks[cell.pruning_key] = work.masks(receipt)
        there = [c for c in work.cells if c.sparsity == sparsity and c.pruning_key in masks]
        began = time.perf_counter()
        lacking = work.lacking(pairs_of(there, work.metrics))
        entries = [work.entry((one, other), spec, _of_pair, masks[one], masks[other]) for (one, other), spec in lacking]
        work.commit(entries, {"pairs": time.perf_counter() - began})


def rebuilt(spec: MetricSpec) -> MaskMetric | PairMetric | CurveMetric:
    """The metric of a spec, from its name and all of its parameters."""
    cls = registry.plugin("metrics", spec.name)
    if source_digest(cls) != spec.source:
        raise DataError(f"{spec.name}: its file has changed since the run began; start the run again")
    found: Any = create(cls, spec.args, spec.name)
    return found


def _of_pair(metric: PairMetric, first: Tensors, second: Tensors) -> Numbers:
    return metric.measure(first, second)


class _Work:
    """A task's cells of one block, what they lack of all that is `listed`, and what their metrics look at."""

    def __init__(self, payload: Mapping[str, Any], listed: Callable[..., Iterator[tuple[Of, MetricSpec]]]) -> None:
        load_plugins(payload)
        trust(payload.get("hashed", {}))
        self._payload = payload
        self.store = store_of(payload)
        self.cells = [Cell.from_json(c) for c in payload["cells"]]
        self.metrics = [MetricSpec(**m) for m in payload["metrics"]]
        self._block = Block(self.cells[0], device_of(payload))
        wanted = compress(listed(self.cells, self.metrics), map(int, payload["chosen"]))
        self._wanted = {(of, spec.name) for of, spec in wanted}
        self._retry = bool(payload.get("retry"))
        # all files are read where another run may have measured since the task was made: it takes seconds of many
        theirs = self.store.each("metrics") if self.store.taken_over(payload["key"]) else ()
        self._known = of_cells(theirs, self.cells)
        self._in_block = payload.get("block", ())
        self._images = cache(self._block.norm_batches)
        # in float64, in each mode of BatchNorm once for all metrics that use it
        include = self.cells[0].scoring.include  # one for all cells of a suite
        self._ticket = cache(lambda: hidden_in(self._block.network()))
        self._network = cache(lambda bn: Network(self._block.network().to(self._block.device), bn=bn, include=include))

    def entry(self, of: Of, spec: MetricSpec, measure: Callable[..., Numbers], *what: Any) -> dict[str, Any]:
        """What `measure(metric, *what)` gives, or why there are no figures: a metric may raise whatever it likes."""
        try:
            return entry(of, spec, checked(measure(rebuilt(spec), *what), spec.name))
        except Aborted:
            raise
        except BaseException as error:
            raise_if_crowded(error, self._payload)
            return entry(of, spec, {}, failure(error, self._block.device)["message"])

    def lacking(self, asked: Iterable[tuple[Of, MetricSpec]]) -> list[tuple[Of, MetricSpec]]:
        """What of this is to be measured, once: nothing where an earlier attempt at the task did, nor what another run
        has measured meanwhile."""
        listed = [(of, spec) for of, spec in asked if (of, spec.name) in self._wanted]
        found = [(of, spec) for of, spec in listed if self._known.lacks(of, spec, retry=self._retry)]
        self._wanted -= {(of, spec.name) for of, spec in listed}
        there = self.store.get("metrics", file_key((of, spec.identity) for of, spec in found)) if found else None
        return found if there is None or (self._retry and there["status"] == "failed") else []

    def masks(self, receipt: Mapping[str, Any]) -> Tensors:
        return unpack(self.store.get_mask(receipt["mask"]))[0]

    def of_mask(self, metric: MaskMetric, cell: Cell, receipt: Mapping[str, Any]) -> Numbers:
        network = self._network(metric.bn)
        if cell.criterion is None:  # what receipts of its block say of the dense network
            norm = dense_norm(self.store, self._in_block)
            receipt = {"gradient_norm": {"before": norm, "after": norm}} if norm is not None else receipt
        masks = complete(self.masks(receipt) if cell.criterion else {}, network)
        ctx = MetricContext(
            lambda: prepared(self._images(), network),
            self._block.shape,
            cell.seed_for("metrics"),
            receipt,
            lambda: prepared([self._block.held_out()], network),
            self._ticket(),
        )
        return measured(metric, masks, network, ctx)

    def of_training(self, metric: CurveMetric, record: Mapping[str, Any]) -> Numbers:
        curve = record["result"]["curve"]
        steps = steps_per_epoch(len(self._block.train.split), record["cell"]["recipe"]["batch_size"])
        accuracies = tuple(curve.get("top1", ()))  # regression has none
        return metric.measure(Training(tuple(curve["loss"]), accuracies, steps))

    def commit(self, entries: list[dict[str, Any]], seconds: dict[str, float]) -> None:
        if entries:
            data = file(entries, seconds)
            self.store.commit("metrics", data["key"], data, replace_failed=True)
