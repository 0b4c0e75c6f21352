"""What holds for ProsPr, NTK-SAP, PHEW, PX and NPB alike."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import pabench

QUICK = {
    "prospr": {},
    "ntk_sap": {"steps": 3, "inputs_per_class": 1},
    "phew": {},
    "px": {"steps": 3},
    "npb": {},
}


def few(reference):
    """Ten images of the case: second derivatives of convolutions are slow on a CPU."""
    return reference.x[:10], reference.y[:10]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.9, 0.9999])
def test_keeps_exactly_the_count_asked_for(case, name, sparsity):
    reference = case("b")

    masks = pabench.prune(reference.module, name, sparsity=sparsity, batch=few(reference), **QUICK[name])

    # 5,064 weights: floor(sparsity * 5064) are removed
    assert sum(int(m.sum()) for m in masks.values()) == {0.0: 5064, 0.1: 4558, 0.9: 507, 0.9999: 1}[sparsity]


@pytest.mark.parametrize("name", QUICK)
def test_keeps_exactly_the_count_where_all_weights_are_the_same(name):
    """48 weights of 1/4 and one input: nothing but the order of the parameters or the seed can choose."""
    module = nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 4, bias=False))
    for p in module.parameters():
        nn.init.constant_(p, 0.25)
    batch = (torch.ones(4, 4), torch.arange(4))

    masks = pabench.prune(module, name, sparsity=0.5, batch=batch, **QUICK[name])

    assert sum(int(m.sum()) for m in masks.values()) == 24


@pytest.mark.parametrize("name", QUICK)
def test_leaves_the_network_and_the_global_random_state_as_they_were(case, name):
    reference = case("b")
    module = reference.module.train()
    module(reference.x[:8]).sum().backward()
    tensors = copy.deepcopy(module.state_dict())
    gradients = [p.grad.clone() for p in module.parameters()]
    random = torch.get_rng_state()

    pabench.prune(module, name, sparsity=0.9, batch=few(reference), **QUICK[name])

    assert all(torch.equal(t, tensors[n]) for n, t in module.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(module.parameters(), gradients, strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(m.training for m in module.modules())
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("name", QUICK)
def test_the_seed_decides_and_nothing_else_is_drawn(case, name):
    """Twice the same, whatever was drawn in between; those that draw at all draw otherwise for another seed."""
    reference = case("b")
    options = {"sparsity": 0.9, "batch": few(reference), **QUICK[name]}

    first = pabench.prune(reference.module, name, seed=3, **options)
    torch.manual_seed(99)
    again = pabench.prune(reference.module, name, seed=3, **options)
    other = pabench.prune(reference.module, name, seed=4, **options)

    assert all(torch.equal(first[n], again[n]) for n in first)
    differs = any(not torch.equal(first[n], other[n]) for n in first)
    assert differs == (name in ("ntk_sap", "phew", "npb"))


@pytest.mark.parametrize("name", QUICK)
def test_a_bare_linear_layer_is_a_network(name):
    module = nn.Linear(6, 3)
    batch = (torch.randn(9, 6, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3)

    assert int(pabench.prune(module, name, sparsity=0.5, batch=batch, **QUICK[name])["weight"].sum()) == 9


@pytest.mark.parametrize("name", ["prospr", "px"])
def test_permuting_hidden_units_permutes_the_scores(case, name):
    reference = case("a")
    permuted = copy.deepcopy(reference.module)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    permuted.fc1.weight.data, permuted.fc1.bias.data = permuted.fc1.weight[order].data, permuted.fc1.bias[order].data
    permuted.fc2.weight.data = permuted.fc2.weight[:, order].data

    a = pabench.score(reference.module, name, batch=few(reference), **QUICK[name])
    b = pabench.score(permuted, name, batch=few(reference), **QUICK[name])

    torch.testing.assert_close(a["fc1.weight"][order], b["fc1.weight"], rtol=1e-9, atol=1e-15)
