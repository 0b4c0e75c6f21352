"""A metric of any module under masks: `pabench.measure`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pabench import registry
from pabench.diagnostics.metric import MaskMetric, Metric, MetricContext, checked
from pabench.errors import SuiteError
from pabench.networks.kinds import INCLUDED, dense
from pabench.networks.network import Network, Tensors, prunable_weights, scoring_mode
from pabench.networks.zoo.planted import hidden_in
from pabench.parameters import create
from pabench.scoring.apply import fitting_mask
from pabench.scoring.arguments import refuse_no_masks, refuse_wrong
from pabench.scoring.batch import Batches, as_batches, on_network, refuse_misfit, shape_of_input, told
from pabench.scoring.context import Batch


def measure(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    metric: str | MaskMetric,
    *,
    batch: Batches | None = None,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    include: Sequence[str] = (),
    **parameters: Any,
) -> dict[str, float | None]:
    """Figures of a metric for the model under masks (True = kept), by name; None where one is not defined.

    Masks by parameter name, as `pabench.prune` gives them; a weight without one counts as kept. `batch`, `input_shape`
    and `include` as in `score`. Everything is computed in float64; the model stays as it is. SuiteError: unknown metric
    or parameter, one that needs what is not given, or a mask that is none of its weight.
    """
    refuse_wrong(model, seed=seed, input_shape=input_shape, include=include)
    refuse_no_masks(masks)
    seed = int(seed)
    found = metric if isinstance(metric, Metric) else create(registry.plugin("metrics", metric), parameters, metric)
    if not isinstance(found, MaskMetric):
        raise SuiteError(f"{found.name} is no metric of one mask: call its measure() yourself")
    weights = prunable_weights(model, include)
    if unknown := [n for n in masks if n not in weights]:
        what = next((k for k, sizes in dense(model, ()).items() if unknown[0] in sizes and k in INCLUDED), "")
        remedy = f"; give include={(*include, what)}" if what else ""
        raise SuiteError(f"{unknown[0]}: the model has no prunable weight of this name{remedy}")
    masks = {n: fitting_mask(n, mask, weights[n]) for n, mask in masks.items()}
    network, batches = Network(model, bn=found.bn, include=include), as_batches(batch)
    shape = shape_of_input(model, batches, input_shape)
    ctx = MetricContext(lambda: prepared(batches, network), shape, seed, ticket=hidden_in(model))
    if batches:
        refuse_misfit(network, model, batches, seed)
    with told(model, batches):
        return measured(found, complete(masks, network), network, ctx)


def measured(metric: MaskMetric, masks: Tensors, network: Network, ctx: MetricContext) -> dict[str, float | None]:
    """What a metric says, as finite numbers or None."""
    with scoring_mode(network.device, ctx.seed):
        return checked(metric.measure(masks, network, ctx), metric.name)


def complete(masks: Mapping[str, Tensor], network: Network) -> Tensors:
    """A mask for each prunable weight, on the network's device."""
    return {
        n: masks[n].to(network.device) if n in masks else torch.ones_like(w, dtype=torch.bool)
        for n, w in network.weights.items()
    }


def prepared(batches: Iterable[Batch], network: Network) -> tuple[Batch, ...]:
    """Batches on the network's device, in its dtype."""
    return tuple(on_network(batch, network) for batch in batches)
