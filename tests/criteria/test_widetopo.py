"""WideTopo: scores of the authors' code, rounds that end where they should, and weights that return to empty units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pabench_criteria.widetopo as module
import pytest
import torch
from pabench_criteria.widetopo import WideTopo
from torch import nn

import pabench
from pabench.networks.network import Network
from pabench.scoring.pruning import context
from pabench.scoring.selection import kept_count


def drawn_by_the_authors(file, reference, which):
    """In the order of `_draws`: noise of the images, a probe of the outputs, a direction for each layer."""
    names = ["noise", "probe", *(f"direction/{n}" for n in reference.names)]
    return iter([torch.tensor(file[f"{which}/{name}"]) for name in names])


@pytest.mark.parametrize("letter", ["a", "b"])
@pytest.mark.parametrize(("which", "official"), [("dense", "score64"), ("pruned", "pruned64")])
def test_scores_equal_the_authors_code_on_the_same_noise(case, monkeypatch, letter, which, official):
    """Of the whole network, and of one of which 30 % is left, whose scores decay by density."""
    reference = case(letter)
    file = reference.official("widetopo_official")
    drawn = drawn_by_the_authors(file, reference, which)
    monkeypatch.setattr(module, "_normal", lambda like, generator: next(drawn).to(like))
    network, rule = Network(reference.module), WideTopo()
    batch = (reference.x[:20].double(), reference.y[:20])
    ctx = context(network, rule, [batch], seed=0, input_shape=reference.x.shape[1:])
    if which == "pruned":
        ctx = replace(ctx, mask={n: torch.tensor(file[f"mask/{n}"]).double() for n in reference.names})

    scores = rule.score(ctx)

    mine = torch.cat([scores[n].flatten() for n in reference.names]).numpy()
    expected = reference.flat(file, official)
    assert next(drawn, None) is None
    # the second difference of outputs by steps of 0.0005 has five digits less than a float64
    assert np.abs(mine - expected).max() < 1e-6 * np.abs(expected).max()


def linear(weight):
    layer = nn.Linear(len(weight[0]), len(weight), bias=False)
    layer.weight.data = torch.tensor(weight)
    return layer.double()


def test_on_a_linear_network_the_trace_is_the_images_and_the_weights_do_not_matter():
    """f = W x has the tangent kernel x^T x, in which no weight is: that term is 0, and the noise's is what is left."""
    batch = (torch.tensor([[1.0, 2.0]]).double(), torch.tensor([0]))

    trace = pabench.score(linear([[1.0, 2.0], [3.0, 4.0]]), "widetopo", batch=batch, ita=0.0)["weight"]
    change = pabench.score(linear([[1.0, 2.0], [3.0, 4.0]]), "widetopo", batch=batch, ntk=0.0)["weight"]

    assert trace.abs().max() == 0
    assert (change > 0).all()


def test_weights_return_to_units_that_have_the_fewest():
    """One weight is left, at place 0, 0. The unit in row 0 lacks half of its two, that of column 0 two of three; others
    lack all: a weight in row 1 or 2 and column 1 returns first, with 1, against 1 * 2/3 and 1/2 * 1."""
    rule = WideTopo(restoration_steps=1)
    mask = {"w": torch.tensor([[1, 0], [0, 0], [0, 0]], dtype=torch.bool)}
    last = module._Last(iter(()))
    last.masks, last.scores = mask, {"w": torch.ones(3, 2, dtype=torch.float64)}

    found = rule._restored(last, 1 / 6, 3 / 6, torch.Generator().manual_seed(0))["w"]

    assert found.int().tolist() == [[1, 0], [0, 1], [0, 1]]


def test_rounds_go_down_twice_restored_in_between(case):
    """At density 0.1 three times two rounds, which begin at 1, at 0.1^(1/2) and at 0.1^(3/4)."""
    reference = case("a")
    rule = WideTopo(steps=2, restoration_steps=3)
    network = Network(reference.module)
    batch = (reference.x[:10].double(), reference.y[:10])
    ctx = context(network, rule, [batch], seed=0, input_shape=reference.x.shape[1:])

    rounds = list(rule.rounds(ctx, 0.1))

    expected = [begin * (0.1 / begin) ** 0.5 if half else 0.1 for begin in (1, 0.1**0.5, 0.1**0.75) for half in (1, 0)]
    assert [r.density for r in rounds] == pytest.approx(expected, rel=1e-3)
    counts = [sum(int(m.sum()) for m in r.selection.masks.values()) for r in rounds]
    assert counts[1::2] == [kept_count(0.1, 4928)] * 3
    returned = [
        (later.selection.masks["fc1.weight"] & ~rounds[1].selection.masks["fc1.weight"]) for later in rounds[3::2]
    ]
    assert all(r.any() for r in returned)
