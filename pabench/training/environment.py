"""The machine: the devices and cores it offers, and what a record says of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pabench
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


def threads(workers: int) -> int:
    """Threads of each of so many workers: the cores shared out, and no more than $OMP_NUM_THREADS where that is set.

    On a busy machine more threads than it grants wait for one another, and burn the time that they wait.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # a list is for nested regions
    share = max(1, cores() // workers)
    return min(share, int(asked)) if asked.isdecimal() and int(asked) else share


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Where a number came from: versions, hardware, threads."""
    return {
        "pabench": pabench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": version("timm"),
        "numpy": np.__version__,
        "device": f"{device.type}: {torch.cuda.get_device_name(device) if device.type == 'cuda' else _cpu()}",
        "threads": torch.get_num_threads(),
        "precision": precision,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
