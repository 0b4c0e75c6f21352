"""Which weights lie on a live path from the input to a logit, in any network that torch runs.

The network runs once on an input of ones, its kept weights 1 and its pruned ones 0, each operation replaced such that
every value says whether the input reaches it (1) or not (0), and every gradient whether it reaches a logit. Both are
cut to 0 or 1 after each operation, so that nothing overflows, and none is negative, so that nothing cancels. A weight
is effective if it is kept and its gradient is positive: at some place its input is reached, and so is a logit from its
output.

What a path is:

- Biases, positional embeddings, tokens and other constants are no input. A unit that only they reach is a constant,
  and weights after it (or that make a query of a learned token) are on no path from the input.
- Normalisations pass each value on; their statistics over other values are no path. Scales count as 1.
- An activation with f(0) = 0 passes on what reaches it.
- A product (gates, attention) is reached through either factor where the other is not 0: where the input reaches it, or
  a constant that is not 0 at initialization. Sigmoid, softmax and exp are never 0: a squeeze-and-excitation branch
  that is pruned away kills no channel, and revives none that is 0.
- Additive masks of attention (shifted windows) are ignored.
- A recurrent layer is what it is unrolled over the steps of its input (`pabench.networks.parts`). Its first memory is a
  constant, and one of zeros passes nothing on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from pabench.errors import PluginError
from pabench.networks.network import Network, Tensors
from pabench.networks.operations import AVERAGES, MOVES, Operation, named
from pabench.networks.reach import (
    CONSTANTS,
    RULES,
    TINY,
    cut,
    followed,
    is_weight,
    mark,
    nonzero,
    reached,
    still,
)
from pabench.networks.rewire import Rewired


def effective(network: Network, masks: Mapping[str, Tensor], input_shape: Sequence[int]) -> Tensors:
    """Masks (True = kept and on a live path) by parameter name; weights without a mask count as kept.

    `input_shape` is (C, H, W). PluginError: the network uses an operation through which paths are not known, such as
    sorting.
    """
    kept = {n: masks[n].to(w) if n in masks else torch.ones_like(w) for n, w in network.weights.items()}
    live = {n: mark(m.clone().requires_grad_(), m, weight=True) for n, m in kept.items()}
    ones = torch.ones(1, *input_shape, dtype=network.dtype, device=network.device)
    with torch.enable_grad(), _Followed(RULES):
        out = network.call({**network.rest, **live}, mark(ones, ones.clone()))
    if not reached(out) or not out.requires_grad:
        return {n: torch.zeros_like(m, dtype=torch.bool) for n, m in kept.items()}
    found = torch.autograd.grad(out.sum(), list(live.values()), allow_unused=True, materialize_grads=True)
    return {n: (g > TINY) & kept[n].bool() for n, g in zip(kept, found, strict=True)}


class _Followed(Rewired):
    """Rules for what the input reaches and for weights; all that only constants are made of runs as it is."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, named(func)
        values = tree_leaves([args, kwargs])
        if not any(map(followed, values)):
            return still(name, func(*args, **kwargs), args)
        if name == "setitem":
            return _set(func, *args)
        if name not in self.table:
            return _plain(func, args, kwargs, weight=not any(map(reached, values)))
        result = self.table[name](*args, **kwargs)
        in_place = func.__name__ == f"{name}_"
        return _written(args[0], result) if in_place and followed(result) else result


def _plain(func: Operation, args: Any, kwargs: Mapping[str, Any], *, weight: bool) -> Any:
    """An operation that moves or adds up values; what it gives is followed as what it was given."""
    result, name = func(*args, **kwargs), named(func)
    tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    if not tensors or name in CONSTANTS:
        return still(name, result, args)
    if name not in MOVES | AVERAGES:
        raise PluginError(f"no rule for paths through the torch operation {name!r}")
    constants = func(*map(_nonzero_part, args), **{k: _nonzero_part(v) for k, v in kwargs.items()})
    if name in AVERAGES:
        return cut(result, constants, weight=weight)
    for tensor, constant in zip(tensors, tree_leaves(constants), strict=True):
        mark(tensor, constant, weight=weight)
    return result


def _nonzero_part(value: Any) -> Any:
    return nonzero(value) if followed(value) else value


def _set(func: Operation, x: Tensor, place: Any, value: Any) -> None:
    """`x[place] = value`, where either is followed."""
    constant = nonzero(x).clone()
    constant[place] = nonzero(value)
    if not followed(x):
        x.zero_()  # constants are reached from nowhere
    func(x, place, value if followed(value) else 0)
    mark(x, constant)


def _written(x: Tensor, result: Tensor) -> Tensor:
    """Where the network goes on with the tensor it changed in place."""
    return mark(x.copy_(result), nonzero(result), weight=is_weight(result))
