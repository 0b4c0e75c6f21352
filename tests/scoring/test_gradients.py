"""Who is lent a gradient that has been taken, and who takes one anew."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pabench.networks.network import Network
from pabench.scoring.context import ScoreContext
from pabench.scoring.gradients import Taken
from pabench.scoring.parts import Parted
from pabench.scoring.pruning import gradient_norm


class Counting(nn.Linear):
    """Counts how often it is run; `noisy` adds random numbers of its own."""

    noisy = False
    runs = 0

    def forward(self, x):
        type(self).runs += 1
        out = super().forward(x.flatten(1))
        return out + F.dropout(torch.ones_like(out)) if self.noisy else out


@pytest.fixture
def model():
    torch.manual_seed(0)
    Counting.runs = 0
    return Counting(4, 3)


BATCH = torch.arange(20, dtype=torch.float64).view(5, 4).sin(), torch.arange(5) % 3


def context(network: Network, batches=(BATCH,)) -> ScoreContext:
    ones = {n: torch.ones_like(w) for n, w in network.weights.items()}
    return ScoreContext(network.weights, ones, dict(network.rest), network.call, batches, (), taken=Taken())


def test_who_asks_for_the_same_gradient_is_lent_it(model):
    """The weights may be other tensors, and so may the images: what counts is what is in them."""
    ctx = context(Network(model))
    first = ctx.gradient(ctx.kept)
    runs = Counting.runs

    again = replace(ctx, batches=tuple((x.clone(), y.clone()) for x, y in ctx.batches), rest=dict(ctx.rest))

    assert {n: g.tolist() for n, g in again.gradient(ctx.kept).items()} == {n: g.tolist() for n, g in first.items()}
    assert (Counting.runs, ctx.taken.lent) == (runs, 1)
    assert ctx.taken.seconds > 0


def test_every_other_gradient_is_taken_anew_and_none_takes_the_place_of_the_first(model):
    network = Network(model)
    ctx = context(network)
    ctx.gradient(ctx.kept)
    (x, y), w = BATCH, ctx.kept
    others = [
        (ctx, {n: 2 * t for n, t in w.items()}, 1.0),
        (ctx, w, 200.0),
        (replace(ctx, batches=((x + 1, y),)), w, 1.0),
        (replace(ctx, batches=((x, 2 - y.clamp(max=2)),)), w, 1.0),
        (replace(ctx, batches=(BATCH, BATCH)), w, 1.0),
        (replace(ctx, share=0.5), w, 1.0),
        (replace(ctx, rest={n: t + 1 for n, t in ctx.rest.items()}), w, 1.0),
        (replace(ctx, call=Network(model).call), w, 1.0),
    ]

    for other, weights, temperature in others:
        alone = replace(other, taken=None).gradient(weights, temperature)
        assert {n: g.tolist() for n, g in other.gradient(weights, temperature).items()} == {
            n: g.tolist() for n, g in alone.items()
        }
    assert ctx.taken.lent == 0
    ctx.gradient(ctx.kept)
    assert ctx.taken.lent == 1


def test_images_that_come_in_parts_are_the_same_where_they_were_given_as_the_same(model):
    read = []

    def prepare(batch):
        read.append(len(batch[1]))
        return batch[0][:], batch[1]

    network = Network(model)
    ctx = context(network, Parted((BATCH,), 2, False, prepare))
    first = ctx.gradient(ctx.kept)

    again = replace(ctx, batches=Parted((BATCH,), 2, False, prepare))
    lent = again.gradient(ctx.kept)

    assert all(torch.equal(g, lent[n]) for n, g in first.items())
    assert (sum(read), ctx.taken.lent) == (5, 1)
    for other in (Parted((BATCH,), 3, False, prepare), Parted(((BATCH[0], BATCH[1]),), 2, True, prepare), (BATCH,)):
        replace(ctx, batches=other).gradient(ctx.kept)
    assert ctx.taken.lent == 1


def test_a_network_that_draws_random_numbers_has_no_gradient_to_lend(model):
    model.noisy = True
    ctx = context(Network(model))

    one, other = ctx.gradient(ctx.kept), ctx.gradient(ctx.kept)

    assert not torch.equal(one["weight"], other["weight"])
    assert ctx.taken.lent == 0


def test_the_norm_of_the_dense_network_is_of_a_gradient_that_was_taken(model):
    network, taken = Network(model), Taken()
    ctx = replace(context(network), taken=taken)
    g = ctx.gradient(ctx.kept)["weight"]

    norm = gradient_norm(network, [BATCH], taken=taken)

    assert taken.lent == 1
    assert norm == pytest.approx(float(g.norm()), rel=1e-12)
    assert norm == gradient_norm(network, [BATCH])
