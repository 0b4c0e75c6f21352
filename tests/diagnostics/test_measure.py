"""`pabench.measure`: what it refuses, and what it leaves as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pabench
from pabench.errors import SuiteError


def test_the_library_refuses_what_it_cannot_measure():
    model = nn.Linear(2, 2)

    with pytest.raises(SuiteError, match="no metric named 'ntkk'; did you mean 'ntk'"):
        pabench.measure(model, {}, "ntkk")
    with pytest.raises(SuiteError, match="overlap is no metric of one mask"):
        pabench.measure(model, {}, "overlap")
    with pytest.raises(SuiteError, match="bias: the model has no prunable weight of this name"):
        pabench.measure(model, {"bias": torch.ones(2).bool()}, "effective_density")
    with pytest.raises(SuiteError, match=r"the shape of the input is not known; give input_shape=\(C, H, W\)"):
        pabench.measure(nn.Conv2d(1, 1, 1), {}, "effective_density")


def test_measuring_leaves_the_model_and_the_random_state_as_they_are():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).train()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    batch = (torch.randn(4, 1, 4, 4), torch.tensor([0, 1, 2, 0]))
    state = torch.get_rng_state()
    for name in ("effective_density", "layer_collapse", "gradient_norm", "synflow_r", "ntk", "jacobian"):
        pabench.measure(model, {}, name, batch=batch)

    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
