"""What libraries say of memory and devices, by its kind."""

from __future__ import annotations

import doctest

import pytest
import torch

from pabench.errors import DataError, ExhaustedError, PluginError
from pabench.training import faults
from pabench.training.faults import FAULTS, fault, raise_if_crowded, remedy

from .conftest import CPU


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB", "oom"),
        ("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported", "oom"),
        ("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory", "oom"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "oom"),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "oom"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "oom"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "device-busy"),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", "device-busy"),
        ("cudaErrorDevicesUnavailable", "device-busy"),
        ("CUDA error: uncorrectable ECC error encountered", "device-ecc"),
        ("CUDA error: an illegal memory access was encountered", None),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", None),
        ("mat1 and mat2 shapes cannot be multiplied", None),
    ],
)
def test_a_message_is_of_one_kind(message, kind):
    found = fault(RuntimeError(message))

    assert (found and found.kind) == kind
    assert sum(any(words in message for words in known.words) for known in FAULTS) == (kind is not None)


def test_an_error_is_what_it_was_raised_from():
    error = PluginError("snip: no scores")
    error.__cause__ = torch.OutOfMemoryError("Tried to allocate")

    assert fault(error).kind == "oom"


def test_an_error_of_data_may_speak_of_the_memory_that_another_cell_lacked():
    assert fault(DataError("no mask to shuffle: CUDA out of memory")) is None


def test_what_ran_out_of_memory_beside_others_is_tried_again_and_alone_it_has_failed():
    full, wrong = MemoryError("full"), ValueError("wrong")

    with pytest.raises(ExhaustedError, match="full"):
        raise_if_crowded(full, {"alone": False})
    raise_if_crowded(full, {"alone": True})
    raise_if_crowded(wrong, {"alone": False})


def test_each_kind_has_its_own_way_out():
    told = {known.kind: remedy(known, CPU) for known in FAULTS}

    assert "-j 1" in told["oom"]
    assert "nvidia-smi -c DEFAULT" in told["device-busy"]
    assert "--retry failed" in told["device-ecc"]


def test_doctests_hold():
    assert doctest.testmod(faults).failed == 0
