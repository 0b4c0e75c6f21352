"""What the tests of training share: a study with all its ablations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from pabench.run.session import Options, Session
from pabench.store.store import Store

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


@contextmanager
def undrawn() -> Iterator[None]:
    """Runs without a page: drawing it takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.report.page.write_study", lambda study, out: out)
        yield


@pytest.fixture
def no_report():
    with undrawn():
        yield


@pytest.fixture(scope="session")
def study(ablated):
    """Its folder, its records and its cells."""
    return ablated
