"""What the tests of races share: two tiny networks and few images."""

from __future__ import annotations

import pytest
import torch

from pabench.bench.material import Material, Sizes
from pabench.suite.specs import ModelSpec

TINY = Sizes(
    small=ModelSpec("resnet8", {"width": 4}),
    large=ModelSpec("vgg11_cifar", {"width": 4}),
    scored=2,
    trained=2,
    tested=1,
    suite=10,
    batch_size=8,
    rounds={"small": 3, "large": 2},
)


@pytest.fixture(scope="session")
def material():
    return Material.of(TINY, torch.device("cpu"))
