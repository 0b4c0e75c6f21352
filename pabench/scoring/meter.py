"""Time and peak memory of a stretch of work, on whatever device does it."""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import Self

import torch


class Meter:
    """Measures its `with` block: `seconds`, and `peak_bytes` on top of what was held before.

    On CUDA the memory is the allocator's; on Linux it is the process's resident set, whose high-water mark the kernel
    resets; elsewhere it is 0, which stands for unknown.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._held = _reset_peak(self.device)
        self._began = clock(self.device)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = clock(self.device) - self._began
        if self._held:
            cuda = self.device.type == "cuda"
            peak = torch.cuda.max_memory_allocated(self.device) if cuda else _status("VmHWM")
            self.peak_bytes = max(0, peak - self._held)


def clock(device: torch.device) -> float:
    """Seconds on a clock that waits for what the device still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _reset_peak(device: torch.device) -> int:
    """Bytes held now, after resetting the high-water mark; 0 where the system cannot.

    Freed memory that the heap still holds is given back first, or work after the first would seem to need none.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _status("VmRSS")


def _status(field: str) -> int:
    """Bytes by Linux' own account of the process; 0 where it gives none."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)
