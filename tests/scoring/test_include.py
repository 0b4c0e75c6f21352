"""Attention and recurrent weights under the criteria: scores, masks and sizes as for any other weight."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import pabench
from pabench import registry
from pabench.errors import DenseWarning, SuiteError
from pabench.networks import size
from pabench.networks.network import Network, scoring_mode
from pabench.scoring.criterion import ScoreCriterion
from pabench.scoring.pruning import SkippedError, context

INCLUDE = ("attention", "recurrent")


class Attending(nn.Module):
    """A transformer's layer of four features and two heads over three places, and two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, activation="gelu")
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).mean(1))


class Recurrent(nn.Module):
    """Three units in each direction over three steps of four features, and two classes."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.memory, self.head = kind(4, 3, batch_first=True, bidirectional=True), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(x)[0].mean(1))


class Cell(nn.Module):
    def __init__(self, kind: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell, self.head = kind(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


MODULES = {
    "attention": Attending,
    **{kind.__name__: lambda kind=kind: Recurrent(kind) for kind in (nn.LSTM, nn.GRU, nn.RNN)},
    **{kind.__name__: lambda kind=kind: Cell(kind) for kind in (nn.LSTMCell, nn.GRUCell, nn.RNNCell)},
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODULES[name]()


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("criterion", ["snip", "grasp", "synflow"])
def test_scores_are_what_a_change_of_the_mask_predicts(name: str, criterion: str):
    """Central differences of what the score speaks of, in float64, at the weights of largest score of each tensor.

    Other weights of the tensor may have scores near 0, where a difference has nothing left.
    """
    rule = registry.criterion(criterion)
    assert isinstance(rule, ScoreCriterion)
    network, step = Network(made(name), bn=rule.bn, include=INCLUDE), 1e-4
    with scoring_mode(network.device):
        ctx = context(network, rule, [batch()], seed=0, input_shape=(3, 4))
        scores = rule.score(ctx)
        included = [n for n in scores if not n.endswith(".weight")]
        assert included

        def quantity(n: str, index: int, value: float) -> Tensor:
            entry = ctx.mask[n].clone()
            entry.view(-1)[index] = value
            return rule.quantity(replace(ctx, mask={**ctx.mask, n: entry})).detach()

        for n in included:
            for index in scores[n].abs().flatten().topk(3).indices.tolist():
                slope = (quantity(n, index, 1 + step) - quantity(n, index, 1 - step)) / (2 * step)
                expected = rule.predicted(slope, ctx.weights[n].flatten()[index])
                assert float(scores[n].flatten()[index]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_float32_scores_are_those_of_float64(name: str):
    """Second derivatives of sums over steps and places, which float32 rounds by 1e-6 each."""
    module = made(name)

    double = pabench.score(module, "grasp", batch=batch(), include=INCLUDE, dtype=torch.float64)
    single = pabench.score(module, "grasp", batch=batch(), include=INCLUDE, dtype=torch.float32)

    for n, s in double.items():
        torch.testing.assert_close(single[n].double(), s, rtol=1e-3, atol=1e-3 * float(s.abs().max()))


def test_masks_are_of_all_weights_that_are_included():
    """in_proj 12 x 4, out_proj 4 x 4, two of 8 x 4 and a head of 2 x 4: 136, of which 122 are removed at 0.9."""
    masks = pabench.prune(made("attention"), "snip", sparsity=0.9, batch=batch(), include=["attention"])

    assert [(n, m.numel()) for n, m in masks.items()] == [
        ("layer.self_attn.in_proj_weight", 48),
        ("layer.self_attn.out_proj.weight", 16),
        ("layer.linear1.weight", 32),
        ("layer.linear2.weight", 32),
        ("head.weight", 8),
    ]
    assert (masks.receipt["total"], masks.receipt["kept"], masks.receipt["dense"]) == (136, 136 - 122, {})


def test_effective_density_and_size_are_right_where_attention_is_pruned():
    """Without the second head's values: 24 of its weights that are kept, and 8 of the output's, are on no path."""

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.attention(x, x, x)[0].mean(1))

    masks = {"attention.in_proj_weight": (torch.arange(12) < 10).unsqueeze(1).expand(12, 4)}

    found = pabench.measure(Plain(), masks, "effective_density", input_shape=(3, 4), include=["attention"])

    # in_proj 24 of 48, out_proj 8 of 16, the head's 8
    assert found == {"effective_density": pytest.approx(40 / 72), "of_kept": pytest.approx(40 / 64)}
    # 48 + 12 in_proj, 16 + 4 out_proj, 8 + 2 head
    assert size.parameters(Plain(), masks) == {"dense": 90, "pruned": 82}
    flops = size.flops(Plain(), masks, (3, 4))
    assert flops["dense"] - flops["pruned"] == 2 * 8 * 3


def test_what_is_not_included_stays_out_of_masks_and_is_in_the_receipt():
    with pytest.warns(DenseWarning):
        masks = pabench.prune(made("LSTM"), "magnitude", sparsity=0.5)

    names = [f"memory.weight_{of}_l0{way}" for way in ("", "_reverse") for of in ("ih", "hh")]
    assert list(masks) == ["head.weight"]
    assert masks.receipt["dense"] == {"recurrent": {"names": names, "weights": 2 * (12 * 4 + 12 * 3)}}


def test_masks_of_weights_that_were_included_are_measured_with_them():
    module, masks = made("attention"), {"layer.self_attn.in_proj_weight": torch.ones(12, 4, dtype=torch.bool)}

    with pytest.raises(SuiteError, match=r"no prunable weight of this name; give include=\('recurrent', 'attention'\)"):
        pabench.measure(module, masks, "layer_collapse", input_shape=(3, 4), include=["recurrent"])
    with pytest.raises(SuiteError, match=r"head\.bias: the model has no prunable weight of this name$"):
        pabench.measure(module, {"head.bias": torch.ones(2, dtype=torch.bool)}, "layer_collapse", input_shape=(3, 4))


def test_an_unknown_kind_is_told_by_every_function_of_the_library():
    module, message = made("attention"), "include: no kind of weights 'heads'"
    for call in (
        lambda: pabench.score(module, "snip", batch=batch(), include=["heads"]),
        lambda: pabench.prune(module, "snip", sparsity=0.5, batch=batch(), include=["heads"]),
        lambda: pabench.measure(module, {}, "layer_collapse", input_shape=(3, 4), include=["heads"]),
    ):
        with pytest.raises(SuiteError, match=message):
            call()


def test_the_network_is_left_as_it_is():
    module = made("LSTM")
    before = {n: t.clone() for n, t in module.state_dict().items()}
    x, _ = batch()
    out = module(x)

    pabench.score(module, "grasp", batch=batch(), include=INCLUDE)

    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert torch.equal(module(x), out)
    assert "flatten_parameters" not in vars(module.memory)


@pytest.mark.parametrize("name", ["attention", "LSTM"])
def test_the_tangent_kernel_is_that_of_torchs_own_layers(name: str):
    """Its trace is the sum of squares of all derivatives of all logits, here of two images."""
    module = made(name).double().eval()
    x, y = batch()

    found = pabench.measure(module, {}, "ntk", batch=(x, y), samples=2, include=INCLUDE)

    weights = [p for n, p in module.named_parameters() if p.dim() > 1]
    logits = module(x[[0, 2]].double()).flatten()
    slopes = [torch.autograd.grad(out, weights, retain_graph=True) for out in logits]
    assert found["trace"] == pytest.approx(sum(float(g.square().sum()) for slope in slopes for g in slope), rel=1e-9)


@pytest.mark.parametrize("criterion", ["phew", "npb"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        (
            "attention",
            "self_attn.in_proj_weight is applied to a batch that is not one of images|attention is no sum over",
        ),
        ("RNN", "memory.weight_ih_l0 is applied at every step: a recurrent layer has paths without end"),
    ],
)
def test_criteria_of_paths_decline_what_is_no_graph_of_units(criterion: str, name: str, why: str):
    with pytest.raises(SkippedError, match=f"{criterion} declines this network: .*({why})"):
        pabench.prune(made(name), criterion, sparsity=0.5, input_shape=(3, 4), include=INCLUDE)
