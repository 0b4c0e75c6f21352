"""The plain loop over a whole suite: each cell from its network to its accuracy. Loads no more than it needs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pabench.bench import baseline
from pabench.networks import models as models
from pabench.suite.specs import ModelSpec

IMAGES, GIVEN = "images.npz", "plain.json"


def plain(folder: str) -> list[float]:
    """Test accuracies in percent of the suite that a folder describes: by seed, then by criterion, then by density."""
    given: dict[str, Any] = json.loads((Path(folder) / GIVEN).read_text())
    with np.load(Path(folder) / IMAGES) as stored:
        split = {name: torch.from_numpy(array) for name, array in stored.items()}
    device, normal = torch.device(given["device"]), (given["mean"], given["std"])
    test = baseline.Pictures(split["test_pixels"], split["test_labels"], *normal).loader(256, shuffle=False)
    train = baseline.Pictures(split["train_pixels"], split["train_labels"], *normal, crop=4, flip=True)
    batches = train.loader(given["batch_size"], shuffle=True)
    scored = baseline.Pictures(split["scored_pixels"], split["scored_labels"], *normal)
    batch = next(iter(scored.loader(len(scored), shuffle=False)))
    batch = batch[0].to(device), batch[1].to(device)
    model, classes, shape = ModelSpec(**given["model"]), given["classes"], tuple(given["shape"])
    found = []
    for seed in range(given["seeds"]):
        network = models.build(model, classes, shape, seed=seed).to(device)
        for (criterion, rounds), density in product(given["criteria"], given["densities"]):
            own = baseline.masked(network)
            baseline.prune(own, baseline.SCORES[criterion], batch, density, rounds)
            found.append(trained(own, batches, test, given["lr"], given["epochs"], device))
    return found


def trained(
    own: nn.Module,
    batches: Iterable[baseline.Batch],
    test: Iterable[baseline.Batch],
    lr: float,
    epochs: int,
    device: torch.device,
) -> float:
    """Test accuracy in percent after some epochs of training in place."""
    optimizer = torch.optim.SGD(own.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    for _ in range(epochs):
        baseline.train_epoch(own, batches, optimizer, device)
    return baseline.evaluate(own, test, device)[0]
