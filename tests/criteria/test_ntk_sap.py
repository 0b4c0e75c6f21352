"""NTK-SAP: the influence of each connection on how much random perturbations move the outputs."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from pabench_criteria import ntk_sap
from pabench_criteria.ntk_sap import NtkSap, batch_statistics, influence
from torch import nn

import pabench
from pabench import registry
from pabench.networks.network import Network
from pabench.scoring.context import Sources
from pabench.scoring.pruning import context, prune_all


def test_measures_a_linear_network_by_hand():
    """f = sum of m w z: moving w by e d changes f by e m d z, so d/dm of its square is 2 e^2 m d z (m d z summed).

    z = (1, 2), d = (3, -1), e = 0.1: the change is 0.1 (3 - 2) = 0.1, and the derivatives 2 * 0.1 * 0.1 * (3, -2).
    """
    module = nn.Linear(2, 1, bias=False)
    network = Network(module)
    ones = {"weight": torch.ones(1, 2).double()}
    direction = {"weight": torch.tensor([[3.0, -1.0]]).double()}

    found = influence(network.call, ones, network.weights, torch.tensor([[1.0, 2.0]]).double(), direction, 0.1)

    assert found["weight"].flatten().tolist() == pytest.approx([0.06, -0.04])


def test_the_distance_is_the_trace_of_the_tangent_kernel(case):
    """Over random directions the mean squared change is epsilon^2 times the squared norm of the Jacobian."""
    network = Network(case("a").module)
    z = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    tensors = {**network.rest, **network.weights}

    def outputs(w):
        return network.call({**network.rest, **w}, z)

    trace = sum(j.square().sum() for j in torch.func.jacrev(outputs)(network.weights).values())
    generator, changes = torch.Generator().manual_seed(1), []
    for _ in range(400):
        moved = {n: w + 1e-4 * torch.randn(w.shape, generator=generator).double() for n, w in network.weights.items()}
        changes.append((outputs(moved) - network.call(tensors, z)).square().sum() / 1e-8)

    # 400 draws of a quantity with a relative standard deviation of about 0.5
    assert torch.stack(changes).mean().item() == pytest.approx(trace.item(), rel=0.1)


def test_predicts_the_change_of_the_distance_when_a_connection_weakens(case):
    """BatchNorm's statistics are constants: those of the whole network, also for the weakened one."""
    reference = case("b")
    network = Network(reference.module)
    tensors = {**network.rest, **network.weights}
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(20, 3, 16, 16, generator=generator).double()
    d = {n: torch.randn(w.shape, generator=generator).double() for n, w in network.weights.items()}
    mask = {n: torch.ones_like(w) for n, w in network.weights.items()}
    found = influence(network.call, mask, tensors, z, d, 0.01)
    fixed = {**tensors, **batch_statistics(network.call, tensors, z)}

    def distance(value: float) -> float:
        m = {n: t.clone() for n, t in mask.items()}
        m["c2.weight"][3, 2, 1, 1] = value
        before = {n: m[n] * w for n, w in network.weights.items()}
        after = {n: m[n] * (w + 0.01 * d[n]) for n, w in network.weights.items()}
        outputs = [network.call({**fixed, **w}, z) for w in (before, after)]
        return (outputs[0] - outputs[1]).square().sum().item()

    assert (distance(1 + 1e-4) - distance(1 - 1e-4)) / 2e-4 == pytest.approx(
        found["c2.weight"][3, 2, 1, 1].item(), rel=1e-5
    )


def test_scores_are_those_of_the_inputs_weights_and_directions_of_the_round(case):
    """Weight-agnostic: the network's own weights only tell the distribution; another seed is another draw."""
    module = case("a").module
    options = {"steps": 1, "inputs_per_class": 1, "input_shape": (1, 8, 8)}

    first = pabench.score(module, "ntk_sap", seed=0, **options)["fc1.weight"]
    again = pabench.score(module, "ntk_sap", seed=0, **options)["fc1.weight"]
    other = pabench.score(module, "ntk_sap", seed=1, **options)["fc1.weight"]

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_probes_are_summed_before_the_absolute_value(case):
    """One of two probes is the single probe of the same seed: the second is another draw, and signs may cancel."""
    module = case("a").module
    options = {"steps": 1, "inputs_per_class": 1, "input_shape": (1, 8, 8)}

    one = pabench.score(module, "ntk_sap", **options)["fc1.weight"]
    two = pabench.score(module, "ntk_sap", probes=2, **options)["fc1.weight"]

    assert (two < one).any()
    assert (two > one).any()


def test_weights_are_drawn_again_for_every_probe_of_every_round(case):
    network = Network(case("a").module)
    drawn = []

    def redraw(seed):
        drawn.append(seed)
        return {**network.rest, **network.weights}

    rule = registry.criterion("ntk_sap", {"steps": 3, "probes": 2, "inputs_per_class": 1})
    prune_all(network, rule, [0.5], batches=(), seed=0, input_shape=(1, 8, 8), sources=Sources(redraw=redraw))

    assert len(set(drawn)) == 6


def drawn_for(classes, **parameters):
    """What a round draws on a linear network of so many outputs: the sizes of its batches, and how many of w differ."""
    network = Network(nn.Linear(3, classes))
    rule = registry.criterion("ntk_sap", parameters)
    ctx = context(network, rule, (), seed=0, input_shape=(3,))
    draws = list(rule._draws(ctx))
    return [len(z) for _, z, _ in draws], len({tuple(w["weight"].flatten().tolist()) for w, _, _ in draws})


def test_ten_inputs_a_class_come_in_batches_of_256_with_weights_of_their_own():
    """10 classes: one batch of 100. 100 classes: 1,000 inputs, 256 + 256 + 256 + 232, as the authors' loader gives."""
    assert drawn_for(10) == ([100], 1)
    assert drawn_for(100) == ([256, 256, 256, 232], 4)
    assert drawn_for(100, probes=2, inputs_per_class=3) == ([256, 44, 256, 44], 4)


def test_examples_hold():
    assert doctest.testmod(ntk_sap).failed == 0


def test_a_pruned_weight_never_returns(case):
    """Rounds are nested: the mask at 75 % after one of two linear rounds contains the final one."""
    module = case("a").module
    options = {"inputs_per_class": 1, "schedule": "linear", "input_shape": (1, 8, 8)}

    first = pabench.prune(module, "ntk_sap", sparsity=0.25, steps=1, **options)
    both = pabench.prune(module, "ntk_sap", sparsity=0.5, steps=2, **options)

    assert sum(int(m.sum()) for m in both.values()) == 2464
    assert all(not (both[n] & ~first[n]).any() for n in both)


# --- Official results, with their recorded noise ----------------------------------------------------------------------


def recorded(reference):
    """Mask of ones, weights of the case, and the noise that the official run drew."""
    file = reference.official("ntksap_official")
    network = Network(reference.module)
    mask = {n: torch.ones_like(w) for n, w in network.weights.items()}
    direction = {n: torch.tensor(file[f"dtheta/{n}"]).double() for n in network.weights}
    return file, network, mask, torch.tensor(file["Z"]).double(), direction


@pytest.mark.parametrize("letter", ["a", "b"])
def test_scores_and_masks_equal_the_official_ones(case, letter):
    reference = case(letter)
    file, network, mask, z, direction = recorded(reference)
    official = reference.flat(file, "score64")

    found = influence(network.call, mask, {**network.rest, **network.weights}, z, direction, 0.01)

    scores = torch.cat([g.abs().flatten() for g in found.values()])
    assert np.abs(scores.numpy() - official).max() < 1e-6 * np.abs(official).max()
    for sparsity in ("0.5", "0.9", "0.98", "0.999"):
        kept = reference.flat(file, f"mask64_{sparsity}").astype(bool)
        assert set(scores.topk(int(kept.sum())).indices.tolist()) == set(np.flatnonzero(kept))


@pytest.mark.parametrize("letter", ["a", "c"])
def test_two_batches_with_weights_of_their_own_add_up_as_the_official_ones(case, letter, monkeypatch):
    """Derivatives are added over batches, signs included, and the absolute value comes last."""
    reference = case(letter)
    file = reference.official("ntksap_batches")
    official = reference.flat(file, "score64")
    network = Network(reference.module)

    def tensors(what, number):
        return {n: torch.tensor(file[f"{what}/{number}/{n}"]).double() for n in network.weights}

    draws = [
        ({**network.rest, **tensors("w", i)}, torch.tensor(file[f"Z/{i}"]).double(), tensors("dtheta", i))
        for i in (0, 1)
    ]
    monkeypatch.setattr(NtkSap, "_draws", lambda rule, ctx: iter(draws))
    rule = NtkSap()

    found = rule.score(context(network, rule, (), seed=0, input_shape=draws[0][1].shape[1:]))

    scores = torch.cat([found[n].flatten() for n in reference.names])
    assert np.abs(scores.numpy() - official).max() < 1e-6 * official.max()
    for sparsity in ("0.5", "0.9", "0.98", "0.999"):
        kept = reference.flat(file, f"mask64_{sparsity}").astype(bool)
        assert set(scores.topk(int(kept.sum())).indices.tolist()) == set(np.flatnonzero(kept))


def test_the_statistics_of_batchnorm_equal_the_official_ones(case):
    file, network, _, z, _ = recorded(case("b"))

    found = batch_statistics(network.call, {**network.rest, **network.weights}, z)

    assert len(found) == 6
    for name, tensor in found.items():
        np.testing.assert_allclose(tensor.numpy(), file[f"bn_after/{name}"], rtol=1e-4, atol=1e-5)  # float32 run
