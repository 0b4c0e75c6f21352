"""Attention and recurrent layers in parts: the same numbers as torch's own, with all derivatives."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._pytree import tree_leaves

from pabench.networks.network import Network
from pabench.networks.parts import PARTS
from pabench.networks.rewire import Rewired

LAYERS = [(nn.LSTM, {}), (nn.LSTM, {"proj_size": 2}), (nn.GRU, {}), (nn.RNN, {}), (nn.RNN, {"nonlinearity": "relu"})]
CELLS = [(nn.LSTMCell, {}), (nn.GRUCell, {}), (nn.RNNCell, {}), (nn.RNNCell, {"nonlinearity": "relu"})]


@pytest.fixture(autouse=True)
def _double() -> Any:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def tensors(value: Any) -> list[Tensor]:
    leaves = tree_leaves(value, is_leaf=lambda v: isinstance(v, PackedSequence))
    return [leaf.data if isinstance(leaf, PackedSequence) else leaf for leaf in leaves if leaf is not None]


def assert_the_same(module: nn.Module, *args: Any, **kwargs: Any) -> None:
    """In float64; sums are taken in another order, which costs a last digit."""
    with torch.no_grad():
        own = tensors(module.eval()(*args, **kwargs))
        with Rewired(PARTS):
            parts = tensors(module(*args, **kwargs))
    for one, other in zip(own, parts, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "more"), LAYERS)
@pytest.mark.parametrize(("layers", "bidirectional", "bias"), list(product((1, 2), (False, True), (False, True))))
def test_a_recurrent_layer_gives_what_torch_gives(kind: Any, more: Any, layers: int, bidirectional: bool, bias: bool):
    """With and without a first state, of batches, of one sequence, and of packed ones of several lengths."""
    module = kind(3, 4, layers, bidirectional=bidirectional, bias=bias, batch_first=True, **more)
    h = torch.randn(layers * (2 if bidirectional else 1), 2, more.get("proj_size", 4))
    state = (h, torch.randn(len(h), 2, 4)) if kind is nn.LSTM else h

    assert_the_same(module, torch.randn(2, 5, 3))
    assert_the_same(module, torch.randn(2, 5, 3), state)
    assert_the_same(module, torch.randn(5, 3))
    assert_the_same(module, pack_sequence([torch.randn(n, 3) for n in (2, 5, 1, 4)], enforce_sorted=False))
    module.batch_first = False
    assert_the_same(module, torch.randn(5, 2, 3), state)


@pytest.mark.parametrize(("kind", "more"), CELLS)
@pytest.mark.parametrize("bias", [False, True])
def test_a_recurrent_cell_gives_what_torch_gives(kind: Any, more: Any, bias: bool):
    h = torch.randn(2, 4)

    assert_the_same(kind(3, 4, bias, **more), torch.randn(2, 3))
    assert_the_same(kind(3, 4, bias, **more), torch.randn(2, 3), (h, 2 * h) if kind is nn.LSTMCell else h)


@pytest.mark.parametrize(
    "more", [{}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"batch_first": True}]
)
@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_gives_what_torch_gives(more: Any, need_weights: bool):
    """To itself, to something else, and not to all of it."""
    module, x, other = nn.MultiheadAttention(4, 2, **more), torch.randn(6, 6, 4), torch.randn(6, 6, 4)
    later = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)

    assert_the_same(module, x, x, x, need_weights=need_weights)
    assert_the_same(module, x, other, other, need_weights=need_weights, average_attn_weights=False)
    assert_the_same(module, x, x, x, need_weights=need_weights, attn_mask=later)
    assert_the_same(module, x, x, x, need_weights=need_weights, key_padding_mask=later)


def test_attention_to_features_of_other_sizes_gives_what_torch_gives():
    module = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)

    assert_the_same(module, torch.randn(6, 2, 4), torch.randn(3, 2, 3), torch.randn(3, 2, 5))


def test_a_transformer_gives_what_torch_gives_by_its_fast_path():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    assert_the_same(nn.TransformerEncoder(layer, 2), torch.randn(2, 3, 4))


def test_a_rule_of_a_mode_around_reaches_into_attention():
    """With a softmax of equal shares every place receives the mean of the values, which are the input's own."""
    module = nn.MultiheadAttention(2, 1, bias=False, batch_first=True)
    module.in_proj_weight.data = torch.cat([torch.eye(2)] * 3)
    module.out_proj.weight.data = torch.eye(2)
    x = torch.tensor([[[1.0, 0.0], [3.0, 4.0]]])

    with Rewired({"softmax": lambda x, dim=-1, **_: torch.full_like(x, 0.5)}), Rewired(PARTS):
        out = module(x, x, x)[0]

    assert out.tolist() == [[[2.0, 2.0], [2.0, 2.0]]]


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.memory, self.head = kind(2, 1), nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(x)[0][-1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_network_has_the_second_derivatives_of_recurrent_weights(kind: type[nn.RNNBase]):
    """In float32; those of torch's own function in float64."""
    module, x = Recurrent(kind).float(), torch.randn(3, 1, 2)
    network = Network(module, dtype=torch.float32, include=["recurrent"])
    name = "memory.weight_ih_l0"

    def output(call: Any, w: Tensor, x: Tensor, rest: dict[str, Tensor]) -> Tensor:
        return call({**rest, name: w}, x).sum()

    rest = {**network.rest, **network.weights}
    found = hessian(lambda w: output(network.call, w, x.float(), rest))(network.weights[name])

    double = Recurrent(kind)
    double.load_state_dict(module.state_dict())
    own = dict(double.named_parameters())
    expected = hessian(lambda w: output(lambda t, x: functional_call(double, t, (x,)), w, x, own))(own[name].detach())
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


def test_a_network_does_not_move_recurrent_weights_into_the_buffer_of_a_kernel(monkeypatch):
    """On a GPU that would copy what a functional call brings, or fail within torch.func."""
    network = Network(Recurrent(nn.LSTM), include=["recurrent"])

    def flatten(self: nn.RNNBase) -> None:
        raise AssertionError("flattened")

    monkeypatch.setattr(nn.RNNBase, "flatten_parameters", flatten)
    w = {n: 2 * w for n, w in network.weights.items()}

    assert network.call({**network.rest, **w}, torch.randn(3, 1, 2)).shape == (1, 1)
