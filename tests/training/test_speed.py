"""What a mask costs. Ratios of interleaved runs: absolute times say nothing on a shared machine."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from pabench.data.split import Images
from pabench.networks import models as models
from pabench.suite.specs import ModelSpec, Recipe
from pabench.training import loop
from pabench.training.loop import Source, train


@pytest.mark.slow
def test_a_masked_step_costs_at_most_a_tenth_more_than_an_unmasked_one():
    """ResNet-20, 32 x 32, batches of 32: epochs with and without masks in turn; the fastest of each are compared."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (96, 3, 32, 32), generator=generator, dtype=torch.uint8)
    source = Source(Images(pixels, torch.arange(96) % 10), (0.5,) * 3, (0.25,) * 3)
    recipe = replace(Recipe(), epochs=1, batch_size=32, lr=0.01, precision="float32")
    module = models.build(ModelSpec("resnet20"), 10, (3, 32, 32), seed=0)
    masks = {n: torch.rand(w.shape, generator=generator) < 0.1 for n, w in loop.prunable_weights(module).items()}
    seconds: dict[bool, list[float]] = {False: [], True: []}

    for _ in range(12):
        for masked in (False, True):
            began = time.perf_counter()
            train(
                module,
                masks if masked else {},
                source,
                recipe,
                device=torch.device("cpu"),
                order_seed=0,
                augment_seed=0,
            )
            seconds[masked].append(time.perf_counter() - began)

    ratio = min(seconds[True]) / min(seconds[False])
    print(f"masked / unmasked: {ratio:.3f}")
    assert ratio < 1.1
