"""First and second derivatives of a loss by the weights, by plain autograd: torch.func's layers cost a fifth more."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, vjp

from pabench.networks.network import Tensors, transformed

Function = Callable[[Tensors], Tensor]


def gradient(function: Function, at: Tensors) -> Tensors:
    """The gradient of a scalar `function` of some tensors, by name; 0 for those that it does not depend on.

    The same as `torch.func.grad(function)(at)`. Within transforms of torch.func (`vmap`, `jvp`, another `grad`) it is
    that, and can be derived again.

    >>> gradient(lambda w: (w["a"] ** 3).sum(), {"a": torch.tensor([1.0, 2.0]), "b": torch.ones(1)})
    {'a': tensor([ 3., 12.]), 'b': tensor([0.])}
    """
    if transformed():
        return grad(function)(at)
    with torch.enable_grad():
        leaves = _leaves(at)
        return _derived(function(leaves), leaves)


def hessian_gradient(function: Function, at: Tensors) -> Tensors:
    """H g, the product of the Hessian of a scalar `function` with its gradient, by name.

    H is symmetric: the gradient's own pullback gives it, with one pass for the gradient.

    >>> hessian_gradient(lambda w: (w["a"] ** 3).sum(), {"a": torch.tensor([1.0, 2.0])})
    {'a': tensor([ 18., 144.])}
    """
    if transformed():
        g, pullback = vjp(grad(function), at)
        return pullback(g)[0]
    with torch.enable_grad():
        leaves = _leaves(at)
        g = _derived(function(leaves), leaves, again=True)
        return _derived(_product(g, g), leaves)


def hessian_product(function: Function, at: Tensors, along: Tensors) -> Tensors:
    """H v, the product of the Hessian of a scalar `function` with the vector `along`, by name.

    >>> hessian_product(lambda w: (w["a"] ** 3).sum(), {"a": torch.tensor([1.0, 2.0])}, {"a": torch.ones(2)})
    {'a': tensor([ 6., 12.])}
    """
    if transformed():
        return vjp(grad(function), at)[1](along)[0]  # type: ignore[no-any-return]
    with torch.enable_grad():
        leaves = _leaves(at)
        g = _derived(function(leaves), leaves, again=True)
        return _derived(_product(g, along), leaves)


def _leaves(at: Tensors) -> Tensors:
    return {n: t.detach().requires_grad_() for n, t in at.items()}


def _product(g: Tensors, along: Tensors) -> Tensor:
    """A scalar whose derivative by g is `along`, to the last bit.

    torch.autograd.grad takes vectors of its own, and imports sympy for them: half a second in every process.
    """
    return torch.stack([(along[n].detach() * t).sum() for n, t in g.items()]).sum()


def _derived(of: Tensor, leaves: Tensors, *, again: bool = False) -> Tensors:
    if not of.requires_grad:
        return {n: torch.zeros_like(t) for n, t in leaves.items()}
    found = torch.autograd.grad(
        of, list(leaves.values()), create_graph=again, allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, found, strict=True))
