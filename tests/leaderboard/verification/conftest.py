"""Submissions to lie in, for all tests of the levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from pabench.cli.running import carry_out
from pabench.leaderboard.submission import submit
from pabench.run.session import Options, Session

from ...conftest import forget_plugins
from ...forgery import Forgery

REFERENCE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 10}]
models: [lenet_300_100]
criteria:
  - {name: snip, steps: 2, schedule: linear}
  - grasp@official
  - magnitude_after_training
  - small_dense
  - {name: random, allocation: "as:magnitude"}
sparsities: [0.8]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: none}
"""


@pytest.fixture
def forgery(submission: Path, tmp_path: Path) -> Forgery:
    return Forgery(submission, tmp_path / "forged")


RESUMED = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 10}]
models: [lenet_300_100]
criteria: [{name: learning_rate_rewinding, rewind_epochs: 1}]
sparsities: [0.8]
seeds: 1
recipe: {epochs: 3, batch_size: 32, lr: 0.05, augment: none}
"""


@pytest.fixture(scope="session")
def references(tmp_path_factory) -> Path:
    """A submission with two reference lines, a variant, parameters out of alphabetical order and a donor."""
    return submitted(tmp_path_factory.mktemp("lines"), REFERENCE)


@pytest.fixture(scope="session")
def resumed(tmp_path_factory) -> Path:
    """A submission of a line that goes on from trained weights, with the second of three epochs."""
    return submitted(tmp_path_factory.mktemp("resumed"), RESUMED)


def submitted(folder: Path, suite: str) -> Path:
    (folder / "lines.yaml").write_text(suite)
    forget_plugins()
    options = Options(suite=str(folder / "lines.yaml"), output=folder / "out", engine="inline", device="cpu")
    assert carry_out(Session.open(options)) == 0
    return submit(folder / "out", folder / "submission").folder


@pytest.fixture
def lines(references, tmp_path) -> Forgery:
    return Forgery(references, tmp_path / "forged_lines")


@pytest.fixture(scope="session")
def trained_submission(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The submission of a study with all trainings. Copy it before changing it."""
    return submit(trained, tmp_path_factory.mktemp("submissions") / "trained").folder


@pytest.fixture
def trained_forgery(trained_submission: Path, tmp_path: Path) -> Forgery:
    return Forgery(trained_submission, tmp_path / "forged")
