"""The contract of all engines: twenty cells, a worker killed, a stop, the launcher killed, and nothing lost."""

from __future__ import annotations

import signal

import pytest

from .conftest import NEEDS_RAY, NEEDS_SLURM, Study

SLURM = ["grace=2", "warning=20", "poll=0.5", "patience=3"]


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        pytest.param("inline", [], id="inline"),
        pytest.param("processes", ["grace=2"], id="processes"),
        pytest.param("ray", ["grace=2"], id="ray", marks=NEEDS_RAY),
        pytest.param("slurm", SLURM, id="slurm", marks=NEEDS_SLURM),
    ],
)
def test_no_engine_loses_a_cell_or_leaves_a_process_or_repeats_what_is_done(engine, options, tmp_path):
    """The fourth cell kills its process the first time, the runner itself where that is its process."""
    study = Study(tmp_path, engine, *options)
    launcher = study.launch()
    if engine == "inline":
        assert launcher.wait(60) == -signal.SIGKILL
        launcher = study.launch()
    study.until(lambda: len(study.records) >= 6)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(30) == 75
    study.until(lambda: not study.left(), 30)
    stopped = len(study.records)
    assert 6 <= stopped < 14

    launcher = study.launch()
    study.until(lambda: len(study.records) >= 14)
    launcher.kill()
    launcher.wait()
    study.until(lambda: not study.computing(), 10)
    study.until(lambda: not study.left(), 30)
    assert len(study.records) < 20

    assert study.launch().wait(60) == 0
    study.until(lambda: not study.left(), 30)
    assert len(study.records) == 20
    assert {said for attempts in study.began.values() for said in attempts} == {"once"}
