"""Masks of a form, which go with any score: n of m neighbouring inputs, or whole output channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import StringConstraints
from torch import Tensor
from torch.nn import functional as F

from pabench.errors import PluginError
from pabench.networks.network import Tensors
from pabench.scoring.selection import Selection, refuse_nan, select

CHANNELS = "channels"
Pattern = Annotated[str, StringConstraints(pattern=f"^({CHANNELS}|[1-9][0-9]?:[1-9][0-9]?|)$")]
"""`2:4`, `channels`, or nothing: single weights."""


def unfit(pattern: str, density: float) -> str:
    """Why there is no mask of the pattern at this density; "" where there is one.

    >>> unfit("2:4", 0.5), unfit("channels", 0.1), unfit("1:4", 0.5)
    ('', '', 'pattern 1:4 keeps 1 of 4 weights, a sparsity of 0.75, and 0.5 is asked for')
    """
    if ":" not in pattern:
        return ""
    n, m = map(int, pattern.split(":"))
    if abs(density - n / m) < 1e-9:
        return ""
    return f"pattern {pattern} keeps {n} of {m} weights, a sparsity of {1 - n / m:g}, and {1 - density:g} is asked for"


def formed(
    pattern: str, scores: Tensors, kept: int, within: Mapping[str, Tensor] | None = None, lowest: bool = False
) -> Selection:
    """The highest scores (or the `lowest`) that a mask of the pattern can keep; ties as in `select`.

    `within` as in `select`. PluginError: scores that are no number, or too few weights for the pattern.
    """
    refuse_nan(scores)
    scores = {n: -s for n, s in scores.items()} if lowest else scores
    alive = {n: within[n].bool() if within else torch.ones_like(s, dtype=torch.bool) for n, s in scores.items()}
    if pattern == CHANNELS:
        return _channels(scores, kept, alive)
    n, m = map(int, pattern.split(":"))
    return _n_of_m(scores, kept, alive, n, m)


# --- n of m -----------------------------------------------------------------------------------------------------------


def _n_of_m(scores: Tensors, kept: int, alive: Tensors, n: int, m: int) -> Selection:
    """At most n of each m neighbouring inputs at one place of a kernel, `kept` in all.

    Inputs are the second dimension of a weight. Where their number is no multiple of m, the last few of them (all three
    colours of an image) keep n at most, and of all such together the highest scores, so that the count is exact. With
    more to keep than the pattern takes, in rounds before the last one, the highest of the others stay as well.
    """
    ranks = {name: _ranks(s, alive[name], m) for name, s in scores.items()}
    whole = {name: _in_whole_groups(s, m) for name, s in scores.items()}
    first = {name: (rank < n) & alive[name] for name, rank in ranks.items()}
    masks = {name: first[name] & whole[name] for name in scores}
    left = kept - _count(masks)
    rest = {name: first[name] & ~whole[name] for name in scores}
    if left > _count(rest):
        masks = {name: masks[name] | rest[name] for name in scores}
        left = kept - _count(masks)
        rest = {name: alive[name] & ~masks[name] for name in scores}
    chosen = select(scores, max(0, left), within=rest)
    masks = {name: masks[name] | chosen.masks[name] for name in scores}
    ties = [_ties(scores[name], ranks[name], whole[name], n, m) for name in scores]
    tied = chosen.tied if chosen.tied > chosen.kept_of_tied else 0
    return Selection(
        masks, tied + sum(t for t, _ in ties), (chosen.kept_of_tied if tied else 0) + sum(k for _, k in ties)
    )


def _grouped(values: Tensor, m: int, fill: float) -> Tensor:
    """The values with m neighbouring inputs as their last dimension; what the last group lacks is filled."""
    moved = values.movedim(1, -1)
    return F.pad(moved, (0, -moved.shape[-1] % m), value=fill).unflatten(-1, (-1, m))


def _ungrouped(groups: Tensor, like: Tensor) -> Tensor:
    return groups.flatten(-2)[..., : like.shape[1]].movedim(-1, 1)


def _ranks(scores: Tensor, alive: Tensor, m: int) -> Tensor:
    """Each weight's place in its group, 0 for the highest score; those that are pruned come last."""
    order = _grouped(scores, m, 0.0).argsort(dim=-1, descending=True, stable=True)
    pruned = _grouped((~alive).to(torch.uint8), m, 1)
    order = order.gather(-1, pruned.gather(-1, order).argsort(dim=-1, stable=True))
    places = torch.arange(m, device=scores.device).expand_as(order)
    return _ungrouped(torch.empty_like(order).scatter_(-1, order, places), scores)


def _in_whole_groups(scores: Tensor, m: int) -> Tensor:
    """Which weights are in groups of all m inputs."""
    inputs = torch.arange(scores.shape[1], device=scores.device) < scores.shape[1] // m * m
    return inputs.view(1, -1, *[1] * (scores.dim() - 2)).expand_as(scores)


def _ties(scores: Tensor, ranks: Tensor, whole: Tensor, n: int, m: int) -> tuple[int, int]:
    """Weights of whole groups whose score is that of the last kept and of the first pruned one; how many are kept."""
    groups, ranked = _grouped(scores.masked_fill(~whole, 0), m, 0.0), _grouped(ranks, m, m)
    if n == m:
        return 0, 0
    order = ranked.argsort(dim=-1)
    last, next_ = (groups.gather(-1, order[..., place : place + 1]) for place in (n - 1, n))
    equal = _ungrouped((groups == last) & (last == next_), scores) & whole
    return int(equal.sum()), int((equal & (ranks < n)).sum())


def _count(masks: Tensors) -> int:
    return sum(int(m.sum()) for m in masks.values())


# --- Channels ---------------------------------------------------------------------------------------------------------


def _channels(scores: Tensors, kept: int, alive: Tensors) -> Selection:
    """Whole output channels by their mean score, of all layers in one ranking, as many as fit into `kept` weights.

    The last layer, whose channels are the classes, stays whole. The first channel that does not fit ends the ranking,
    so that fewer weights may stay than were asked for.
    """
    *others, last = scores
    means = {n: scores[n].flatten(1).mean(1) for n in others}
    refuse_nan(means)
    room = kept - scores[last].numel()
    smallest = min((scores[n][0].numel() for n in others), default=1)
    if room < smallest:
        raise PluginError(
            f"channels: {kept} weights are to stay, and {last}, whose channels are the classes, has "
            f"{scores[last].numel()} of them; no other channel fits"
        )
    lives = torch.cat([alive[n].flatten(1).any(1) for n in others])
    ranked, order = (
        torch.cat([means[n] for n in others]).masked_fill(~lives, -torch.inf).sort(descending=True, stable=True)
    )
    sizes = torch.cat([torch.full_like(means[n], scores[n][0].numel(), dtype=torch.long) for n in others])
    fits = sizes[order].cumsum(0) <= room
    stay = torch.zeros_like(lives).scatter_(0, order, fits) & lives
    rows = dict(zip(others, stay.split([len(means[n]) for n in others]), strict=True))
    masks = {n: _rows(rows[n], scores[n]) for n in others} | {last: torch.ones_like(scores[last], dtype=torch.bool)}
    number = int(fits.sum())
    divided = 0 < number < len(ranked) and bool(ranked[number - 1] == ranked[number]) and bool(lives[order[number]])
    equal = (torch.cat([means[n] for n in others]) == ranked[max(0, number - 1)]) & lives
    tied, kept_of_tied = (int(sizes[e].sum()) if divided else 0 for e in (equal, equal & stay))
    return Selection(masks, tied, kept_of_tied)


def _rows(stay: Tensor, like: Tensor) -> Tensor:
    return stay.view(-1, *[1] * (like.dim() - 1)).expand_as(like).clone()
