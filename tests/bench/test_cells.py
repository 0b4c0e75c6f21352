"""The plain loop over a whole suite."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from pabench.bench import baseline
from pabench.bench.cells import GIVEN, IMAGES, plain, trained

CPU = torch.device("cpu")


def test_an_epoch_of_training_is_tested_on_other_images():
    """One weight a class, an image of its class each: after a step of learning rate 1 both are told apart."""
    own = baseline.masked(nn.Sequential(nn.Linear(2, 2, bias=False)))
    own[0].layer.weight.data.zero_()
    images, labels = torch.eye(2), torch.tensor([0, 1])

    assert trained(own, [(images, labels)], [(images * 3, labels)], 1.0, 1, CPU) == 100
    assert trained(own, [(images, labels)], [(images, labels.flip(0))], 1.0, 1, CPU) == 0


@pytest.fixture
def described(tmp_path):
    """A suite of two criteria at two densities on 20 images of two classes: dark and bright."""
    rng, labels = np.random.default_rng(0), np.arange(20) % 2
    pixels = (labels[:, None, None, None] * 200 + rng.integers(0, 50, (20, 3, 8, 8))).astype(np.uint8)
    parts = ("train", "test", "scored")
    arrays = {f"{part}_pixels": pixels for part in parts} | {f"{part}_labels": labels for part in parts}
    np.savez(tmp_path / IMAGES, **arrays)
    told = {
        "model": {"name": "lenet_300_100"},
        "classes": 2,
        "shape": (3, 8, 8),
        "mean": (0.5,) * 3,
        "std": (0.25,) * 3,
        "criteria": [("snip", 1), ("synflow", 2)],
        "densities": (0.5, 0.1),
        "seeds": 2,
        "epochs": 1,
        "batch_size": 5,
        "lr": 0.01,
        "device": "cpu",
    }
    (tmp_path / GIVEN).write_text(json.dumps(told))
    return tmp_path


def test_each_cell_has_its_accuracy_and_starts_from_the_same_network(described):
    """Bright and dark images are told apart in four steps, whichever half of the weights stays."""
    torch.manual_seed(0)
    found = plain(str(described))

    assert len(found) == 8
    assert min(found[::2]) >= 90  # at density 0.5
