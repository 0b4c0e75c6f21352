"""Faults of memory and devices, which libraries tell in the words of a RuntimeError: each named, with the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pabench.errors import DataError, DivergedError, ExhaustedError, MissingError
from pabench.scoring.meter import memory


@dataclass(frozen=True)
class Fault:
    """A kind of failure, the words by which torch, CUDA, cuDNN and cuBLAS tell it, and the way out."""

    kind: str
    words: tuple[str, ...]
    remedy: str


FAULTS = (
    Fault(
        "oom",
        (
            "out of memory",  # of CUDA, and of torch's allocators
            "can't allocate memory",  # of torch's allocator on the CPU
            "CUBLAS_STATUS_ALLOC_FAILED",
            "CUDNN_STATUS_ALLOC_FAILED",
            "ALLOCATION_FAILED",  # cuDNN 9: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, ..._HOST_...
        ),
        "it takes fewer images at once (scoring: {batch: N}, the recipe's batch_size), a smaller network, fewer cells "
        "side by side (-j 1), or more memory",
    ),
    Fault(
        "device-busy",
        ("CUDA-capable device(s) is/are busy or unavailable", "devices are busy or unavailable", "DevicesUnavailable"),
        "another process has the GPU to itself: wait for it, or let several share it (nvidia-smi -c DEFAULT, or MPS)",
    ),
    Fault(
        "device-ecc",
        ("uncorrectable ECC error", "ECCUncorrectable"),
        "the GPU's memory is faulty (nvidia-smi -q -d ECC): reset or replace it, then --retry failed",
    ),
)


def fault(error: BaseException) -> Fault | None:
    """What an error, or one that led to it, says of memory or a device; one of data may tell of another cell's."""
    if isinstance(error, (DataError, DivergedError, MissingError)):
        return None
    causes = list(_causes(error))
    if any(isinstance(cause, (MemoryError, torch.OutOfMemoryError)) for cause in causes):
        return FAULTS[0]
    told = " ".join(map(str, causes))
    return next((known for known in FAULTS if any(words in told for words in known.words)), None)


def remedy(known: Fault, device: torch.device) -> str:
    """What to do, and where memory ran out how much the process held at most, and how much there is."""
    if known.kind != "oom":
        return known.remedy
    peak, limit = memory(device)
    return f"{_gib(peak)} held at most, {_gib(limit)} there: {known.remedy}"


def raise_if_crowded(error: BaseException, payload: Mapping[str, Any]) -> None:
    """ExhaustedError where memory ran out beside other tasks, whose share it may have been: this one is tried alone."""
    found = fault(error)
    if found is FAULTS[0] and not payload.get("alone", True):
        raise ExhaustedError(str(error)) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _gib(size: int) -> str:
    """
    >>> _gib(3 * 2**29), _gib(0)
    ('1.50 GiB', 'unknown GiB')
    """
    return f"{size / 2**30:.2f} GiB" if size else "unknown GiB"
