"""The machine: which device is taken, and which is refused."""

from __future__ import annotations

import pytest
import torch

from pabench.errors import MissingError, SuiteError
from pabench.store.record import RECORDED
from pabench.training import environment as module
from pabench.training.environment import environment, pick_device


def test_the_fastest_device_is_taken_and_another_one_if_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(module, "devices", lambda: iter(["cuda", "cpu"]))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    assert [str(pick_device(name)) for name in ("auto", "cpu", "cuda:1")] == ["cuda", "cpu", "cuda:1"]
    with pytest.raises(MissingError, match="--device cuda:2: not on this machine, which offers cuda, cpu"):
        pick_device("cuda:2")


def test_a_device_that_there_is_not_is_told_from_one_that_is_not_here(monkeypatch):
    monkeypatch.setattr(module, "devices", lambda: iter(["cpu"]))

    with pytest.raises(SuiteError, match="--device gpu: no such device; expected auto, cpu, cuda"):
        pick_device("gpu")
    with pytest.raises(MissingError, match="--device cuda: not on this machine, which offers cpu"):
        pick_device("cuda")


def test_a_record_tells_of_its_machine_what_differences_are_told_of():
    assert set(environment(torch.device("cpu"), "float32")) == set(RECORDED)


@pytest.mark.parametrize(
    ("asked", "workers", "expected"),
    [
        (None, 1, 8),  # all cores
        (None, 3, 2),  # shared out
        (None, 9, 1),
        ("1", 1, 1),  # a busy machine: whoever starts pabench says what it may take
        ("2", 2, 2),
        ("64", 1, 8),  # no more than there are
        ("4,2", 1, 4),  # of nested regions the outermost
        ("", 1, 8),
        ("0", 1, 8),  # means nothing
    ],
)
def test_threads_are_a_share_of_the_cores_and_no_more_than_asked_for(monkeypatch, asked, workers, expected):
    monkeypatch.setattr(module, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)

    assert module.threads(workers) == expected
