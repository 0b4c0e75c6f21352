"""What stays dense is said in one line where it is much of a network."""

from __future__ import annotations

import warnings

import pytest
import timm
import torch
from torch import nn

import pabench
from pabench.errors import DenseWarning
from pabench.scoring.dense import warn


class Net(nn.Module):
    """Of 120 weights 48 are attention's and 24 words'."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.attention = nn.Embedding(6, 4), nn.MultiheadAttention(4, 1)
        self.head = nn.Linear(4, 8)


def said(call) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [w for w in found if issubclass(w.category, DenseWarning)]


def test_the_library_names_what_stays_dense_its_share_and_the_remedy():
    (found,) = said(lambda: pabench.prune(Net(), "magnitude", sparsity=0.5))

    assert str(found.message) == (
        "Net: 72 of 120 weights (60.0 %) stay dense: words.weight (embeddings); attention.in_proj_weight (attention); "
        "prune them with include=('attention',)"
    )
    assert found.filename == __file__  # the caller's line, not ours


def test_the_remedy_names_what_is_included_already_and_there_is_none_for_embeddings():
    module = nn.ModuleDict({"net": Net(), "memory": nn.GRU(4, 4)})

    found = said(lambda: pabench.score(module, "magnitude", include=["recurrent"]))
    assert str(found[0].message).endswith("; prune them with include=('recurrent', 'attention')")
    found = said(lambda: pabench.score(module, "magnitude", include=["recurrent", "attention"]))
    assert str(found[0].message) == "ModuleDict: 24 of 216 weights (11.1 %) stay dense: net.words.weight (embeddings)"


@pytest.mark.parametrize(("dense", "times"), [(4, 0), (5, 1)])
def test_a_twentieth_of_all_weights_is_worth_a_word(dense: int, times: int):
    told = {"others": {"names": ["w"], "weights": dense}}

    assert len(said(lambda: warn("Net", told, 100 - dense, ()))) == times


@pytest.mark.parametrize(
    "name",
    [
        *("test_vit", "test_resnet"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224")
        ),
    ],
)
def test_networks_of_timm_with_small_tables_pass_without_a_word(name: str):
    """Their receipts name the tables all the same."""
    module = timm.create_model(name)

    with warnings.catch_warnings():
        warnings.simplefilter("error", DenseWarning)
        masks = pabench.prune(module, "random", sparsity=0.5, dtype=torch.float32)

    assert ("embeddings" in masks.receipt["dense"]) == (name != "test_resnet")
