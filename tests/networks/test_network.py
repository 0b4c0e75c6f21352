"""A module as a pure function of its tensors."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pabench.errors import SuiteError
from pabench.networks.network import Network, prunable_weights, scoring_mode


def test_convolutions_and_linear_layers_are_prunable_and_nothing_else():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Embedding(5, 4),
        nn.LayerNorm(4),
        nn.ConvTranspose1d(2, 2, 3),
        nn.Linear(4, 2),
    )

    assert list(prunable_weights(module)) == ["0.weight", "4.weight", "5.weight"]


def test_a_shared_weight_counts_once():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight

    assert list(prunable_weights(module)) == ["0.weight"]


def test_a_weight_goes_by_the_name_that_named_parameters_gives():
    """A head tied to the embedding before it: 7 x 6 weights of a linear layer that an embedding holds, too."""
    module = nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 6), nn.Linear(6, 7, bias=False))
    module[2].weight = module[0].weight

    found = prunable_weights(module)

    assert {n: w.numel() for n, w in found.items()} == {"1.weight": 36, "0.weight": 42}
    assert all(dict(module.named_parameters())[n] is w for n, w in found.items())


def test_a_network_without_weights_is_refused():
    with pytest.raises(SuiteError, match="ReLU has no weights to prune"):
        prunable_weights(nn.ReLU())


def test_the_call_is_the_module_in_eval_mode(case):
    reference = case("b")
    network = Network(reference.module)
    x = reference.x[:5].double()

    out = network.call({**network.rest, **network.weights}, x)

    torch.testing.assert_close(out, reference.module.double().eval()(x), rtol=1e-12, atol=1e-12)


def test_train_mode_takes_the_statistics_of_the_batch(case):
    """As the module itself in train mode, and twice the same: no running statistics creep in."""
    reference = case("b")
    network = Network(reference.module, bn="train")
    x = reference.x[:5].double()
    tensors = {**network.rest, **network.weights}

    first, second = network.call(tensors, x), network.call(tensors, x)

    assert torch.equal(first, second)
    torch.testing.assert_close(first, reference.module.double().train()(x), rtol=1e-12, atol=1e-12)


ROOT = Path(__file__).parents[2]
PRECISIONS = {
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "all": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "products": lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
}


@pytest.mark.parametrize("asked", PRECISIONS)
def test_products_are_exact_whatever_precision_the_caller_asked_for_and_that_is_restored(asked):
    """In a process of its own: torch's settings of precision do not all go back."""
    done = subprocess.run([sys.executable, "-c", f"from {__name__} import *; precise({asked!r})"], cwd=ROOT)

    assert done.returncode == 0


def precise(asked: str) -> None:
    backends = torch.backends
    kinds = [backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv]
    a, b = torch.rand(64, 512), torch.rand(512, 64)
    PRECISIONS[asked]()
    before = [kind.fp32_precision for kind in kinds]

    with scoring_mode(torch.device("cpu")):
        product = a @ b

    assert ((product.double() - a.double() @ b.double()).abs() < 1e-3).all()
    assert [kind.fp32_precision for kind in kinds] == before
    if asked == "medium":
        assert torch.get_float32_matmul_precision() == asked  # which torch tells only where all settings agree


def test_scoring_restores_the_callers_settings_even_after_an_error():
    state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    def fails():
        with scoring_mode(torch.device("cpu")):
            torch.rand(3)
            np.random.seed(5)
            random.seed(5)
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fails()

    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    assert python_state == random.getstate()


def test_scoring_works_inside_no_grad_and_autocast(case):
    import pabench

    reference = case("a")
    plain = pabench.score(reference.module, "grasp", batch=reference.batch)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        inside = pabench.score(reference.module, "grasp", batch=reference.batch)

    assert all(torch.equal(plain[n], inside[n]) for n in plain)


@pytest.mark.parametrize("inplace", [False, True])
def test_hard_sigmoid_has_a_second_derivative_as_a_module_and_as_a_function(inplace):
    """h(x) = (x + 3) / 6 within its limits: the loss h(w)^2 at w = 1 has the derivative 2/9 and the second 1/18."""

    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(1, 1, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.hardsigmoid(self.fc(x), inplace=inplace)

    for module in (Gate(), nn.Sequential(nn.Linear(1, 1, bias=False), nn.Hardsigmoid(inplace))):
        network = Network(module)
        (name,) = network.weights

        def loss(w: torch.Tensor, network: Network = network, name: str = name) -> torch.Tensor:
            return network.call({**network.rest, name: w}, torch.ones(1, 1).double()).square().sum()

        w = torch.ones(1, 1).double()
        first, second = torch.func.grad(loss), torch.func.grad(lambda w: torch.func.grad(loss)(w).sum())
        assert first(w).item() == pytest.approx(2 / 9)
        assert second(w).item() == pytest.approx(1 / 18)
