"""How large a network is: parameters and FLOPs that a human can add up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pabench.networks import models as models, size
from pabench.suite.specs import ModelSpec


def network() -> nn.Module:
    """On 1 x 4 x 4 images: 4 filters of 9 weights on 2 x 2 places, then 16 x 3 weights and 3 biases."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def masks() -> dict[str, torch.Tensor]:
    """One filter of four is left, and 12 of 48 weights."""
    conv = torch.zeros(4, 1, 3, 3, dtype=torch.bool)
    conv[0] = True
    return {"0.weight": conv, "3.weight": torch.arange(48).reshape(3, 16) < 12}


def test_parameters_are_counted_with_biases_and_less_what_is_pruned():
    assert size.parameters(network(), {}) == {"dense": 36 + 48 + 3, "pruned": 36 + 48 + 3}
    assert size.parameters(network(), masks()) == {"dense": 87, "pruned": 9 + 12 + 3}


def test_each_use_of_a_weight_is_two_operations():
    """36 weights at 4 places each, 48 at one; of both layers a quarter is left."""
    layers = {"0.weight": 2 * 36 * 4, "3.weight": 2 * 48}

    assert size.flops(network(), {}, (1, 4, 4)) == {"dense": 384, "pruned": 384}
    assert size.flops(network(), masks(), (1, 4, 4)) == {"dense": 384, "pruned": 96, "layers": layers}


def quarter(module: nn.Module, *names: str) -> dict[str, Tensor]:
    """Masks that keep the first quarter of each weight's entries."""
    found = {}
    for n in names:
        w = module.get_parameter(n)
        found[n] = (torch.arange(w.numel()) < w.numel() // 4).view(w.shape)
    return found


class Tied(nn.Module):
    """Four words of two numbers each, looked up at three places, and scored by the same numbers at each."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(4, 2)
        self.head = nn.Linear(2, 4, bias=False)
        self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.words(x.long()))


def test_a_weight_tied_to_an_embedding_takes_the_flops_of_the_layer_that_multiplies_by_it():
    """2 x 8 weights at 3 places; a quarter is left. Looking up takes none."""
    found = size.flops(Tied(), quarter(Tied(), "words.weight"), (3,))

    assert found == {"dense": 48, "pruned": 12, "layers": {"words.weight": 48}}


def test_a_weight_of_two_layers_takes_the_flops_of_both():
    """4 weights are used twice, the other 4 once."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 2))
    net[2].weight = net[0].weight

    found = size.flops(net, quarter(net, "0.weight"), (2,))

    assert found == {"dense": 24, "pruned": 24 - 12, "layers": {"0.weight": 16}}


class Standardised(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight - self.weight.mean())


def test_a_weight_of_two_layers_that_standardise_it_takes_the_flops_of_both():
    net = nn.Sequential(Standardised(2, 2), nn.ReLU(), Standardised(2, 2))
    net[2].weight = net[0].weight

    assert size.flops(net, quarter(net, "0.weight"), (2,)) == {"dense": 16, "pruned": 4, "layers": {"0.weight": 16}}


class Borrowed(nn.Module):
    """A layer that is never called: its weight is used, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.fc.weight.T


def test_a_weight_that_is_used_outside_its_layer_takes_the_flops_of_its_use():
    found = size.flops(Borrowed(), quarter(Borrowed(), "fc.weight"), (2,))

    assert found == {"dense": 16, "pruned": 4, "layers": {"fc.weight": 16}}


class Token(nn.Module):
    """A parameter goes into a layer, as the class token of CaiT does."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.fc = nn.Parameter(torch.zeros(1, 2)), nn.Linear(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(self.token.expand(1, -1))


def test_a_parameter_may_be_the_input_of_a_layer():
    assert size.flops(Token(), {}, (4,))["dense"] == 16


class Attending(nn.Module):
    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention, self.need_weights = nn.MultiheadAttention(4, 2, batch_first=True), need_weights

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=self.need_weights)[0]


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_takes_the_flops_of_its_projections_and_of_its_scores(need_weights: bool):
    """12 x 4 and 4 x 4 weights at 3 places; two heads of 2 features compare 3 x 3 places, and add up as many."""
    net = Attending(need_weights)
    names = ("attention.in_proj_weight", "attention.out_proj.weight")

    found = size.flops(net, quarter(net, *names), (3, 4))

    projections = {names[0]: 2 * 48 * 3, names[1]: 2 * 16 * 3}
    attending = 2 * (2 * 3 * 3 * 2) + 2 * (2 * 3 * 3 * 2)
    dense = sum(projections.values()) + attending
    assert found == {"dense": dense, "pruned": dense - 3 * (288 + 96) // 4, "layers": projections}


def test_attention_to_something_else_takes_the_flops_of_each_part_of_the_projection():
    """Queries from 3 places, keys and values from 6: 16 weights at 3 places and 32 at 6."""

    class Across(Attending):
        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, torch.cat([x, x], 1), torch.cat([x, x], 1))[0]

    net = Across(True)

    found = size.flops(net, quarter(net, "attention.in_proj_weight"), (3, 4))

    assert found["layers"] == {"attention.in_proj_weight": 2 * (16 * 3 + 32 * 6)}


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_a_recurrent_layer_takes_the_flops_of_every_step(kind: type[nn.Module], gates: int):
    """Five steps; each gate has 2 units, with 3 inputs and 2 remembered."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = kind(3, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.memory(x)[0]

    net = Recurrent()
    names = ("memory.weight_ih_l0", "memory.weight_hh_l0")

    found = size.flops(net, quarter(net, *names), (5, 3))

    layers = {names[0]: 2 * gates * 6 * 5, names[1]: 2 * gates * 4 * 5}
    kept = {n: 2 * 5 * (gates * size // 4) for n, size in zip(names, (6, 4), strict=True)}
    assert found == {"dense": sum(layers.values()), "pruned": sum(kept.values()), "layers": layers}


@pytest.mark.parametrize("name", ["resnet20", "test_vit", "mobilenetv3_small_050"])
def test_flops_are_those_of_torchs_own_counter(name):
    """Which imports the compiler: a second in every process that trains."""
    net = models.build(models.resolve(ModelSpec(name), 10, (3, 32, 32)), 10, (3, 32, 32), seed=0).eval()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 32, 32))

    assert size.flops(net, {}, (3, 32, 32))["dense"] == counter.get_total_flops() > 0
