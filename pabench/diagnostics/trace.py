"""What a criterion must leave as it found it: a network, tensors it was given, and the state of the process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

State = dict[str, Any]
PROCESS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's random state": (torch.get_rng_state, torch.set_rng_state),
    "numpy's random state": (np.random.get_state, np.random.set_state),
    "Python's random state": (random.getstate, random.setstate),
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
}
"""Each part of the state of a process that a criterion could change, with what reads and what sets it."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def of_module(module: nn.Module) -> State:
    """Weights, buffers, modes, gradients, requires_grad and hooks, as copies."""
    return {
        "weights": of_tensors(dict(module.named_parameters())),
        "buffers": of_tensors(dict(module.named_buffers())),
        "modes": [m.training for m in module.modules()],
        "gradients": of_tensors({n: p.grad for n, p in module.named_parameters() if p.grad is not None}),
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "hooks": [len(getattr(m, kind)) for m in module.modules() for kind in HOOKS],
    }


def of_tensors(tensors: Mapping[str, Tensor]) -> State:
    """Copies of tensors under their names."""
    return {n: t.detach().clone() for n, t in tensors.items()}


def of_process() -> State:
    """Global random states of torch, numpy and Python, default dtype, threads, and whether gradients are on."""
    return {part: read() for part, (read, _) in PROCESS.items()}


def changed(before: State, after: State) -> list[str]:
    """Names of the parts that are no longer the same, bit for bit."""
    return [part for part in before if not _same(before[part], after[part])]


@contextmanager
def restored() -> Iterator[None]:
    """Whatever happens inside to the state of the process, it is as before afterwards."""
    before = of_process()
    try:
        yield
    finally:
        for part, (_, put) in PROCESS.items():
            put(before[part])


def seed_process(seed: int) -> None:
    """Global random states that depend on `seed`: nothing that is allowed to be random may follow them."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, Tensor):
        # NaN is not equal to itself, and has not changed
        return a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, tuple):  # numpy's random state: an array among numbers
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
