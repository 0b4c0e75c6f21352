"""Which weights lie on a live path, against the enumeration of all paths and in the networks of timm."""

from __future__ import annotations

import itertools
import random

import pytest
import timm
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from pabench.errors import PluginError
from pabench.networks.liveness import effective
from pabench.networks.network import Network, prunable_weights

Unit = tuple[int, int, int, int]  # tensor, channel, y, x


def live(module: nn.Module, masks: dict[str, Tensor], shape=(2, 3, 3)) -> dict[str, Tensor]:
    return effective(Network(module.eval()), masks, shape)


def counts(module: nn.Module, masks: dict[str, Tensor], shape=(2, 3, 3)) -> dict[str, int]:
    return {n: int(e.sum()) for n, e in live(module, masks, shape).items()}


def dense(module: nn.Module) -> dict[str, Tensor]:
    return {n: torch.ones_like(w, dtype=torch.bool) for n, w in Network(module).weights.items()}


class Graph(nn.Module):
    """A random network of convolutions (plain, grouped, depthwise, strided), residual sums and concatenations."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.layers = nn.ModuleDict()
        self.plan: list[tuple[str, tuple[int, ...], str]] = []
        shapes = [(2, 3, 3)]
        for _ in range(draw.randint(2, 4)):
            source = draw.randrange(len(shapes))
            channels, height, width = shapes[source]
            twin = [i for i, s in enumerate(shapes) if s[1:] == (height, width) and i != source]
            equal = [i for i in twin if shapes[i] == shapes[source]]
            what = draw.choice(["conv", "conv", "add" if equal else "conv", "cat" if twin else "conv"])
            if what == "add":
                self.plan.append(("add", (source, draw.choice(equal)), ""))
                shapes.append(shapes[source])
            elif what == "cat":
                other = draw.choice(twin)
                self.plan.append(("cat", (source, other), ""))
                shapes.append((channels + shapes[other][0], height, width))
            else:
                groups = draw.choice([g for g in (1, 2, channels) if channels % g == 0])
                kernel, stride = draw.choice([1, 2, 3]), draw.choice([1, 1, 2])
                out = groups * draw.choice([1, 2]) if groups > 1 else draw.choice([1, 2, 4])
                name = f"c{len(self.plan)}"
                self.layers[name] = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups)
                self.plan.append(("conv", (source,), name))
                size = [(n + 2 * (kernel // 2) - kernel) // stride + 1 for n in (height, width)]
                shapes.append((out, *size))
        self.shapes = shapes
        self.head = nn.Linear(shapes[-1][0], 2)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for what, sources, name in self.plan:
            given_ = [values[i] for i in sources]
            if what == "conv":
                values.append(F.relu(self.layers[name](given_[0])))
            else:
                values.append(given_[0] + given_[1] if what == "add" else torch.cat(given_, 1))
        return self.head(values[-1].mean((2, 3)))


class Paths:
    """The units of a `Graph` and their edges, each with the weight it carries: what a path is, without torch.

    No part of the network: a copy of it would copy thousands of edges.
    """

    def __init__(self, net: Graph) -> None:
        self.net = net
        self.edges: dict[Unit, list[tuple[Unit, tuple[str, tuple[int, ...]] | None]]] = {}
        for place, (what, sources, name) in enumerate(net.plan, 1):
            channels, height, width = net.shapes[place]
            for c, y, x in itertools.product(range(channels), range(height), range(width)):
                unit = (place, c, y, x)
                if what == "conv":
                    self._conv(unit, sources[0], name)
                elif what == "add":
                    for source in sources:
                        self._edge(unit, (source, c, y, x))
                else:
                    first = net.shapes[sources[0]][0]
                    self._edge(unit, (sources[0], c, y, x) if c < first else (sources[1], c - first, y, x))
        last = len(net.plan)
        channels, height, width = net.shapes[-1]
        for k, c, y, x in itertools.product(range(2), range(channels), range(height), range(width)):
            self._edge((last + 1, k, 0, 0), (last, c, y, x), ("head.weight", (k, c)))

    def _conv(self, unit: Unit, source: int, name: str) -> None:
        _, c, y, x = unit
        layer, (channels, height, width) = self.net.layers[name], self.net.shapes[source]
        inside, outside = channels // layer.groups, layer.out_channels // layer.groups
        kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
        for i, dy, dx in itertools.product(range(inside), range(kernel), range(kernel)):
            at_y, at_x = y * stride + dy - padding, x * stride + dx - padding
            if 0 <= at_y < height and 0 <= at_x < width:
                origin = (source, (c // outside) * inside + i, at_y, at_x)
                self._edge(unit, origin, (f"layers.{name}.weight", (c, i, dy, dx)))

    def _edge(self, unit: Unit, source: Unit, weight: tuple[str, tuple[int, ...]] | None = None) -> None:
        self.edges.setdefault(unit, []).append((source, weight))

    def on_paths(self, masks: dict[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
        """The weights of every path from a pixel to a logit, each path walked from its logit to its pixel."""
        found = set()
        walks = [((len(self.net.plan) + 1, k, 0, 0), ()) for k in range(2)]
        while walks:
            unit, carried = walks.pop()
            if unit[0] == 0:
                found.update(carried)
                continue
            for source, weight in self.edges.get(unit, ()):
                if weight is None or masks[weight[0]][weight[1]]:
                    walks.append((source, carried if weight is None else (*carried, weight)))
        return found


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**9), density=st.sampled_from([0.15, 0.3, 0.5]))
def test_effective_weights_are_those_of_all_enumerated_paths(seed, density):
    """Random networks with plain, grouped, depthwise and strided convolutions, sums and concatenations."""
    torch.manual_seed(seed)
    net = Graph(seed)
    masks = {n: torch.rand(w.shape) < density for n, w in prunable_weights(net).items()}

    found = {(n, tuple(i)) for n, e in live(net, masks).items() for i in e.nonzero().tolist()}

    assert found == Paths(net).on_paths(masks)


class Gated(nn.Module):
    """Squeeze and excitation around a residual convolution, then a gated linear unit."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 1, bias=False)
        self.body = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.squeeze = nn.Conv2d(4, 3, 1, bias=False)
        self.excite = nn.Conv2d(3, 4, 1, bias=False)
        self.up = nn.Linear(4, 6, bias=False)
        self.down = nn.Linear(3, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = F.relu(self.body(x))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        y += x
        a, b = self.up(F.avg_pool2d(y, 2).flatten(2).transpose(1, 2)).chunk(2, -1)
        return self.down(a * F.silu(b)).mean(1)


def test_a_cut_layer_without_bypass_leaves_nothing():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    masks = dense(net)
    masks["3.weight"][:] = False

    assert counts(net, masks) == {"0.weight": 0, "3.weight": 0, "5.weight": 0}


def test_a_dead_unit_takes_its_incoming_and_outgoing_weights_along():
    """3 hidden units; one has no way out, another no way in: 2 + 2 of 6 incoming, 2 of 6 outgoing are wasted."""
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    masks = dense(net)
    masks["1.weight"][:, 0] = False  # unit 0 leads nowhere
    masks["0.weight"][1] = False  # nothing leads to unit 1, whose bias makes it a constant

    assert counts(net, masks, (2,)) == {"0.weight": 2, "1.weight": 2}


def test_a_bypass_keeps_the_network_alive_where_its_branch_is_cut():
    net = Gated()
    masks = dense(net)
    masks["body.weight"][:] = False

    found = counts(net, masks)

    assert found == {
        **{"stem.weight": 8, "body.weight": 0, "squeeze.weight": 0, "excite.weight": 0},
        **{"up.weight": 24, "down.weight": 6},
    }


def test_an_operation_without_a_rule_is_named():
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.flatten(1)[:, :2].sort().values)

    with pytest.raises(PluginError, match="no rule for paths through the torch operation 'sort'"):
        live(Sorted(), {})


class Attending(nn.Module):
    """Attention of two heads over places of four features, and two classes; biases of attention start at 0."""

    def __init__(self, **more) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True, **more), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x)[0].mean(1))


def included(module: nn.Module, shape: tuple[int, ...], **pruned: list[tuple[int, ...]]) -> list[int]:
    """Effective weights of each tensor; `pruned` are places of the tensors that end in a name."""
    network = Network(module.eval(), include=("attention", "recurrent"))
    masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in network.weights.items()}
    for name, places in pruned.items():
        (mask,) = [m for n, m in masks.items() if n.removesuffix("_l0").removesuffix(".weight").endswith(name)]
        for place in places:
            mask[place] = False
    return [int(e.sum()) for e in effective(network, masks, shape).values()]


def rows(first: int, last: int) -> list[tuple[int, ...]]:
    return [(i,) for i in range(first, last)]


def test_attention_without_values_lets_nothing_through():
    """in_proj_weight is 12 x 4: rows of queries, keys and values."""
    assert included(Attending(), (3, 4)) == [48, 16, 8]
    assert included(Attending(), (3, 4), in_proj_weight=rows(8, 12)) == [0, 0, 0]


def test_a_head_without_values_is_dead_and_the_other_is_not():
    """The second head has the rows 2, 3 of queries, 6, 7 of keys, 10, 11 of values, and two columns of the output."""
    assert included(Attending(), (3, 4), in_proj_weight=rows(10, 12)) == [6 * 4, 4 * 2, 8]


def test_attention_without_queries_takes_the_mean_of_its_values():
    """Keys are compared with nothing, so that no path leads through them."""
    assert included(Attending(), (3, 4), in_proj_weight=rows(0, 4)) == [4 * 4, 16, 8]


def test_paths_pass_through_attention_with_features_of_other_sizes():
    class Across(Attending):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.attention(x, x[..., :3], x[..., :2])[0].mean(1))

    net = Across(kdim=3, vdim=2)

    assert included(net, (5, 4)) == [16, 12, 8, 16, 8]
    assert included(net, (5, 4), v_proj_weight=rows(0, 4)) == [0, 0, 0, 0, 0]
    assert included(net, (5, 4), q_proj_weight=rows(2, 4)) == [8, 6, 8, 16, 8]


class Remembering(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], hidden: int, bias: bool) -> None:
        super().__init__()
        self.memory, self.fc = kind(2, hidden, bias=bias, batch_first=True), nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.memory(x)[0][:, -1])


def test_a_unit_of_a_recurrent_layer_lives_by_what_it_sends_to_later_steps():
    """The classifier takes unit 0 alone. Unit 1 reaches it a step later, and itself a step before that."""
    net = Remembering(nn.RNN, 2, True)

    assert included(net, (1, 2), fc=[(0, 1), (1, 1)]) == [2, 0, 2]
    assert included(net, (2, 2), fc=[(0, 1), (1, 1)]) == [4, 2, 2]
    assert included(net, (3, 2), fc=[(0, 1), (1, 1)]) == [4, 4, 2]
    assert included(net, (3, 2), fc=[(0, 1), (1, 1)], weight_hh=[(0, 1)]) == [2, 1, 2]


def test_a_memory_without_content_is_dead_with_its_gates():
    """Of an LSTM of one unit without biases: gates of input, forgetting, content and output, in this order."""
    net = Remembering(nn.LSTM, 1, False)

    assert included(net, (2, 2)) == [8, 4, 2]
    assert included(net, (2, 2), weight_ih=[(2,)], weight_hh=[(2,)]) == [0, 0, 0]
    assert included(net, (2, 2), weight_ih=[(0,)], weight_hh=[(0,)]) == [6, 3, 2]
    assert included(net, (1, 2), weight_ih=[(0,)], weight_hh=[(0,)]) == [4, 0, 2]  # there is nothing yet to forget


def test_a_gated_unit_without_content_is_dead_with_its_gates():
    """Of a GRU: gates of resetting and updating, and content. The first step remembers nothing."""
    net = Remembering(nn.GRU, 1, False)

    assert included(net, (2, 2)) == [6, 3, 2]
    assert included(net, (2, 2), weight_ih=[(2,)], weight_hh=[(2,)]) == [0, 0, 0]
    assert included(net, (2, 2), weight_hh=[(2,)]) == [4, 1, 2]  # what is reset is nothing


CONSTANT = {
    "test_vit3": ("attn_pool.q",),
    "test_vit_relpos": ("rel_pos.mlp",),
    "edgenext_xx_small": ("pos_embd.token_projection",),
}
"""Weights that see a learned token or positions alone, by network."""
FAMILIES = [
    *("resnet18", "densenet121", "efficientnet_b0", "convnext_atto", "vit_tiny_patch16_224", "mixer_s16_224"),
    *("swin_tiny_patch4_window7_224", "maxvit_pico_rw_256", "coatnet_nano_rw_224", "efficientvit_b0", "regnety_002"),
    *("mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv4_conv_small", "resnext50_32x4d", "nfnet_f0", "dla34"),
    *("deit_tiny_patch16_224", "hrnet_w18_small", "inception_v3", "poolformer_s12", "gmlp_s16_224", "levit_128s"),
    *("edgenext_xx_small", "mobilevit_xxs", "convnextv2_atto", "coat_lite_tiny", "eva02_tiny_patch14_224"),
]


def whole(name: str) -> None:
    """All weights of the dense network are effective, save those that the input does not reach."""
    net = timm.create_model(name, num_classes=7)
    found = effective(Network(net, dtype=torch.float32), {}, net.pretrained_cfg["input_size"])

    for n, e in found.items():
        constant = any(part in n for part in CONSTANT.get(name, ()))
        assert not e.any() if constant else e.all(), n


@pytest.mark.parametrize("name", timm.list_models("test_*"))
def test_every_weight_of_a_dense_network_of_timm_is_effective(name):
    """Except queries of a learned token and position networks, which see constants alone."""
    whole(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_weight_of_a_dense_network_of_each_family_is_effective(name):
    whole(name)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_byobnet"])
def test_a_network_of_timm_without_its_stem_or_its_head_is_dead(name):
    net = timm.create_model(name, num_classes=7)
    network = Network(net, dtype=torch.float32)
    for end in (next(iter(network.weights)), list(network.weights)[-1]):
        masks = {end: torch.zeros_like(network.weights[end], dtype=torch.bool)}
        found = effective(network, masks, net.pretrained_cfg["input_size"])

        assert not any(e.any() for e in found.values())


def test_zeros_that_a_network_makes_may_be_asked_for_their_type():
    """A mask of no padding, as EdgeNeXt's positions make it: all paths stay."""

    class Padded(nn.Linear):
        def forward(self, x):
            padding = torch.zeros(x.shape).to(device=x.device, dtype=torch.bool)
            assert padding.dtype == torch.bool
            return super().forward(x * (~padding).to(x.dtype))

    network = Network(Padded(3, 2))

    found = effective(network, {"weight": torch.tensor([[True, False, True], [True, True, True]])}, (3,))

    assert found["weight"].tolist() == [[True, False, True], [True, True, True]]
