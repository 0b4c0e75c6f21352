"""Masks of a form: at most n of m neighbouring inputs, or whole channels, by the highest scores."""

from __future__ import annotations

import doctest

import pytest
import torch
from torch import nn

import pabench
from pabench.errors import PluginError, SuiteError
from pabench.scoring import pattern as module
from pabench.scoring.pattern import formed
from pabench.scoring.pruning import SkippedError
from pabench.scoring.selection import kept_count
from pabench.store.maskbits import unformed


def test_the_examples_hold():
    assert doctest.testmod(module).failed == 0


def test_two_of_four_neighbours_stay_by_their_scores():
    scores = {"w": torch.tensor([[1.0, 4.0, 3.0, 2.0, -5.0, -6.0, -7.0, -8.0]])}

    assert formed("2:4", scores, 4).masks["w"].int().tolist() == [[0, 1, 1, 0, 1, 1, 0, 0]]
    assert formed("2:4", scores, 4, lowest=True).masks["w"].int().tolist() == [[1, 0, 0, 1, 0, 0, 1, 1]]
    assert formed("1:4", scores, 2).masks["w"].int().tolist() == [[0, 1, 0, 0, 1, 0, 0, 0]]


def test_neighbours_of_a_convolution_are_channels_at_one_place_of_the_kernel():
    """4 input channels of 1 x 2 kernels: the groups are the columns."""
    scores = {"w": torch.tensor([[[[1.0, 8.0]], [[2.0, 7.0]], [[3.0, 6.0]], [[4.0, 5.0]]]])}

    assert formed("2:4", scores, 4).masks["w"].int().flatten().tolist() == [0, 1, 0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize("pattern", ["2:4", "1:4", "3:4", "1:2", "4:8"])
def test_the_count_is_exact_where_inputs_are_no_multiple(pattern):
    """Three colours, 6 and 10 inputs: of the last few no more than n stay, and in all exactly n / m."""
    torch.manual_seed(0)
    n, m = map(int, pattern.split(":"))
    shapes = {"a": (8, 3, 3, 3), "b": (16, 6, 3, 3), "c": (5, 10), "d": (4, 1, 3, 3)}
    scores = {name: torch.randn(shape) for name, shape in shapes.items()}
    kept = kept_count(n / m, sum(s.numel() for s in scores.values()))

    masks = formed(pattern, scores, kept).masks

    assert sum(int(x.sum()) for x in masks.values()) == kept
    assert all(unformed(x.numpy(), pattern) == 0 for x in masks.values())


def test_equal_scores_go_by_index_and_are_counted():
    chosen = formed("2:4", {"w": torch.tensor([[1.0, 1.0, 1.0, 5.0], [1.0, 2.0, 3.0, 4.0]])}, 4)

    assert chosen.masks["w"].int().tolist() == [[1, 0, 0, 1], [0, 0, 1, 1]]
    assert (chosen.tied, chosen.kept_of_tied) == (3, 1)


def test_in_rounds_every_group_can_still_meet_the_pattern(case):
    reference = case("b")

    for criterion in ("iter_snip", "force", "synflow"):
        masks = pabench.prune(reference.module, criterion, sparsity=0.5, batch=reference.batch, pattern="2:4", steps=4)
        assert masks.receipt["kept"] == kept_count(0.5, masks.receipt["total"])
        assert all(unformed(m.numpy(), "2:4") == 0 for m in masks.values())


def test_another_sparsity_than_the_pattern_s_is_refused_in_a_sentence(case):
    reference = case("b")

    with pytest.raises(
        PluginError, match=r"pattern 2:4 keeps 2 of 4 weights, a sparsity of 0\.5, and 0\.9 is asked for"
    ):
        pabench.prune(reference.module, "magnitude", sparsity=0.9, pattern="2:4")
    with pytest.raises(SuiteError, match="magnitude: pattern: string should match pattern"):
        pabench.prune(reference.module, "magnitude", sparsity=0.5, pattern="two of four")
    with pytest.raises(SuiteError, match="magnitude: pattern: 4:2 keeps more than there are"):
        pabench.prune(reference.module, "magnitude", sparsity=0.5, pattern="4:2")
    with pytest.raises(SuiteError, match="magnitude: pattern: 2:4 goes with allocation: global, not erk"):
        pabench.prune(reference.module, "magnitude", sparsity=0.5, pattern="2:4", allocation="erk")


def test_whole_channels_stay_by_their_mean_score_and_the_last_layer_whole():
    """Rows of 2 weights with means 3, 1, 5 and of 3 weights with means 4, 2; 2 weights of the last. Room for 10 - 2:
    5 (2), 4 (3), 3 (2) are 7, and the row of mean 2 has 3 more."""
    scores = {
        "a": torch.tensor([[3.0, 3.0], [2.0, 0.0], [4.0, 6.0]]),
        "b": torch.tensor([[4.0, 4.0, 4.0], [2.0, 2.0, 2.0]]),
        "last": torch.tensor([[0.0, 0.0]]),
    }

    chosen = formed("channels", scores, 10)

    assert chosen.masks["a"].int().tolist() == [[1, 1], [0, 0], [1, 1]]
    assert chosen.masks["b"].int().tolist() == [[1, 1, 1], [0, 0, 0]]
    assert chosen.masks["last"].all()
    within = {"a": torch.tensor([[0, 0], [1, 1], [1, 1]]), "b": torch.ones(2, 3), "last": torch.ones(1, 2)}
    assert formed("channels", scores, 10, within=within).masks["a"].int().tolist() == [[0, 0], [0, 0], [1, 1]]
    with pytest.raises(PluginError, match="channels: 3 weights are to stay, and last, whose channels are the classes"):
        formed("channels", scores, 3)


@pytest.mark.parametrize("criterion", ["magnitude", "snip", "random", "iter_snip"])
def test_channels_go_with_any_score_and_the_receipt_has_both_counts(case, criterion):
    reference = case("b")
    more = {"steps": 3} if criterion == "iter_snip" else {}

    masks = pabench.prune(reference.module, criterion, sparsity=0.8, batch=reference.batch, pattern="channels", **more)

    receipt = masks.receipt
    assert receipt["requested"] == kept_count(0.2, 5064)
    assert receipt["kept"] == sum(int(m.sum()) for m in masks.values())
    largest = max(m[0].numel() for m in masks.values())
    assert receipt["requested"] - largest < receipt["kept"] <= receipt["requested"]
    assert all(unformed(m.numpy(), "channels") == 0 for m in masks.values())
    assert receipt["parameters"]["pattern"] == "channels"


class HeadFirst(nn.Module):
    """Its classifier is made before the layers below it."""

    def __init__(self):
        super().__init__()
        self.head, self.first, self.second = nn.Linear(20, 3), nn.Linear(6, 20), nn.Linear(20, 20)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu())


@pytest.mark.parametrize("pattern", ["channels", "2:4"])
def test_transposed_convolutions_have_no_such_form(pattern):
    """Their weights are (inputs, outputs, ...): channels and neighbours would be those of the other side."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3), nn.Flatten(), nn.Linear(256, 3))
    with pytest.raises(SkippedError, match=rf"pattern {pattern} .* 2\.weight of a transposed convolution"):
        pabench.prune(network, "random", sparsity=0.5, input_shape=(3, 8, 8), pattern=pattern)


def test_a_classifier_that_is_not_made_last_is_found_out():
    """Each of its channels would be pruned as any other: no class would be left."""
    with pytest.raises(SkippedError, match=r"second\.weight has 20 channels where the network has 3 outputs"):
        pabench.prune(HeadFirst(), "magnitude", sparsity=0.5, input_shape=(6,), pattern="channels")
