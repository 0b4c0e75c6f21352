"""The GPUs of a machine: which one a task computes on, and how many cells share one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from pabench.run.engine import Task

SMALL_PIXELS = 64
"""Up to this side of an image a network leaves most of a GPU idle."""
SMALL, LARGE = 4 * 2**30, 40 * 2**30
"""Bytes of GPU memory that a cell of small and of large images is given: its process holds half a GiB before it begins,
a ResNet-50 trained on 256 images of ImageNet at once about 30. A cell that needs more than is left runs again alone."""
MOST = 4
"""Cells on one GPU: without MPS their kernels take turns, and more cells end later without ending faster."""


def count() -> int:
    """How many GPUs this process sees; 0 where it has not imported torch, since then its tasks need none."""
    return sys.modules["torch"].cuda.device_count() if "torch" in sys.modules else 0


def wanted(task: Task) -> bool:
    """Whether a task computes on a GPU, whichever it is given."""
    return str(task.payload.get("device", "")).startswith("cuda")


def placed(task: Task, running: Iterable[Task]) -> Task:
    """The task on the GPU that computes fewest of the running ones; itself where there is no choice.

    A plan says `cuda`; who says `cuda:1` has chosen.
    """
    gpus = count() if task.payload.get("device") == "cuda" else 0
    if gpus < 2:
        return task
    load = Counter(str(other.payload.get("device")) for other in running)
    names = [f"cuda:{index}" for index in range(gpus)]
    return replace(task, payload={**task.payload, "device": min(names, key=lambda name: load[name])})


def share(pixels: int, memory: int, cores: int) -> int:
    """Cells at once on a GPU of so much memory, which has so many cores of the CPU to itself: each keeps one busy.

    >>> GiB = 2**30
    >>> share(32, memory=80 * GiB, cores=8), share(224, memory=80 * GiB, cores=8), share(32, memory=8 * GiB, cores=8)
    (4, 2, 2)
    """
    each = SMALL if pixels <= SMALL_PIXELS else LARGE
    return max(1, min(MOST, cores, memory // each))
