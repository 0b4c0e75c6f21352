"""Each cell gets one of the machine's GPUs, and a GPU gets several cells. The number of GPUs is a stand-in."""

from __future__ import annotations

import pytest

from pabench.run.engine import Task
from pabench.run.engines import gpus
from pabench.run.processes import Processes

from ..test_engine import Run, toy

GiB = 2**30


def on(device):
    return Task("a", "a", "toy_tasks:touch", {"device": device} if device else {})


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(gpus, "count", lambda: 4)


def test_a_task_is_placed_on_the_gpu_that_computes_fewest(four):
    running = [on(device) for device in ("cuda:0", "cuda:1", "cuda:3", "cuda:0", "cpu")]
    assert gpus.placed(on("cuda"), running).payload == {"device": "cuda:2"}
    assert gpus.placed(on("cuda"), [*running, on("cuda:2")]).payload == {"device": "cuda:1"}


@pytest.mark.parametrize("device", ["cuda:1", "cpu", "mps", ""])
def test_a_choice_that_was_made_stays(four, device):
    task = on(device)
    assert gpus.placed(task, [on("cuda:1")]) is task


def test_where_there_is_one_gpu_a_task_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(gpus, "count", lambda: 1)
    task = on("cuda")
    assert gpus.placed(task, []) is task


@pytest.mark.usefixtures("bare_server", "toys")
def test_children_that_run_at_once_are_on_different_gpus(four):
    """A task that asks for no device gets none."""
    tasks = [toy(str(n), "tell_payload", device="cuda") for n in range(4)]
    run = Run(Processes(preload=(), grace=1.0), [*tasks, toy("none", "tell_payload")], workers=4)
    assert sorted(run.data(str(n))[0]["device"] for n in range(4)) == [f"cuda:{n}" for n in range(4)]
    assert "device" not in run.data("none")[0]


@pytest.mark.parametrize(
    ("pixels", "memory", "cores", "cells"),
    [
        (32, 139 * GiB, 16, 4),  # the most
        (32, 139 * GiB, 2, 2),  # a core each
        (32, 8 * GiB, 16, 2),  # 4 GiB each
        (64, 3 * GiB, 16, 1),  # at least one
        (65, 139 * GiB, 16, 3),  # 40 GiB each
        (224, 24 * GiB, 16, 1),
    ],
)
def test_a_gpu_gets_cells_by_its_memory_and_the_cores(pixels, memory, cores, cells):
    assert gpus.share(pixels, memory, cores) == cells
