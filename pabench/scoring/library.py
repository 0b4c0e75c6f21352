"""`pabench.score`, `pabench.prune` and `pabench.compact`: the library for people with their own training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pabench import registry
from pabench.errors import PluginError, SuiteError
from pabench.networks.compact import Compacted, compacted
from pabench.networks.network import Network, Tensors, scoring_mode
from pabench.networks.private import copied
from pabench.scoring import degenerate, dense
from pabench.scoring.apply import apply, remove
from pabench.scoring.arguments import refuse_no_masks, refuse_wrong, shown
from pabench.scoring.batch import Batches, as_batches, refuse_misfit, shape_of_input, told
from pabench.scoring.context import Sources
from pabench.scoring.criterion import Criterion, ScoreCriterion, checked
from pabench.scoring.donor import donor_layers, precision
from pabench.scoring.masks import Masks
from pabench.scoring.pruning import context, prune_all, refuse
from pabench.scoring.receipt import Pruned

T = TypeVar("T")


def score(
    model: nn.Module,
    criterion: str | Criterion,
    *,
    batch: Batches | None = None,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
    trained: Mapping[str, Tensor] | None = None,
    include: Sequence[str] = (),
    at_once: int | None = None,
    strict: bool = False,
    **parameters: Any,
) -> Tensors:
    """A score for every prunable weight of the dense model, by parameter name; the highest are kept.

    `batch` is (x, y) or a list of them, x float (N, C, H, W), y int64 (N,); the loss is the sum of the batches' means.
    Data-free criteria take the shape of their input from it, from `input_shape` (C, H, W) or from the model.
    Scores are float32 where that gives float64's masks (`Criterion.precision`) and holds the scores, else float64,
    unless `dtype` says which; a float64 model is scored in float64. The model, its buffers, modes and gradients and the
    global random state stay as they are. What the network draws of its own comes from `seed`. `trained` is the
    `state_dict()` of the model after training, for a criterion that looks at trained weights. `include` adds weights of
    `attention` (`nn.MultiheadAttention`) and `recurrent` layers to those of convolutions and linear layers.

    `at_once` bounds the memory: so many images are in one graph at most. With BatchNorm in eval mode the scores are the
    same up to rounding; in train mode each part of a batch, class-balanced, has statistics of its own, and the losses
    of the parts are added up.

    DenseWarning: much of the network stays dense. DegenerateWarning: most scores are 0, or some are infinite; with
    `strict` it is a SuiteError. SuiteError: unknown criterion or parameter, a batch that does not fit, a network that
    cannot be scored as it is. PluginError: the criterion broke its contract.
    """
    how = {"seed": seed, "input_shape": input_shape, "dtype": dtype, "include": include, "at_once": at_once}
    refuse_wrong(model, **how)
    seed = int(seed)  # numpy's have an end
    rule = _criterion(criterion, parameters)
    if not isinstance(rule, ScoreCriterion):
        raise SuiteError(f"{rule.name} gives masks and no scores; use pabench.prune")
    batches = as_batches(batch)
    shape = shape_of_input(model, batches, input_shape)

    def scored(dtype: torch.dtype) -> tuple[Network, Tensors, list[str]]:
        network = Network(model, bn=rule.bn, dtype=dtype, include=include)
        if rule.examples_per_class:
            refuse_misfit(network, model, batches, seed)
        with told(model, batches, rule), scoring_mode(network.device, seed):
            sources = _sources(network, trained)
            ctx = context(network, rule, batches, seed=seed, input_shape=shape, sources=sources, at_once=at_once or 0)
            refuse(rule, ctx)
            scores = checked(rule.score(ctx), ctx.weights, rule.name)
        return network, scores, degenerate.of_scores(scores)

    network, scores, found = _needed(rule, dtype, scored)
    degenerate.tell(found, rule.name, network, strict=strict)
    dense.warn(network.name, dense.told(network), sum(s.numel() for s in scores.values()), include)
    return scores


def prune(
    model: nn.Module,
    criterion: str | Criterion,
    *,
    sparsity: float,
    batch: Batches | None = None,
    seed: int = 0,
    input_shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
    trained: Mapping[str, Tensor] | None = None,
    include: Sequence[str] = (),
    at_once: int | None = None,
    strict: bool = False,
    **parameters: Any,
) -> Masks:
    """Masks by parameter name, bool, True = kept, with exactly N - floor(sparsity * N) ones; the model stays as it is.

    With `pattern="channels"` there are at most so many, in whole channels; the receipt has both numbers.

    Arguments and errors as in `score`; ties that the order of the parameters decided are warned of, too. The result is
    a dict with a `receipt` (what was asked, what came out, how many weights a tie decided), `flags` (degenerate
    ranking, layer collapse) and `save(path)`.
    """
    how = {"seed": seed, "input_shape": input_shape, "dtype": dtype, "include": include, "at_once": at_once}
    refuse_wrong(model, sparsity=sparsity, **how)
    sparsity, seed = float(sparsity), int(seed)  # numpy's are no JSON
    rule = _criterion(criterion, parameters)
    batches = as_batches(batch)
    shape = shape_of_input(model, batches, input_shape)

    def pruned_by(rule: Criterion, density: float, dtype: torch.dtype, **more: Any) -> tuple[Network, Pruned]:
        network = Network(model, bn=rule.bn, dtype=dtype, include=include)
        if rule.examples_per_class:
            refuse_misfit(network, model, batches, seed)
        sources = replace(_sources(network, trained), **more)
        with told(model, batches, rule):
            found = prune_all(
                network,
                rule,
                [density],
                batches=batches,
                seed=seed,
                input_shape=shape,
                sources=sources,
                at_once=at_once or 0,
            )
        return network, found[0]

    def pruned_in(dtype: torch.dtype) -> tuple[Network, Pruned, list[str]]:
        layers = donor_layers(rule, lambda donor, density: pruned_by(donor, density, dtype)[1].masks)
        network, pruned = pruned_by(rule, 1 - sparsity, dtype, layers=layers)
        return network, pruned, degenerate.of_flags(pruned.flags)

    network, pruned, found = _needed(rule, dtype, pruned_in)
    degenerate.tell(found, rule.name, network, strict=strict)
    dense.warn(network.name, pruned.receipt["dense"], pruned.receipt["total"], include)
    device = next(model.parameters()).device
    return Masks({n: m.to(device) for n, m in pruned.masks.items()}, pruned.receipt, pruned.flags)


def compact(model: nn.Module, masks: Mapping[str, Tensor], *, input_shape: Sequence[int] | None = None) -> Compacted:
    """A smaller network that gives the same as `model` under `masks`, before, in and after training.

    It is `.module`: a copy without the channels that are 0 for good or that no output depends on, with its own `.masks`
    applied (as `apply` does). `.restore(model)` writes its weights, trained or not, into a network of full size, under
    their old names. The model stays as it is. `input_shape` (C, H, W) is needed where the model does not say it.

    pabench.DeclinedError: there is no such copy, or it would be no smaller; the message says why. SuiteError: masks
    that do not fit.
    """
    refuse_wrong(model, input_shape=input_shape)
    refuse_no_masks(masks)
    bare = remove(apply(copied(model), masks))
    # a tied weight has two names, of which a network tells the first
    first = {id(weight): name for name, weight in nn.Module.named_parameters(model)}
    masks = {first[id(model.get_parameter(name))]: mask for name, mask in masks.items()}
    shape = shape_of_input(model, [], input_shape)
    if not shape:
        raise SuiteError("the shape of the input is not known; give input_shape=(C, H, W)")
    found = compacted(bare, masks, shape)
    apply(found.module, found.masks)
    return found


def _needed(
    rule: Criterion, dtype: torch.dtype | None, scored: Callable[[torch.dtype], tuple[Network, T, list[str]]]
) -> tuple[Network, T, list[str]]:
    """What `scored` gives in the type that was asked for, or that the criterion needs, with what makes it mean little.

    Where nobody asked and float32 gives such a ranking, or none, it is made again in float64.
    """
    own = getattr(torch, precision(rule)) if dtype is None else dtype
    if dtype is not None or own == torch.float64:
        return scored(own)
    try:
        made = scored(own)
    except PluginError:  # scores that are no number
        return scored(torch.float64)
    network, _, found = made
    return scored(torch.float64) if found and network.dtype != torch.float64 else made


def _criterion(criterion: str | Criterion, parameters: Mapping[str, Any]) -> Criterion:
    if isinstance(criterion, str):
        rule = registry.criterion(criterion, parameters)
    elif not isinstance(criterion, Criterion):
        raise SuiteError(f"criterion: expected a name, or an instance of a Criterion, not {shown(criterion)}")
    else:
        rule = replace(criterion, **parameters) if parameters else criterion
    if rule.bn_warmup:
        raise SuiteError(f"{rule.name}: bn_warmup takes the images of a study; here, pass yours through model.train()")
    return rule


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
