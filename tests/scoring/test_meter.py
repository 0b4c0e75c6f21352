"""Seconds and peak memory of a stretch of work."""

from __future__ import annotations

import sys
import time

import pytest
import torch

from pabench.scoring.meter import Meter, clock

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


def test_the_clock_goes_forward():
    first = clock(CPU)

    assert clock(CPU) >= first
