"""Time and peak memory of a stretch of work, on whatever device does it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import torch


class Meter:
    """Measures its `with` block: `seconds`, and `peak_bytes` on top of what was held before.

    On CUDA the memory is the allocator's; on Linux it is the process's resident set, whose high-water mark the kernel
    resets; elsewhere it is 0, which stands for unknown. Where the block raises, both stay 0.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._held = _reset_peak(self.device)
        self._began = clock(self.device)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error:  # a device that has failed would raise again, and hide why
            return
        self.seconds = clock(self.device) - self._began
        if self._held is not None:
            self.peak_bytes = max(0, _peak(self.device) - self._held)


def clock(device: torch.device) -> float:
    """Seconds on a clock that waits for what the device still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def memory(device: torch.device) -> tuple[int, int]:
    """Bytes that this process has held at most, since a `Meter` last began, and bytes that there are; 0 for unknown."""
    if device.type == "cuda":
        return _peak(device), torch.cuda.get_device_properties(device).total_memory
    return _peak(device), min(_limits(), default=0)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def _limits() -> Iterator[int]:
    """Bytes of memory: of the machine, and of the container or the address space where these are limited."""
    with contextlib.suppress(ValueError, OSError, AttributeError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ValueError, OSError):
        yield int(Path("/sys/fs/cgroup/memory.max").read_text())
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        if (most := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
            yield most


def _reset_peak(device: torch.device) -> int | None:
    """Bytes held now, after resetting the high-water mark; None where the system cannot.

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
        return None
    return _status("VmRSS")


def _status(field: str) -> int:
    """Bytes by Linux' own account of the process; 0 where it gives none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)
