"""Metrics computed: of cells and of pairs of cells as tasks of a study, and of any module as a library.

A metric that raises costs its own number only: the entry says why it is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from pabench import registry
from pabench.block import Block
from pabench.cell import Cell
from pabench.dataset import steps_per_epoch
from pabench.digest import source_digest
from pabench.errors import Aborted, DataError, SuiteError
from pabench.library import Batches, as_batches, shape_of_input
from pabench.masking import unpack
from pabench.measurement import Measurements, MetricSpec, Of, entry, file
from pabench.metric import CurveMetric, MaskMetric, Metric, MetricContext, Numbers, PairMetric, Training, checked
from pabench.network import Network, prunable_weights, scoring_mode
from pabench.parameters import create
from pabench.selection import Tensors
from pabench.store import Store
from pabench.survey import pairs as pairs_of
from pabench.survey import single

Report = Callable[[dict[str, Any]], None]


def measure(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    metric: str | MaskMetric,
    *,
    batch: Batches | None = None,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    **parameters: Any,
) -> dict[str, float | None]:
    """Figures of a metric for the model under masks (True = kept), by name; None where one is not defined.

    Masks by parameter name, as `pabench.prune` gives them; a weight without one counts as kept. `batch` and
    `input_shape` as in `score`. Everything is computed in float64; the model stays as it is. SuiteError: unknown metric
    or parameter, or one that needs what is not given.
    """
    found = metric if isinstance(metric, Metric) else create(registry.plugin("metrics", metric), parameters, metric)
    if not isinstance(found, MaskMetric):
        raise SuiteError(f"{found.name} is no metric of one mask: call its measure() yourself")
    if unknown := [n for n in masks if n not in prunable_weights(model)]:
        raise SuiteError(f"{unknown[0]}: the model has no prunable weight of this name")
    network = Network(model, bn=found.bn)
    shape = shape_of_input(model, batch, input_shape)
    ctx = MetricContext(lambda: _prepared(as_batches(batch), network), shape, seed)
    return _measured(found, _complete(masks, network), network, ctx)


def cells(payload: Mapping[str, Any], report: Report) -> None:
    """Metrics of masks and of trainings, for cells of one block and criterion, as far as they lack them."""
    work = _Work(payload, report)
    for cell in work.cells:
        wanted = [(of, spec) for of, spec in single([cell], work.metrics) if work.lacks(of, spec)]
        receipt = work.receipt(cell) if cell.criterion else {}
        record = work.store.get("records", cell.key)
        entries, seconds = [], {}
        for of, spec in wanted:
            report({"stage": f"{spec.title} at {cell.sparsity:g}"})
            began = time.perf_counter()
            if spec.stage == "mask" and receipt is not None:
                entries.append(work.entry(of, spec, partial(work.of_mask, cell=cell, receipt=receipt)))
            elif spec.stage == "training" and record is not None and record["status"] == "ok":
                entries.append(work.entry(of, spec, partial(work.of_training, record=record)))
            seconds[spec.name] = time.perf_counter() - began
        work.commit(entries, seconds)


def pairs(payload: Mapping[str, Any], report: Report) -> None:
    """Metrics of pairs of masks, for the cells of one block, as far as they lack them."""
    work = _Work(payload, report)
    for sparsity in dict.fromkeys(c.sparsity for c in work.cells):
        report({"stage": f"sparsity {sparsity:g}"})
        masks = {}
        for cell in work.cells:
            if cell.sparsity == sparsity and (receipt := work.receipt(cell)) is not None:
                masks[cell.pruning_key] = work.masks(receipt)
        some = [c for c in work.cells if c.pruning_key in masks and c.sparsity == sparsity]
        began = time.perf_counter()
        entries = [
            work.entry(of, spec, partial(_compared, first=masks[of[0]], second=masks[of[1]]))
            for of, spec in pairs_of(some, work.metrics)
            if work.lacks(of, spec)
        ]
        work.commit(entries, {"pairs": time.perf_counter() - began})


class _Work:
    """What the tasks of one block share."""

    def __init__(self, payload: Mapping[str, Any], report: Report) -> None:
        for path in payload.get("plugins", ()):
            registry.try_drop_in(path)
        self.store = Store(payload["store"])
        self.cells = [Cell.from_json(c) for c in payload["cells"]]
        self.metrics = [MetricSpec(**m) for m in payload["metrics"]]
        self.block = Block(self.cells[0], torch.device(payload["device"]))
        self._known = Measurements(self.store.records("metrics").values())
        self._retry = bool(payload.get("retry"))
        self._networks: dict[str, Network] = {}

    def lacks(self, of: Of, spec: MetricSpec) -> bool:
        return self._known.lacks(of, spec, retry=self._retry)

    def receipt(self, cell: Cell) -> dict[str, Any] | None:
        """The receipt of a cell's masks; None where it has none."""
        found = self.store.get("receipts", cell.pruning_key)
        masked = found is not None and found["status"] == "ok" and "mask" in found["receipt"]
        return found["receipt"] if found is not None and masked else None

    def masks(self, receipt: Mapping[str, Any]) -> Tensors:
        return unpack(self.store.get_mask(receipt["mask"]))[0]

    def entry(self, of: Of, spec: MetricSpec, numbers: Callable[[Any], Numbers]) -> dict[str, Any]:
        """A metric's figures, or why there are none; whatever it raises, `numbers` is its own business."""
        try:
            return entry(of, spec, checked(numbers(rebuilt(spec)), spec.name))
        except Aborted:
            raise
        except BaseException as error:
            return entry(of, spec, {}, f"{type(error).__name__}: {error}")

    def of_mask(self, metric: MaskMetric, cell: Cell, receipt: Mapping[str, Any]) -> Numbers:
        network = self._network(metric.bn)
        masks = _complete(self.masks(receipt) if cell.criterion else {}, network)
        shape = tuple(self.block.dataset.shape)
        ctx = MetricContext(lambda: _prepared(self._images, network), shape, cell.seed_for("metrics"), receipt)
        return _measured(metric, masks, network, ctx)

    def of_training(self, metric: CurveMetric, record: Mapping[str, Any]) -> Numbers:
        curve = record["result"]["curve"]
        steps = steps_per_epoch(len(self.block.train.split), record["cell"]["recipe"]["batch_size"])
        return metric.measure(Training(tuple(curve["loss"]), tuple(curve["top1"]), steps))

    def commit(self, entries: list[dict[str, Any]], seconds: dict[str, float]) -> None:
        if entries:
            data = file(entries, seconds)
            self.store.commit("metrics", data["key"], data, replace_failed=True)

    @cached_property
    def _images(self) -> Any:
        return self.block.norm_batches()

    @cached_property
    def _module(self) -> nn.Module:
        return self.block.network().to(self.block.device)

    def _network(self, bn: str) -> Network:
        if bn not in self._networks:
            self._networks[bn] = Network(self._module, bn=bn)
        return self._networks[bn]


def rebuilt(spec: MetricSpec) -> MaskMetric | PairMetric | CurveMetric:
    """The metric of a spec, from its name and all of its parameters."""
    cls = registry.plugin("metrics", spec.name)
    if source_digest(cls) != spec.source:
        raise DataError(f"{spec.name}: its file has changed since the run began; start the run again")
    found: Any = create(cls, spec.args, spec.name)
    return found


def _compared(metric: PairMetric, first: Tensors, second: Tensors) -> Numbers:
    return metric.measure(first, second)


def _measured(metric: MaskMetric, masks: Tensors, network: Network, ctx: MetricContext) -> dict[str, float | None]:
    with scoring_mode(network.device):
        return checked(metric.measure(masks, network, ctx), metric.name)


def _complete(masks: Mapping[str, Tensor], network: Network) -> Tensors:
    """A mask for each prunable weight, on the network's device."""
    return {
        n: masks[n].to(network.device) if n in masks else torch.ones_like(w, dtype=torch.bool)
        for n, w in network.weights.items()
    }


def _prepared(batches: Sequence[Any], network: Network) -> tuple[Any, ...]:
    return tuple((x.to(device=network.device, dtype=network.dtype), y.to(network.device)) for x, y in batches)
