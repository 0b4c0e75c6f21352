"""PHEW: random walks biased by |w|, and the graph they follow."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from pabench_criteria.phew import transitions
from torch import nn
from torch.nn import functional as F

import pabench
import pabench.networks.zoo
from pabench.errors import PluginError


def test_steps_have_the_probability_of_their_weight():
    """From the first input the weights are 1 and 3: steps of 1/4 and 3/4; a unit of zeros has no preference."""
    weight = torch.tensor([[1.0, 0.0], [-3.0, 0.0]])

    assert transitions(weight)[:, :, 0].tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert transitions(weight, reverse=True)[:, :, 0].tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_transition_probabilities_equal_the_official_ones(case):
    reference = case("a")
    official = reference.official("phew_official")

    for name in reference.names:
        weight = reference.module.get_parameter(name)
        forward, reverse = transitions(weight), transitions(weight, reverse=True)
        np.testing.assert_allclose(forward.sum(2).numpy(), official[f"prob_in_to_out/{name}"], rtol=1e-6)
        np.testing.assert_allclose(reverse.sum(2).numpy(), official[f"prob_out_to_in/{name}"], rtol=1e-6)
        kernel = forward / forward.sum(2, keepdim=True)
        np.testing.assert_allclose(kernel.flatten(0, 1)[0].numpy(), official[f"kernel_prob/{name}"])


def paths_through(masks):
    """Of each weight of a chain of linear layers, how many paths of kept weights lead through it."""
    matrices = [m.double() for m in masks.values()]
    forward, backward = [torch.ones(matrices[0].shape[1]).double()], [torch.ones(matrices[-1].shape[0]).double()]
    for m in matrices:
        forward.append(m @ forward[-1])
    for m in reversed(matrices):
        backward.insert(0, m.T @ backward[0])
    return [m * f * b[:, None] for m, f, b in zip(matrices, forward, backward[1:], strict=False)]


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.98])
def test_every_kept_weight_lies_on_a_kept_path_but_for_the_walk_that_was_cut(case, sparsity):
    """At most the two weights of the last walk, cut before its end, lead nowhere."""
    masks = pabench.prune(case("a").module, "phew", sparsity=sparsity, input_shape=(1, 8, 8))

    idle = sum(int((m.bool() & (p == 0)).sum()) for m, p in zip(masks.values(), paths_through(masks), strict=True))
    assert masks.receipt["kept"] == {0.5: 2464, 0.9: 493, 0.98: 99}[sparsity]
    assert idle <= 2


def test_layers_keep_what_the_official_draw_keeps(case):
    """Masks are random, their layer counts nearly not: within 4 standard deviations or so of the official draw."""
    reference = case("a")
    official = reference.official("phew_official")

    for sparsity in ("0.5", "0.9"):
        masks = pabench.prune(reference.module, "phew", sparsity=float(sparsity), input_shape=(1, 8, 8))
        for name, mask in masks.items():
            expected = int(official[f"mask_{sparsity}/{name}"].sum())
            assert int(mask.sum()) == pytest.approx(expected, abs=4 * expected**0.5 / 2)


@pytest.mark.parametrize("sparsity", [0.0, 0.02, 0.1, 0.5, 0.9, 0.9999])
def test_the_count_is_exact_at_every_density(case, sparsity):
    masks = pabench.prune(case("b").module, "phew", sparsity=sparsity, input_shape=(3, 16, 16))

    assert sum(int(m.sum()) for m in masks.values()) == 5064 - int(round(sparsity * 5064, 6))


def test_weights_of_zero_are_kept_last():
    """A walk never takes them; where the budget wants more than there is to walk, they fill it."""
    module = nn.Linear(4, 4, bias=False)
    torch.nn.init.ones_(module.weight)
    module.weight.data[:, 0] = 0
    module.weight.data[0, 0] = 1  # or all steps from the first input were equal

    exact = pabench.prune(module, "phew", sparsity=3 / 16, input_shape=(4,))["weight"]
    more = pabench.prune(module, "phew", sparsity=1 / 16, input_shape=(4,))["weight"]

    assert torch.equal(exact, module.weight != 0)
    assert int(more.sum()) == 15
    assert more[exact].all()


def test_masks_of_one_seed_are_nested_and_seeds_differ(case):
    module = case("b").module
    dense, sparse = (pabench.prune(module, "phew", sparsity=s, input_shape=(3, 16, 16)) for s in (0.5, 0.9))
    other = pabench.prune(module, "phew", sparsity=0.9, input_shape=(3, 16, 16), seed=1)

    assert all(not (sparse[n] & ~dense[n]).any() for n in dense)
    assert any(not torch.equal(sparse[n], other[n]) for n in other)


class Split(nn.Module):
    """Half of the channels pass by a grouped layer: each unit goes on to the layer that it feeds first."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        a = F.relu(self.a(x))
        return self.c(torch.cat([a[:, :2], self.b(a[:, 2:])], 1)).mean((2, 3))


def test_declines_a_network_without_a_graph_of_units():
    module = timm.create_model("test_vit", num_classes=4, img_size=32)

    with pytest.raises(PluginError, match="phew declines this network: attention is no sum over paths"):
        pabench.prune(module, "phew", sparsity=0.5, input_shape=(3, 32, 32))


def test_declines_units_that_lead_nowhere():
    class Wasteful(Split):
        def forward(self, x):
            a = F.relu(self.a(x))
            return self.c(torch.cat([a[:, :2], self.b(a[:, :2])], 1)).mean((2, 3))

    with pytest.raises(PluginError, match=r"2 of 4 units of a\.weight lead nowhere"):
        pabench.prune(Wasteful(), "phew", sparsity=0.5, input_shape=(2, 4, 4))
