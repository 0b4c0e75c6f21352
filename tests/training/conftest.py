"""What the tests of training share: a study with all its ablations, and a training of nine steps."""

from __future__ import annotations

import signal

import pytest
import torch

from pabench.data.split import Images
from pabench.run.session import Options, Session
from pabench.store.store import Store
from pabench.suite.specs import Augment, Recipe
from pabench.training.loop import Source

from ..pageless import undrawn

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [lenet_300_100]
criteria: [random, snip]
sparsities: [0, 0.5, 0.9]
ablations: [shuffle, reinit, invert, random_labels, shuffled_pixels]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: {crop: 1}}
"""
CPU = torch.device("cpu")
STEPS = 9  # of `source` by `RECIPE`: three epochs of three
RECIPE = Recipe(
    epochs=3,
    batch_size=8,
    lr=0.1,
    weight_decay=0.1,
    precision="float32",
    schedule="cosine",
    augment=Augment(crop=1, flip=True, cutout=2),
)


def session(folder, text: str = SUITE, **options) -> Session:
    path = folder / "study.yaml"
    path.write_text(text)
    return Session.open(
        Options(suite=str(path), output=folder / "out", **({"engine": "inline", "device": "cpu"} | options))
    )


def named(folder) -> dict[tuple[str, float, str], dict]:
    """Records by criterion, sparsity and ablation."""
    return {
        (r["labels"]["criterion"], r["cell"]["sparsity"], r["ablation"]): r for r in Store(folder).records().values()
    }


@pytest.fixture
def no_report():
    with undrawn():
        yield


@pytest.fixture(scope="session")
def study(ablated):
    """Its folder, its records and its cells."""
    return ablated


@pytest.fixture
def source():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (24, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return Source(Images(pixels, torch.arange(24) % 2), (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def heard():
    """Signals that reach the handler which was there before; without it SIGTERM would end the tests."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    yield came
    signal.signal(signal.SIGTERM, before)
