"""Layer allocations: what each layer keeps, against official code and by hand."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from pabench.errors import PluginError
from pabench.scoring import allocation
from pabench.scoring.allocation import fitted, lamp, layer_counts, layer_shares
from pabench.scoring.selection import kept_count, select

from ..conftest import REFERENCE

SPARSITIES = ("0.5", "0.9", "0.98", "0.999")


def resnet20():
    """Shapes of network c, in its order: a 1x1 shortcut after each block that changes the width."""
    shapes, wide = {"conv": (16, 3, 3, 3)}, 16
    for block in range(9):
        out = 16 * 2 ** (block // 3)
        shapes |= {f"{block}.conv1": (out, wide, 3, 3), f"{block}.conv2": (out, out, 3, 3)}
        if out != wide:
            shapes[f"{block}.shortcut"] = (out, wide, 1, 1)
        wide = out
    return {**shapes, "fc": (10, 64)}


SHAPES = {
    "a": {"fc1": (48, 64), "fc2": (32, 48), "fc3": (10, 32)},
    "b": {"c1": (8, 3, 3, 3), "c2": (16, 8, 3, 3), "c3": (24, 16, 3, 3), "fc": (10, 24)},
    "c": resnet20(),
}


def sizes(letter):
    return np.array([math.prod(shape) for shape in SHAPES[letter].values()])


def official(letter, sparsity, name):
    with np.load(REFERENCE / "erk.npz") as file:
        return file[f"{letter}/{sparsity}/{name}"]


def mine(name, letter, density):
    capacity = {n: math.prod(shape) for n, shape in SHAPES[letter].items()}
    shares = layer_shares(name, SHAPES[letter], capacity, density * sum(capacity.values()))
    return np.array([share / capacity[n] for n, share in shares.items()])


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(allocation) == (0, 1)


@pytest.mark.parametrize("letter", ["a", "b", "c"])
@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize(("name", "code"), [("erk", "vita_erk"), ("erk", "npb_erk"), ("er", "vita_er")])
def test_er_and_erk_are_those_of_official_code_that_redistributes(letter, sparsity, name, code):
    found = mine(name, letter, 1 - float(sparsity))

    assert np.abs(found - official(letter, sparsity, code)).max() < 1e-12


@pytest.mark.parametrize("letter", ["a", "b", "c"])
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_igq_is_that_of_official_code(letter, sparsity):
    """Its search stops within one weight of the total, 10 % of 5: ours at the total it reached is the same."""
    theirs, n = official(letter, sparsity, "vysog_igq"), sizes(letter)
    reached = (theirs * n).sum() / n.sum()

    assert abs(reached - (1 - float(sparsity))) * n.sum() < 1
    assert np.abs(mine("igq", letter, reached) - theirs).max() < 1e-9


def test_igq_by_hand():
    """Layers of 100 and 25 weights at F = 0.03: 100 / 4 = 25 and 25 / 1.75 = 14.2857 stay."""
    shares = layer_shares("igq", {"a": (10, 10), "b": (5, 5)}, {"a": 100, "b": 25}, 25 + 100 / 7)

    assert shares == pytest.approx({"a": 25, "b": 100 / 7}, rel=1e-12)


@pytest.mark.parametrize(
    ("letter", "sparsity"), [("b", "0.5"), ("b", "0.9"), ("c", "0.5"), ("c", "0.9"), ("c", "0.98")]
)
def test_uniform_plus_is_that_of_official_code_where_it_is_possible(letter, sparsity):
    found = mine("uniform_plus", letter, 1 - float(sparsity))

    assert np.abs(found - official(letter, sparsity, "vysog_uniform_plus")).max() < 1e-12


def test_uniform_plus_has_no_negative_densities():
    """216 weights of the first layer and 48 of the last are more than the 102 that stay: theirs keeps -3.5 %."""
    theirs = official("b", "0.98", "vysog_uniform_plus")
    counts = layer_counts("uniform_plus", SHAPES["b"], dict(zip(SHAPES["b"], map(int, sizes("b")), strict=True)), 102)

    assert theirs[1] == theirs[2] == pytest.approx(-0.0353125)
    # 102 * 216 / 264 = 83.45 and 102 * 48 / 264 = 18.55
    assert counts == {"c1": 83, "c2": 0, "c3": 0, "fc": 19}


@pytest.mark.parametrize(
    ("letter", "sparsity", "name"),
    [
        ("b", "0.5", "smart_ratio_vgg"),
        ("b", "0.9", "smart_ratio_vgg"),
        ("b", "0.98", "smart_ratio_vgg"),
        ("c", "0.9", "smart_ratio"),
        ("c", "0.98", "smart_ratio"),
        ("c", "0.999", "smart_ratio"),
    ],
)
def test_smart_ratio_is_that_of_official_code_before_it_rounds_down(letter, sparsity, name):
    """It truncates each layer to whole weights, and the scale's denominator too: at most 1.1 weights a layer."""
    n = sizes(letter)
    surplus = (mine(name, letter, 1 - float(sparsity)) - official(letter, sparsity, "smart_ratio_kept_fraction")) * n

    assert surplus.min() > -0.1
    assert surplus.max() < 1.1


def test_smart_ratio_by_hand():
    """Three layers: 12, 6 and, but for its 0.3, 2 parts; of 100 weights each and 60 that stay, 30 go to the last."""
    square = {"a": (10, 10, 1), "b": (10, 10, 1), "fc": (10, 10)}

    assert layer_counts("smart_ratio", square, dict.fromkeys(square, 100), 60) == {"a": 20, "b": 10, "fc": 30}
    # by 12 / 1, 6 / 4
    assert layer_counts("smart_ratio_vgg", square, dict.fromkeys(square, 100), 57) == {"a": 24, "b": 3, "fc": 30}
    # 30 of the last are more than 20: by 12, 6, 2
    assert layer_counts("smart_ratio", square, dict.fromkeys(square, 100), 20) == {"a": 12, "b": 6, "fc": 2}
    # the others are full: the last takes the rest
    assert layer_counts("smart_ratio", square, dict.fromkeys(square, 100), 250) == {"a": 100, "b": 100, "fc": 50}


def test_what_official_code_gets_wrong_is_not_ours():
    """RigL and JaxPruner floor each layer's zeros: 42 % more weights than asked for on a small network.

    Vysogorets' ERK passes what a full layer cannot take to the one before it: 16 times as many weights as there are.
    """
    rigl, passed_on = official("a", "0.999", "rigl_erk"), official("c", "0.5", "vysog_erk")

    assert (rigl * sizes("a")).sum() / (0.001 * sizes("a").sum()) == pytest.approx(1.4205, abs=1e-4)
    assert passed_on.max() == pytest.approx(16.0466, abs=1e-4)
    assert (mine("erk", "a", 0.001) * sizes("a")).sum() == pytest.approx(0.001 * 4928, rel=1e-12)
    assert mine("erk", "c", 0.5).max() == 1.0


def test_erk_redistributes_what_full_layers_cannot_take():
    """Capping alone asks for 50 % of a ResNet-18 and yields 38.9 %."""
    shapes = {"wide": (100, 100), "narrow": (5, 5)}

    counts = layer_counts("erk", shapes, {"wide": 10000, "narrow": 25}, 5000)

    assert counts == {"wide": 4975, "narrow": 25}


shape = st.tuples(st.integers(1, 12), st.integers(1, 12)) | st.tuples(*[st.integers(1, 5)] * 4)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(shape, st.floats(0, 1)), min_size=1, max_size=6),
    st.floats(0.001, 1),
    st.sampled_from(sorted(allocation.ALLOCATIONS)),
)
def test_every_allocation_meets_the_total_within_what_is_left_of_every_layer(layers, density, name):
    shapes = {str(i): shape for i, (shape, _) in enumerate(layers)}
    capacity = {str(i): round(alive * math.prod(shape)) for i, (shape, alive) in enumerate(layers)}
    kept = kept_count(density, sum(capacity.values()))

    counts = layer_counts(name, shapes, capacity, kept)

    assert sum(counts.values()) == kept
    assert all(0 <= counts[n] <= capacity[n] for n in shapes)


def test_a_layer_that_wants_nothing_takes_what_the_others_cannot():
    assert fitted({"a": 3.0, "b": 0.0}, {"a": 2, "b": 4}, 5) == {"a": 2.0, "b": 3.0}
    assert fitted({"a": 0.0, "b": 0.0}, {"a": 2, "b": 4}, 3) == {"a": 1.0, "b": 2.0}


def test_lamp_scores_by_hand():
    """Squares 1, 4, 4 and 0: 1 / 9, 4 / 8, 4 / 4, 0 / 9; the later of equal ones counts as the larger."""
    scores = lamp(torch.tensor([[-1.0, 2.0], [-2.0, 0.0]]))

    assert scores.tolist() == pytest.approx([1 / 9, 1 / 2, 1.0, 0.0])
    # without the last of them, the first is 1 / 5
    alive = lamp(torch.tensor([[-1.0, 2.0], [-2.0, 0.0]]), torch.tensor([[1, 1], [0, 1]]))
    assert alive.tolist() == pytest.approx([1 / 5, 1.0, 0.0, 0.0])
    assert lamp(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_lamp_gives_the_counts_and_the_criterion_chooses():
    """LAMP scores (1/9, 1/2, 1, 0) and (1, 9/25): the best three are two of the first layer and one of the second."""
    weights = {"a": torch.tensor([-1.0, 2.0, -2.0, 0.0]), "b": torch.tensor([4.0, 3.0])}
    scores = {"a": torch.tensor([9.0, 1.0, 1.0, 1.0]), "b": torch.tensor([0.0, 5.0])}

    chosen = select(scores, 3, allocation="lamp", weights=weights)

    assert chosen.masks["a"].tolist() == [True, True, False, False]
    assert chosen.masks["b"].tolist() == [False, True]


def test_counts_of_another_criterion_are_kept_within_what_is_left():
    """Two of three weights of the first layer are gone: its donor's third weight goes to the other layer."""
    scores = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([1.0, 2.0, 3.0])}
    layers = {"a": 2, "b": 1}

    dense = select(scores, 3, allocation="as:synflow", layers=layers)
    thin = {"a": torch.tensor([1.0, 0.0, 0.0]), "b": torch.ones(3)}
    later = select(scores, 3, allocation="as:synflow", layers=layers, within=thin)

    assert [m.tolist() for m in dense.masks.values()] == [[False, True, True], [False, False, True]]
    assert [m.tolist() for m in later.masks.values()] == [[True, False, False], [False, True, True]]


@pytest.mark.parametrize("name", ["lamp", "as:synflow"])
def test_an_allocation_that_needs_more_than_scores_says_so(name):
    with pytest.raises(PluginError, match=f"allocation '{name}' cannot be used here"):
        select({"a": torch.ones(3)}, 1, allocation=name)
