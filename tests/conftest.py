"""What many tests need: the reference cases, and small networks whose numbers a human can derive."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import Tensor, nn

from pabench import registry
from pabench.networks.network import Network, scoring_mode
from pabench.scoring.pruning import context

REFERENCE = Path(__file__).parent / "reference"

# Tests and their children run beside each other: with more threads than cores they would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
# an example that takes long says that the machine is busy
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """A study that is run in the test's own process would compute with a thread a core, whatever is said above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.run.session.Session.threads", 1)
        patch.setattr("pabench.leaderboard.verification.rerun.threads", lambda workers: 1)
        yield


@dataclass(frozen=True)
class Case:
    """A reference network with its scoring images, and what official code gave on it."""

    letter: str
    module: nn.Module
    x: Tensor
    y: Tensor
    names: list[str]

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        return self.x[:100], self.y[:100]

    def official(self, what: str) -> dict[str, np.ndarray[Any, Any]]:
        with np.load(REFERENCE / f"{self.letter}__{what}.npz") as file:
            return dict(file)

    def flat(self, file: dict[str, np.ndarray[Any, Any]], prefix: str) -> np.ndarray[Any, Any]:
        return np.concatenate([file[f"{prefix}/{name}"].ravel() for name in self.names])


@pytest.fixture(scope="session")
def case() -> Callable[[str], Case]:
    """`case("a")`: the MLP; `case("b")`: the convolutional network with BatchNorm."""
    spec = importlib.util.spec_from_file_location("plain_models", REFERENCE / "plain_models.py")
    plain_models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain_models)

    def load(letter: str) -> Case:
        with np.load(REFERENCE / f"case_{letter}.npz") as file:
            module = plain_models.build(json.loads(str(file["spec_json"])))
            module.load_state_dict({k[3:]: torch.tensor(file[k]) for k in file.files if k.startswith("sd/")})
            names = [str(n) for n in file["prunable"]]
            # in float64, which is scored in float64 whatever a criterion needs
            return Case(letter, module.double(), torch.tensor(file["x"]).double(), torch.tensor(file["y"]), names)

    return load


def scores_under(module: nn.Module, criterion: str, batch: Any, mask: dict[str, Tensor], **options: Any) -> Any:
    """The scores of a criterion on a network that is pruned already, as in its second round."""
    dtype = options.pop("dtype", torch.float64)
    rule = registry.criterion(criterion, options)
    network = Network(module, bn=rule.bn, dtype=dtype)
    with scoring_mode(network.device):
        ctx = context(network, rule, [batch], seed=0, input_shape=tuple(batch[0].shape[1:]))
        return rule.score(replace(ctx, mask={n: mask[n].to(w) for n, w in network.weights.items()}))


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    """Plugins of one test are none of the next one's business."""
    forget_plugins()
    yield
    forget_plugins()


def forget_plugins() -> None:
    registry.installed.cache_clear()
    registry.group.cache_clear()
    for name in [n for n in sys.modules if n.startswith("pabench_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def softmax() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Softmax regression of two inputs on two classes: the gradient is (p - y) x, so every score is known."""
    module = nn.Linear(2, 2, bias=False)
    module.weight.data = torch.tensor([[2.0, -1.0], [0.0, 0.0]])
    return module, (torch.tensor([[1.0, 3.0]]), torch.tensor([0]))


PUBLIC = """
protocol: pai-v1
title: A small study
datasets: [{name: digits, train_per_class: 10, test_per_class: 10}]
models: [lenet_300_100]
criteria: [random, snip, steep]
sparsities: [0, 0.8, 0.9]
seeds: 2
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: none}
"""
STEEP = '''
from dataclasses import dataclass

from pabench.plugins import ScoreCriterion


@dataclass(frozen=True, kw_only=True)
class Steep(ScoreCriterion):
    """Keeps the largest weights of all layers."""

    name = "steep"
    version = 1
    paper = "none"
    examples_per_class: int = 0

    def score(self, ctx):
        return {n: w.abs() for n, w in ctx.kept.items()}
'''


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of 14 cells, one of its criteria in a file beside the suite. Copy it before changing it."""
    from pabench.cli.running import carry_out
    from pabench.run.session import Options, Session

    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(PUBLIC)
    (folder / "criteria").mkdir()
    (folder / "criteria" / "steep.py").write_text(STEEP)
    forget_plugins()
    options = Options(suite=str(folder / "small.yaml"), output=folder / "out", engine="inline", device="cpu")
    assert carry_out(Session.open(options)) == 0
    forget_plugins()
    return folder / "out"


@pytest.fixture(scope="session")
def submission(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The submission of `results`. Copy it before changing it."""
    from pabench.leaderboard.submission import submit

    return submit(results, tmp_path_factory.mktemp("submissions") / "small").folder


@pytest.fixture(scope="session")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Any, Any], Any]:
    """A study with all its ablations: its folder, its records by criterion, sparsity and ablation, and its cells."""
    from pabench.cli.running import carry_out

    from .pageless import undrawn
    from .training.conftest import named, session

    folder = tmp_path_factory.mktemp("ablations")
    opened = session(folder)
    with undrawn():
        assert carry_out(opened) == 0
    return folder / "out", named(folder / "out"), opened.cells


TRAININGS = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 10}]
models: [lenet_300_100]
criteria: [random, snip, magnitude, small_dense]
sparsities: [0, 0.9]
train: [plain, signin, {name: rigl, every: 2}, {name: set, layers: free}]
seeds: 2
recipe: {epochs: 3, batch_size: 32, lr: 0.05, augment: none}
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with all trainings: a dense cell and four of each criterion a seed. Copy it first."""
    from pabench.cli.running import carry_out

    from .pageless import undrawn
    from .training.conftest import session

    folder = tmp_path_factory.mktemp("trainings")
    with undrawn():
        assert carry_out(session(folder, TRAININGS)) == 0
    return folder / "out"
