"""What the tests of runs share: a study that has been run, and clocks and engines of their own."""

from __future__ import annotations

from multiprocessing import forkserver
from pathlib import Path

import pytest

from pabench.cli import forecast
from pabench.cli.running import carry_out
from pabench.run import clock, estimate
from pabench.run.session import Options, Session
from pabench.store.store import Store

from ..pageless import undrawn

HERE = str(Path(__file__).parents[1])
HOUR = 3600.0


@pytest.fixture
def hourly(monkeypatch):
    """A training takes an hour, wherever it would be timed; what is around it nothing."""
    monkeypatch.setattr(clock, "_calibrated", lambda *_: HOUR)
    monkeypatch.setattr(clock.Clock, "_scoring", lambda *_: 0.0)
    monkeypatch.setattr(estimate, "EACH", 0.0)
    monkeypatch.setattr(forecast, "AROUND", 0.0)


@pytest.fixture(scope="module")
def bare_server():
    """A server without torch; the one of other tests, which has it, is started again when it is needed."""
    forkserver._forkserver._stop()
    yield
    forkserver._forkserver._stop()


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.syspath_prepend(HERE)


SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [lenet_300_100]
criteria: [random, snip, grasp@official, {name: synflow, steps: 3}]
sparsities: [0, 0.5, 0.9]
seeds: 2
recipe: {epochs: 2, batch_size: 32, lr: 0.05, augment: {crop: 1}}
"""
FOUR = "random, snip, grasp@official, {name: synflow, steps: 3}"
ONE_SEED = SUITE.replace("seeds: 2", "seeds: 1")


def write(folder: Path, text: str = SUITE, name: str = "study") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def run(suite: Path, output: Path, **options) -> tuple[int, dict]:
    """Exit code and records by (criterion, sparsity, seed)."""
    options = {"engine": "inline", "device": "cpu"} | options
    with undrawn():
        code = carry_out(Session.open(Options(suite=str(suite), output=output, **options)))
    return code, named(output)


def named(folder: Path) -> dict:
    return {
        (r["labels"]["criterion"], r["cell"]["sparsity"], r["cell"]["seed"]): r
        for r in Store(folder).records().values()
    }


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Its folder and its records, 18 cells; `out` stays as it is."""
    folder = tmp_path_factory.mktemp("study")
    code, records = run(write(folder), folder / "out")
    assert code == 0
    return folder, records
