"""What a criterion must leave as it found it: a network, tensors it was given, and the state of the process."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

State = dict[str, Any]


def of_module(module: nn.Module) -> State:
    """Weights, buffers, modes, gradients, requires_grad and hooks, as copies."""
    return {
        "weights": {n: p.detach().clone() for n, p in module.named_parameters()},
        "buffers": {n: b.detach().clone() for n, b in module.named_buffers()},
        "modes": [m.training for m in module.modules()],
        "gradients": {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None},
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "hooks": [_hooks(m) for m in module.modules()],
    }


def of_process() -> State:
    """Global random states of torch, numpy and Python, default dtype, threads, and whether gradients are on."""
    return {
        "torch's random state": torch.get_rng_state(),
        "numpy's random state": _numpy_state(),
        "Python's random state": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradient mode": torch.is_grad_enabled(),
    }


def of_tensors(tensors: Mapping[str, Tensor]) -> State:
    """Copies of tensors under their names."""
    return {n: t.detach().clone() for n, t in tensors.items()}


def changed(before: State, after: State) -> list[str]:
    """Names of the parts that are no longer the same, bit for bit."""
    return [part for part in before if not _same(before[part], after[part])]


@contextmanager
def restored() -> Iterator[None]:
    """Whatever happens inside to the state of the process, it is as before afterwards."""
    seeds = torch.get_rng_state(), np.random.get_state(), random.getstate()
    dtype, threads, gradients = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_rng_state(seeds[0])
        np.random.set_state(seeds[1])
        random.setstate(seeds[2])
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(gradients)


def seed_process(seed: int) -> None:
    """Global random states that depend on `seed`: nothing that is allowed to be random may follow them."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _numpy_state() -> tuple[Any, int]:
    state: Any = np.random.get_state()
    return state[1], state[2]


def _hooks(module: nn.Module) -> list[int]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [len(getattr(module, kind)) for kind in kinds]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())
    if isinstance(a, tuple) and len(a) == 2 and isinstance(a[0], np.ndarray):
        return bool(np.array_equal(a[0], b[0]) and a[1] == b[1])
    return bool(a == b)
