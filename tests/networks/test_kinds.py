"""Kinds of parameters: what is prunable where it is asked for, and what stays dense."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pabench.errors import SuiteError
from pabench.networks.kinds import dense, kind
from pabench.networks.network import prunable_weights


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.pos = nn.Embedding(7, 4), nn.Parameter(torch.zeros(1, 3, 4))
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.across = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
        self.memory = nn.LSTM(4, 3, proj_size=2, bidirectional=True)
        self.cell = nn.GRUCell(4, 2)
        self.norm, self.pairs = nn.LayerNorm((3, 4)), nn.Bilinear(2, 3, 4)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))
        self.head = nn.Linear(4, 2)


ATTENTION = {
    **{"attention.in_proj_weight": 12 * 4},
    **{"across.q_proj_weight": 4 * 4, "across.k_proj_weight": 4 * 3, "across.v_proj_weight": 4 * 5},
}
RECURRENT = {
    **{f"memory.weight_{of}_l0": size for of, size in (("ih", 12 * 4), ("hh", 12 * 2), ("hr", 2 * 3))},
    **{f"memory.weight_{of}_l0_reverse": size for of, size in (("ih", 12 * 4), ("hh", 12 * 2), ("hr", 2 * 3))},
    **{"cell.weight_ih": 6 * 4, "cell.weight_hh": 6 * 2},
}
PLAIN = ["attention.out_proj.weight", "across.out_proj.weight", "head.weight"]


def test_attention_and_recurrent_weights_are_prunable_where_they_are_included():
    module = Mixed()

    assert list(prunable_weights(module)) == PLAIN
    assert set(prunable_weights(module, ["attention"])) == {*PLAIN, *ATTENTION}
    assert set(prunable_weights(module, ["recurrent"])) == {*PLAIN, *RECURRENT}
    assert set(prunable_weights(module, ["attention", "recurrent"])) == {*PLAIN, *ATTENTION, *RECURRENT}


def test_what_stays_dense_has_its_kind_and_size():
    """Norms and biases, of whatever shape, are no weights; a place or a token is an embedding."""
    module, found = Mixed(), dense(Mixed(), prunable_weights(Mixed()))

    assert found == {
        "embeddings": {"pos": 12, "token": 4, "words.weight": 28},
        "attention": ATTENTION,
        "recurrent": RECURRENT,
        "others": {"pairs.weight": 24},
        "computed weights": {
            "normed.parametrizations.weight.original0": 2,
            "normed.parametrizations.weight.original1": 8,
        },
    }
    assert kind(module, "attention.bias_k") == kind(module, "memory.bias_ih_l0") == "biases"
    assert kind(module, "norm.weight") == "norms"


def test_what_is_included_does_not_stay_dense():
    prunable = prunable_weights(Mixed(), ("attention", "recurrent"))

    assert set(dense(Mixed(), prunable)) == {"embeddings", "others", "computed weights"}
    assert {n: w.numel() for n, w in prunable.items() if n in ATTENTION} == ATTENTION


def test_recurrent_weights_with_weight_norm_are_computed():
    with pytest.warns(FutureWarning):
        module = nn.ModuleList([nn.Linear(2, 2), nn.utils.weight_norm(nn.LSTM(2, 2), "weight_hh_l0")])

    assert set(prunable_weights(module, ["recurrent"])) == {"0.weight", "1.weight_ih_l0"}
    assert dense(module, prunable_weights(module, ["recurrent"])) == {
        "computed weights": {"1.weight_hh_l0_g": 8, "1.weight_hh_l0_v": 16}
    }


def test_a_head_tied_to_an_embedding_does_not_stay_dense():
    module = nn.ModuleDict({"words": nn.Embedding(5, 2), "head": nn.Linear(2, 5)})
    module["head"].weight = module["words"].weight

    assert list(prunable_weights(module)) == ["words.weight"]
    assert dense(module, prunable_weights(module)) == {}


def test_an_unknown_kind_is_told_with_the_known_ones():
    message = r"include: no kind of weights 'atention'; did you mean 'attention'\? known: attention, recurrent"
    with pytest.raises(SuiteError, match=message):
        prunable_weights(Mixed(), ["atention"])


def test_one_kind_as_a_word_is_told_how_to_write_it():
    with pytest.raises(SuiteError, match=r"include: expected a list of kinds, as in include=\('recurrent',\)"):
        prunable_weights(Mixed(), "recurrent")


def test_a_network_with_nothing_else_to_prune_is_told_what_to_include():
    with pytest.raises(
        SuiteError, match=r"GRU has no weights to prune: .*; include=\('recurrent',\) prunes what it has"
    ):
        prunable_weights(nn.GRU(2, 2))
    assert list(prunable_weights(nn.GRU(2, 2), ["recurrent"])) == ["weight_ih_l0", "weight_hh_l0"]
