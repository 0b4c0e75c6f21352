"""What this machine offers: devices and cores."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

from pabench.errors import MissingError, SuiteError


def devices() -> Iterator[str]:
    """Names of the devices that this machine offers, the fastest first."""
    if torch.cuda.is_available():
        yield "cuda"
    if torch.backends.mps.is_available():
        yield "mps"
    yield "cpu"


def pick_device(name: str) -> torch.device:
    """The fastest device, or the one asked for; MissingError where it is not there."""
    offered = list(devices())
    if name == "auto":
        return torch.device(offered[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SuiteError(f"--device {name}: no such device; expected auto, cpu, cuda, cuda:1 or mps") from None
    if device.type not in offered or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise MissingError(f"--device {name}: not on this machine, which offers {', '.join(offered)}")
    return device


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
