"""The empirical neural tangent kernel, where it is known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

import pabench
from pabench.diagnostics.metrics import ntk

X = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
BATCH = (X, torch.tensor([0, 1]))


def test_of_a_linear_layer_it_is_the_gram_matrix_of_the_inputs():
    """f = W x: Theta = X X^T (x) I = [[1, 1], [1, 5]] twice; trace 2 * 6, eigenvalues 3 +- sqrt(5)."""
    found = pabench.measure(nn.Linear(2, 2, bias=False), {}, "ntk", batch=BATCH)

    assert found["trace"] == pytest.approx(12)
    assert (found["smallest"], found["largest"]) == pytest.approx((3 - 5**0.5, 3 + 5**0.5))
    assert found["condition"] == pytest.approx((3 + 5**0.5) / (3 - 5**0.5))
    assert found["rank"] == 4


def test_the_sum_over_classes_has_a_row_for_each_image():
    """The gradient of f_1 + f_2 holds x twice: Theta = 2 X X^T, of the same trace here and rank 2."""
    found = pabench.measure(nn.Linear(2, 2, bias=False), {}, "ntk", batch=BATCH, outputs="sum")

    assert (found["trace"], found["rank"]) == (pytest.approx(12), 2)
    assert found["largest"] == pytest.approx(2 * (3 + 5**0.5))


def test_pruned_weights_are_no_parameters_and_a_singular_kernel_has_no_condition():
    """Row 0 keeps its first weight, row 1 none: Theta has the products 1 of first inputs in one 2 x 2 block, else 0."""
    masks = {"weight": torch.tensor([[True, False], [False, False]])}

    found = pabench.measure(nn.Linear(2, 2, bias=False), masks, "ntk", batch=BATCH)

    assert (found["trace"], found["largest"], found["smallest"]) == pytest.approx((2, 2, 0), abs=1e-12)
    assert (found["condition"], found["rank"]) == (None, 1)


def test_it_is_taken_at_the_masked_weights():
    """f = v u x, u = 2, v = 3, x = 1: df/du = v, df/dv = u: 9 + 4; where v is pruned, u has no gradient."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    model[0].weight.data.fill_(2.0)
    model[1].weight.data.fill_(3.0)
    batch = (torch.ones(1, 1), torch.tensor([0]))
    pruned = {"1.weight": torch.tensor([[False]])}

    assert pabench.measure(model, {}, "ntk", batch=batch)["trace"] == pytest.approx(13)
    assert pabench.measure(model, pruned, "ntk", batch=batch)["trace"] == pytest.approx(0)


@pytest.mark.parametrize("budget", [1, 10**9])
def test_made_layer_by_layer_or_at_once_it_equals_the_jacobian_of_torch_func(case, monkeypatch, budget):
    """The reference network with BatchNorm, on three images, half of its weights pruned."""
    monkeypatch.setattr(ntk, "BUDGET", budget)
    reference = case("b")
    model, x = reference.module.double().eval(), reference.x[:3].double()
    torch.manual_seed(0)
    masks = {n: torch.rand(model.get_parameter(n).shape) < 0.5 for n in reference.names}
    w = {n: model.get_parameter(n).detach() * m for n, m in masks.items()}
    jacobian = jacrev(lambda v: functional_call(model, v, (x,)))(w)
    flat = torch.cat([jacobian[n].detach().flatten(2)[..., masks[n].flatten()].flatten(0, 1) for n in w], 1)
    values = torch.linalg.eigvalsh(flat @ flat.T)

    found = pabench.measure(model, masks, "ntk", batch=(x, reference.y[:3]), samples=3)

    assert found["trace"] == pytest.approx(float(flat.square().sum()), rel=1e-10)
    assert found["largest"] == pytest.approx(float(values[-1]), rel=1e-10)
    assert found["condition"] == pytest.approx(float(values[-1] / values[0]), rel=1e-6)
