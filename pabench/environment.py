"""Where a number came from: versions, hardware, threads."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

import pabench


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Where a number came from: versions, hardware, threads."""
    return {
        "pabench": pabench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "numpy": np.__version__,
        "device": f"cuda: {torch.cuda.get_device_name(device)}"
        if device.type == "cuda"
        else f"{device.type}: {_cpu()}",
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
