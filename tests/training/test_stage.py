"""What the stages of a cell share: an error as a part of a record."""

from __future__ import annotations

import re

import pytest
import torch

from pabench.errors import DataError, DivergedError, MissingError
from pabench.training.stage import device_of, failure, without_weights

from .conftest import CPU


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "oom"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), "device-ecc"),
        (DivergedError("epoch 3"), "diverged"),
        (DataError("broken"), "data"),
        (MissingError("not there"), "data"),
        (OSError("disk"), "io"),
        (ZeroDivisionError("division by zero"), "plugin-error"),
        (KeyboardInterrupt(), "plugin-error"),
    ],
)
def test_the_kind_of_an_error_says_whose_it_is(error, kind):
    found = failure(error, CPU)

    assert (found["status"], found["kind"], found["result"]) == ("failed", kind, None)
    assert found["message"].startswith(type(error).__name__)


def test_an_endless_error_is_cut():
    assert len(failure(ValueError("x" * 10**6), CPU)["message"]) < 600


def test_an_error_of_memory_says_how_much_was_held_and_what_helps():
    told = failure(MemoryError("no room"), CPU)["message"]

    assert re.search(
        r"MemoryError: no room \(\d+\.\d\d GiB held at most, \d+\.\d\d GiB there: it takes fewer images", told
    )


def test_a_task_of_the_second_gpu_makes_it_the_one_of_its_process(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)

    assert [device_of({"device": name}) for name in ("cpu", "cuda", "cuda:1")] == [
        CPU,
        torch.device("cuda"),
        torch.device("cuda:1"),
    ]
    assert chosen == [torch.device("cuda:1")]


def test_another_network_shares_all_but_its_weights():
    assert without_weights({"weights": "a", "order": "b"}) == {"order": "b"}
