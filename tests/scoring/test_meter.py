"""Seconds and peak memory of a stretch of work."""

from __future__ import annotations

import sys
import time

import pytest
import torch

from pabench.scoring.meter import Meter, clock, memory

CPU = torch.device("cpu")
MIB = 2**20


def test_seconds_are_those_of_the_block():
    with Meter(CPU) as meter:
        time.sleep(0.05)

    assert 0.05 <= meter.seconds < 5


@pytest.mark.skipif(sys.platform != "linux", reason="the resident set is read from /proc")
def test_the_peak_is_what_came_on_top_and_is_told_though_it_is_freed():
    """64 MiB held before count nothing; 96 MiB within count, freed or not, and a second block starts anew."""
    held = torch.ones(64 * MIB // 4)
    with Meter(CPU) as much:
        within = torch.ones(96 * MIB // 4)
        del within
    with Meter(CPU) as little:
        torch.ones(8 * MIB // 4)

    assert held.sum() == held.numel()
    if much.peak_bytes == 0:
        pytest.skip(
            "the kernel lets this process reset no high-water mark (/proc/self/clear_refs), so 0 stands for unknown"
        )
    assert 90 * MIB < much.peak_bytes < 130 * MIB
    assert little.peak_bytes < 30 * MIB


def test_on_cuda_a_peak_counts_though_nothing_was_held_before(monkeypatch):
    """A training begins with its network on the CPU: its peak was once told as 0, which stands for unknown."""
    held = iter([0, 0])
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: next(held))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 300 * MIB)
    with Meter(torch.device("cuda")) as meter:
        pass

    assert meter.peak_bytes == 300 * MIB


def test_what_raises_is_not_hidden_by_a_device_that_has_failed(monkeypatch):
    waits = iter([None, None])  # at the start; none more
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: next(waits))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)

    with pytest.raises(RuntimeError, match="ECC"), Meter(torch.device("cuda")):
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")


@pytest.mark.skipif(sys.platform != "linux", reason="the resident set is read from /proc")
def test_a_process_holds_less_than_the_machine_has():
    peak, limit = memory(CPU)

    assert 50 * MIB < peak < limit  # torch alone takes more than 50


def test_the_clock_goes_forward():
    first = clock(CPU)

    assert clock(CPU) >= first
