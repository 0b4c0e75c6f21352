"""Which unit feeds which, found by coded signals."""

from __future__ import annotations

import pytest
import timm
import torch
from pabench_criteria._wiring import INPUT, WiringError, wiring
from torch import nn
from torch.nn import functional as F

from pabench.networks.network import Network


def of(module: nn.Module, shape: tuple[int, ...]):
    network = Network(module)
    return wiring(network.call, network.weights, network.rest, shape)


def units(found, layer: str) -> dict[str, list[int]]:
    return {source: feed.tolist() for source, feed in found.feeds[layer].items()}


def test_a_chain_through_pooling_and_flattening():
    """Two channels on 4 x 4, pooled to 2 x 2 and flattened: each channel is four features."""
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)
    )

    found = of(module, (1, 4, 4))

    assert units(found, "0.weight") == {INPUT: [0]}
    assert units(found, "5.weight") == {"0.weight": [0, 0, 0, 0, 1, 1, 1, 1]}
    assert {source: feed.tolist() for source, feed in found.outputs.items()} == {"5.weight": [0, 1, 2]}


class Branches(nn.Module):
    """An identity past one layer, the reversed channels of another beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.Conv2d(6, 2, 1)

    def forward(self, x):
        a = F.gelu(self.a(x)) * 1e-6  # the scale of a layer, as ConvNeXt starts it
        b = self.b(a) + a
        return self.c(torch.cat([b, a.flip(1)], 1)).mean((2, 3))


def test_identities_sums_concatenations_and_permutations():
    found = of(Branches(), (1, 4, 4))

    assert units(found, "b.weight") == {"a.weight": [0, 1, 2]}
    assert units(found, "c.weight") == {"a.weight": [0, 1, 2, 2, 1, 0], "b.weight": [0, 1, 2, -1, -1, -1]}
    assert found.groups == {"a.weight": 1, "b.weight": 3, "c.weight": 1}
    assert list(found.feeds) == ["a.weight", "b.weight", "c.weight"]


def test_more_layers_than_one_pass_codes():
    """Twenty layers: each is fed by the one before it, also where the two are coded in different passes."""
    module = nn.Sequential(*(nn.Linear(3, 3) for _ in range(20)))

    found = of(module, (3,))

    assert all(units(found, f"{i}.weight") == {f"{i - 1}.weight": [0, 1, 2]} for i in range(1, 20))


def test_wiring_does_not_depend_on_weights_or_on_batchnorms_that_start_at_zero():
    """timm's default hides the residual branch from every gradient; its wiring is there all the same."""
    torch.manual_seed(0)
    module = timm.create_model("test_resnet", num_classes=4)
    zeroed = timm.create_model("test_resnet", num_classes=4)
    for p in zeroed.parameters():
        p.data.zero_()

    a, b = of(module, (3, 32, 32)), of(zeroed, (3, 32, 32))

    assert a.feeds.keys() == b.feeds.keys()
    for layer, sources in a.feeds.items():
        assert sources.keys() == b.feeds[layer].keys()
        assert all(torch.equal(feed, b.feeds[layer][source]) for source, feed in sources.items())


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        a = self.a(x)
        return self.c(a * a)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 2)

    def forward(self, x):
        return self.a(self.a(x))


class Mixing(nn.Module):
    """A layer over tokens: each of its units takes all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(1, 3, 1), nn.Linear(5, 5)

    def forward(self, x):
        return self.b(self.a(x)).flatten(1)


class Computing(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, torch.nn.functional.normalize(self.weight))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (Gated(), (2,), "what a.weight sends to c.weight is not passed on as it is"),
        (Twice(), (2,), "a.weight is applied more than once"),
        (Mixing(), (1, 5), "a unit of b.weight takes several units of a.weight at once"),
        (Computing(2, 2), (2,), "a linear computes its weight before it applies it"),
        (nn.Linear(2, 2), (), "the shape of the input is not known"),
    ],
)
def test_what_is_no_graph_of_units_is_named(module, shape, message):
    with pytest.raises(WiringError, match=message):
        of(module, shape)


def test_a_layer_that_is_never_applied_is_named():
    class Idle(Gated):
        def forward(self, x):
            return self.c(self.a(x))

    with pytest.raises(WiringError, match=r"b.weight is not applied \(1 of 3 layers\)"):
        of(Idle(), (2,))


def test_attention_is_no_graph_of_units():
    module = timm.create_model("test_vit", num_classes=4, img_size=32)

    with pytest.raises(WiringError, match="attention is no sum over paths"):
        of(module, (3, 32, 32))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory, self.head = nn.RNN(2, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.memory(x)[0][:, -1])


def test_a_recurrent_layer_is_named_where_its_weights_can_be_pruned_and_where_not():
    shape = (4, 2)
    for include, message in [
        (("recurrent",), "memory.weight_ih_l0 is applied at every step: a recurrent layer has paths without end"),
        ((), "a linear computes its weight before it applies it, or has one that stays dense"),
    ]:
        network = Network(Recurrent(), include=include)
        with pytest.raises(WiringError, match=message):
            wiring(network.call, network.weights, network.rest, shape)
