"""One criterion examined on one network: what its scores look like, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pabench import registry
from pabench.networks.kinds import kind
from pabench.networks.network import Network, Tensors, prunable_weights, scoring_mode
from pabench.networks.operations import named
from pabench.scoring.context import Batch, ScoreContext, Sources
from pabench.scoring.criterion import Criterion, ScoreCriterion, checked, ranks
from pabench.scoring.meter import clock
from pabench.scoring.pruning import SkippedError, by_task, context
from pabench.store.verdict import DECLINES, Finding

NO_DERIVATIVE = re.compile(r"derivative for (?:aten::)?(\w+) is not implemented|forward AD with (?:aten::)?(\w+)")
TRIED_DENSITY = 0.1
"""Of a criterion that gives masks and no scores: the density of most comparisons."""
CONVOLUTIONS = {f"conv{transposed}{d}d" for transposed in ("", "_transpose") for d in (1, 2, 3)}
LAYERS = {"linear", "bilinear", *CONVOLUTIONS}
"""The functions that take a layer's weight as it is."""


def diagnose(
    network: Network,
    rule: Criterion,
    batches: Sequence[Batch],
    *,
    seed: int,
    input_shape: Sequence[int],
    sources: Sources | None = None,
    at_once: int = 0,
) -> Finding:
    """One scoring pass of the dense network, judged; whatever goes wrong is in the finding.

    A criterion that gives masks and no scores is asked for one of density 0.1, and layers with nothing left are doubts.
    """
    began = clock(network.device)
    try:
        with scoring_mode(network.device, seed), by_task(batches):
            ctx = context(network, rule, batches, seed=seed, input_shape=input_shape, sources=sources, at_once=at_once)
            found = _found(rule, ctx)
    except SkippedError as error:
        found = Finding(reason=f"{DECLINES}{error}")
    except Exception as error:  # a plugin's own, or torch's: either way the criterion cannot score this network
        found = Finding(reason=_reason(error))
    total = sum(w.numel() for w in network.weights.values())
    return replace(found, total=total, layers=len(network.weights), seconds=clock(network.device) - began)


def rounds_seen(
    first: Finding,
    network: Network,
    rule: Criterion,
    batches: Sequence[Batch],
    *,
    seed: int,
    input_shape: Sequence[int],
    sources: Sources | None = None,
    at_once: int = 0,
    seconds: float,
) -> Finding:
    """The finding of a first round, with what the later ones to density 0.1 add, as far as the `seconds` last.

    What a later round fails with is why the criterion cannot be used: its cells would fail with it.
    """
    if not ranks(rule) or first.reason or first.non_finite or rule.steps == 1:
        return first
    if not seconds:
        return replace(first, rounds=rule.steps)
    began, seen, where = clock(network.device), 0, f"of {rule.steps} to sparsity {1 - TRIED_DENSITY:g}"
    try:
        with scoring_mode(network.device), by_task(batches):
            ctx = context(network, rule, batches, seed=seed, input_shape=input_shape, sources=sources, at_once=at_once)
            for each in rule.rounds(ctx, TRIED_DENSITY):
                seen += 1
                if infinite := sum(int((~s.isfinite()).sum()) for s in each.scores.values()):
                    first = replace(first, non_finite=infinite, doubts=f"these in round {seen} {where}")
                if infinite or clock(network.device) - began > seconds:
                    break
    except Exception as error:  # a plugin's own, or torch's: a run would end here, too
        reason = f"in round {seen + 1} {where}: {_reason(error)}"
        first = Finding(total=first.total, layers=first.layers, reason=reason, seconds=first.seconds)
    return replace(first, rounds=rule.steps, seen=max(1, seen))


def _found(rule: Criterion, ctx: ScoreContext) -> Finding:
    if reason := rule.declines(ctx):
        return Finding(reason=f"{DECLINES}{reason}")
    with Watch() as watch:
        found = _figures(rule, ctx)
    doubts = filter(None, [rule.doubts(ctx), found.doubts])
    return replace(found, flat=watch.shares, doubts="; ".join(doubts))


def _figures(rule: Criterion, ctx: ScoreContext) -> Finding:
    if not ranks(rule):
        masks = rule.prune(ctx, TRIED_DENSITY)
        empty = [n for n, m in masks.items() if not m.any()]
        if not empty:
            return Finding()
        share = f"{len(empty)} of {len(masks)} layers"
        return Finding(doubts=f"at sparsity {1 - TRIED_DENSITY:g} nothing is left of {share} ({empty[0]})")
    if type(rule).rounds is not ScoreCriterion.rounds:
        # the first round scores the dense network, whatever the density
        scores: Tensors = next(iter(rule.rounds(ctx, TRIED_DENSITY))).scores
    else:
        scores = checked(rule.score(ctx), ctx.weights, rule.name)
    return Finding(
        zeros=sum(int((s == 0).sum()) for s in scores.values()),
        non_finite=sum(int((~s.isfinite()).sum()) for s in scores.values()),
        dead=tuple(n for n, s in scores.items() if not s.any()),
    )


def _reason(error: Exception) -> str:
    text = str(error)
    if found := NO_DERIVATIVE.search(text):
        return f"no second derivative: that of {found[1] or found[2]} is not implemented"
    return registry.complaint(error)


# --- Saturated activations --------------------------------------------------------------------------------------------


FLAT: Mapping[str, Callable[..., Tensor]] = {
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0, inplace=False: x >= max_val,
    "relu6": lambda x, inplace=False: x >= 6,
    "hardsigmoid": lambda x, inplace=False: x.abs() >= 3,
    "sigmoid": lambda x: x.sigmoid() * (1 - x.sigmoid()) == 0,
    "tanh": lambda x: 1 - x.tanh() ** 2 == 0,
    "clamp": lambda x, min=None, max=None: torch.zeros_like(x, dtype=torch.bool) if max is None else x >= max,
}
"""Where an operation that saturates passes no gradient on; the 0 of ReLU6 is ReLU's and does not count."""


class Watch(TorchFunctionMode):
    """Within it, inputs of saturating operations are counted, and those where the operation is flat."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[str] = Counter()
        self._flat: Counter[str] = Counter()

    @property
    def shares(self) -> dict[str, float]:
        """Share of flat inputs by operation, of those that have some."""
        return {name: n / self._seen[name] for name, n in self._flat.items() if n}

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        # of one dimension are parameters, such as a scale that is clamped: they saturate no activation
        if (flat := FLAT.get(named(func))) and isinstance(args[0], Tensor) and args[0].ndim > 1:
            try:
                self._flat[named(func)] += int(flat(args[0].detach(), *args[1:], **kwargs).sum())
                self._seen[named(func)] += args[0].numel()
            except RuntimeError:
                pass  # within vmap a tensor has no numbers
        return func(*args, **kwargs)


# --- What cannot be pruned --------------------------------------------------------------------------------------------


def unprunable(module: nn.Module, include: Sequence[str] = ()) -> dict[str, list[str]]:
    """Names of the parameters that no mask touches, by kind (`pabench.networks.kinds`)."""
    prunable = prunable_weights(module, include)
    found: dict[str, list[str]] = {}
    for name, _ in module.named_parameters():
        if name not in prunable:
            found.setdefault(kind(module, name), []).append(name)
    return found


def standardised(network: Network, x: Tensor) -> list[str]:
    """Prunable weights that no layer uses as they are, so that a pruned one is not 0 where it acts (StdConv)."""
    used: set[int] = set()

    class Uses(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if named(func) in LAYERS:
                # A part of a weight (attention's for queries, say) has its zeros where the weight has them.
                given = [t for t in [*args, *(kwargs or {}).values()] if isinstance(t, Tensor)]
                used.update(id(t if t._base is None else t._base) for t in given)
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Uses():
        network.call({**network.rest, **network.weights}, x.to(device=network.device, dtype=network.dtype))
    return [n for n, w in network.weights.items() if id(w) not in used]
