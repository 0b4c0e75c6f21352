"""`pabench.score` and `pabench.prune`: the library for people with their own training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pabench import registry
from pabench.errors import SuiteError
from pabench.networks.network import Network, Tensors, scoring_mode
from pabench.scoring import dense
from pabench.scoring.context import Batch, Sources
from pabench.scoring.criterion import Criterion, ScoreCriterion, checked
from pabench.scoring.donor import donor_layers
from pabench.scoring.masks import Masks
from pabench.scoring.pruning import context, prune_all, refuse
from pabench.scoring.receipt import Pruned

Batches = Batch | Sequence[Batch]


def score(
    model: nn.Module,
    criterion: str | Criterion,
    *,
    batch: Batches | None = None,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float64,
    trained: Mapping[str, Tensor] | None = None,
    include: Sequence[str] = (),
    **parameters: Any,
) -> Tensors:
    """A score for every prunable weight of the dense model, by parameter name; the highest are kept.

    `batch` is (x, y) or a list of them, x float (N, C, H, W), y int64 (N,); the loss is the sum of the batches' means.
    Data-free criteria take the shape of their input from it, from `input_shape` (C, H, W) or from the model.
    Scores are float64 unless `dtype` says float32; the model, its buffers, modes and gradients and the global random
    state stay as they are. `trained` is the `state_dict()` of the model after training, for a criterion that looks at
    trained weights. `include` adds weights of `attention` (`nn.MultiheadAttention`) and `recurrent` layers to those of
    convolutions and linear layers; a DenseWarning names what stays dense where that is much. SuiteError: unknown
    criterion or parameter. PluginError: the criterion broke its contract.
    """
    rule = _criterion(criterion, parameters)
    if not isinstance(rule, ScoreCriterion):
        raise SuiteError(f"{rule.name} gives masks and no scores; use pabench.prune")
    network = Network(model, bn=rule.bn, dtype=dtype, include=include)
    prunable = sum(w.numel() for w in network.weights.values())
    dense.warn(type(model).__name__, dense.told(network), prunable, include)
    with scoring_mode(network.device):
        shape, sources = shape_of_input(model, batch, input_shape), _sources(network, trained)
        ctx = context(network, rule, as_batches(batch), seed=seed, input_shape=shape, sources=sources)
        refuse(rule, ctx)
        return checked(rule.score(ctx), ctx.weights, rule.name)


def prune(
    model: nn.Module,
    criterion: str | Criterion,
    *,
    sparsity: float,
    batch: Batches | None = None,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float64,
    trained: Mapping[str, Tensor] | None = None,
    include: Sequence[str] = (),
    **parameters: Any,
) -> Masks:
    """Masks by parameter name, bool, True = kept, with exactly N - floor(sparsity * N) ones; the model stays as it is.

    Arguments as in `score`. The result is a dict with a `receipt` (what was asked, what came out, how many weights a
    tie decided), `flags` (degenerate ranking, collapsed layers) and `save(path)`.
    """
    if not 0 <= sparsity < 1:
        raise SuiteError(f"sparsity: {sparsity} is not in [0, 1); 0.9 removes 90 % of the weights")
    rule = _criterion(criterion, parameters)
    batches, shape = as_batches(batch), shape_of_input(model, batch, input_shape)

    def pruned_by(rule: Criterion, density: float, **more: Any) -> Pruned:
        network = Network(model, bn=rule.bn, dtype=dtype, include=include)
        sources = replace(_sources(network, trained), **more)
        return prune_all(network, rule, [density], batches=batches, seed=seed, input_shape=shape, sources=sources)[0]

    layers = donor_layers(rule, lambda donor, density: pruned_by(donor, density).masks)
    pruned = pruned_by(rule, 1 - sparsity, layers=layers)
    dense.warn(type(model).__name__, pruned.receipt["dense"], pruned.receipt["total"], include)
    device = next(model.parameters()).device
    return Masks({n: m.to(device) for n, m in pruned.masks.items()}, pruned.receipt, pruned.flags)


def as_batches(batch: Batches | None) -> tuple[Batch, ...]:
    if batch is None:
        return ()
    if isinstance(batch, tuple) and len(batch) == 2 and isinstance(batch[0], Tensor):
        return (batch,)
    return tuple((x, y) for x, y in batch)


def shape_of_input(model: nn.Module, batch: Batches | None, given: Sequence[int] | None) -> tuple[int, ...]:
    """(C, H, W): as given, of the batch, as timm says, or the width of a network that begins with a linear layer."""
    if given is not None:
        return tuple(given)
    if batches := as_batches(batch):
        return tuple(batches[0][0].shape[1:])
    config = getattr(model, "pretrained_cfg", None) or {}
    if config.get("input_size"):
        return tuple(config["input_size"])
    first = next((m for m in model.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))), None)
    return (first.in_features,) if isinstance(first, nn.Linear) else ()


def _criterion(criterion: str | Criterion, parameters: Mapping[str, Any]) -> Criterion:
    if isinstance(criterion, Criterion):
        return replace(criterion, **parameters) if parameters else criterion
    return registry.criterion(criterion, parameters)


def _sources(network: Network, trained: Mapping[str, Tensor] | None) -> Sources:
    """Trained weights as the network's own are: names, shapes, dtype and device."""
    if trained is None:
        return Sources()
    for n, w in network.weights.items():
        if n not in trained or trained[n].shape != w.shape:
            found = f"is {tuple(trained[n].shape)}" if n in trained else "is missing"
            raise SuiteError(f"trained: {n} {found}, the model's weight is {tuple(w.shape)}")
    weights = {n: trained[n].detach().to(w) for n, w in network.weights.items()}
    return Sources(trained=lambda: dict(weights))
