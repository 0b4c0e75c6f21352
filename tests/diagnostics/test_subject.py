"""Tests of pabench.diagnostics.subject."""

from __future__ import annotations

import pytest
import torch

from pabench.diagnostics.subject import Noise


@pytest.mark.parametrize(
    "look",
    [
        lambda noise: noise["w"],
        lambda noise: noise.get("w"),
        lambda noise: [n for n, _ in noise.items()],
        lambda noise: list(noise.values()),
        lambda noise: {**noise},
        lambda noise: noise | {"v": 0},
        lambda noise: {"v": 0} | noise,
    ],
)
def test_noise_counts_as_drawn_however_it_is_looked_at(look):
    noted = set()

    look(Noise({"w": torch.rand(2)}, noted))

    assert noted == {"seed"}
