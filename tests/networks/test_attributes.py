"""What layers hold as plain attributes: each call of a network is its first, and no view of a weight is a constant."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pabench
from pabench.errors import SuiteError
from pabench.networks.attributes import Kept

from .test_private import Base, batch, drawn

batch = batch  # a fixture


def scores(model, batch, **options):
    return pabench.score(model, "snip", batch=batch, **options)


def equal(one, other):
    assert list(one) == list(other)
    return all(torch.equal(score, other[name]) for name, score in one.items())


# ---- what forward() keeps


class Centred(Base):
    def forward(self, x):
        return super().forward(x - x.mean(0).detach())


class CentredOnce(Base):
    centre = None

    def forward(self, x):
        if self.centre is None:
            self.centre = x.mean(0).detach()
        return super().forward(x - self.centre)


class CentredInADictionary(Base):
    def __init__(self):
        super().__init__()
        self.known = {}

    def forward(self, x):
        return super().forward(x - self.known.setdefault("centre", x.mean(0).detach()))


class CentredInAList(Base):
    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.mean(0).detach())
        return super().forward(x - self.seen[0])


@pytest.mark.parametrize("cls", [CentredOnce, CentredInADictionary, CentredInAList])
def test_what_forward_keeps_is_not_that_of_the_images_it_was_tried_on(batch, cls):
    """It is tried on two images first, and a mean that it takes once had been theirs."""
    assert equal(scores(drawn(cls), batch), scores(drawn(Centred), batch))


class Counts(Base):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


def test_a_counter_counts_no_scoring(batch):
    model = drawn(Counts)

    assert equal(scores(model, batch), scores(drawn(Base), batch))
    assert equal(scores(model, [batch, batch]), scores(drawn(Base), [batch, batch]))
    assert model.calls == 0


class Noisy(Base):
    def __init__(self):
        super().__init__()
        self.noise = torch.Generator().manual_seed(3)

    def forward(self, x):
        return super().forward(x + torch.randn(x.shape, generator=self.noise, dtype=x.dtype))


def test_a_generator_of_its_own_draws_the_same_again_and_the_callers_does_not_go_on(batch):
    model = drawn(Noisy)
    state = model.noise.get_state()

    assert equal(scores(model, batch), scores(model, batch))
    assert torch.equal(model.noise.get_state(), state)
    model.noise.manual_seed(4)
    assert not equal(scores(model, batch), scores(drawn(Noisy), batch))


def test_kept_tells_what_was_set_added_taken_away_or_drawn_and_restores_it():
    model = drawn(Noisy)
    model.names, model.kinds, model.table = ["a"], {"b"}, {"c": 1}
    kept = Kept(model)
    changes = (
        lambda: setattr(model, "new", 1),
        lambda: delattr(model, "names"),
        lambda: setattr(model.a, "in_features", 7),
        lambda: model.train(not model.training),
        lambda: model.names.append("b"),
        lambda: model.names.__setitem__(0, "z"),
        lambda: model.kinds.add("c"),
        lambda: model.table.update(c=2),
        lambda: torch.rand(1, generator=model.noise),
    )
    assert not kept.changed()
    for change in changes:
        change()
        assert kept.changed()
        kept.restore()
        assert not kept.changed()
    assert (model.names, model.kinds, model.table, model.a.in_features) == (["a"], {"b"}, {"c": 1}, 6)


# ---- views of weights


class Turned(Base):
    """The transpose of a weight, made once, as it is or without its history."""

    def __init__(self, make=lambda weight: weight.t()):
        super().__init__()
        self.turned = make(self.a.weight)

    def forward(self, x):
        return self.b((x @ (self.turned[0] if isinstance(self.turned, list) else self.turned)).relu())


class TurnedUnused(Turned):
    def forward(self, x):
        return Base.forward(self, x)


@pytest.mark.parametrize(
    "make", [lambda w: w.t(), lambda w: w.data.t(), lambda w: w.detach(), lambda w: [w.view(2, 18).view(6, 6)]]
)
def test_a_view_of_a_weight_that_is_used_is_refused(batch, make):
    """The copy would have a constant there, and the weight would seem to do nothing."""
    with pytest.raises(SuiteError, match=r"Turned: forward\(\) takes a view of a.weight from a list.* scoring cannot"):
        scores(drawn(Turned, make), batch)


def test_one_that_is_not_used_or_has_its_own_memory_does_no_harm(batch):
    assert equal(scores(drawn(TurnedUnused), batch), scores(drawn(Base), batch))
    own = drawn(Turned, lambda w: w.data.t().clone())  # a constant, and meant so
    assert (scores(own, batch, dtype=torch.float32)["a.weight"] == 0).all()


def test_a_buffer_in_the_memory_of_a_weight_is_refused(batch):
    model = drawn(Base)
    model.register_buffer("turned", model.a.weight.data.t())

    with pytest.raises(SuiteError, match=r"a.weight and turned are a parameter and a buffer in one memory"):
        scores(model, batch)


# ---- statistics of the batch


class Normed(nn.Module):
    """With a BatchNorm of torch's, of one's own, or one whose statistics a function is given."""

    def __init__(self, norm=None):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 6), norm or nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, x):
        return self.b(self.norm(self.a(x)).relu())


class OwnNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("var", torch.ones(6))

    def forward(self, x):
        return F.batch_norm(x, self.mean, self.var, self.weight, self.bias, self.training)


class ByFunction(Normed):
    def forward(self, x):
        n = self.norm
        x = F.batch_norm(self.a(x), n.running_mean, n.running_var, n.weight, n.bias, training=self.training)
        return self.b(x.relu())


class Reads(nn.BatchNorm1d):
    def forward(self, x):
        return (x - self.running_mean) / (self.running_var + self.eps).sqrt()


@pytest.mark.parametrize("bn", ["train", "eval"])
@pytest.mark.parametrize("other", [lambda: drawn(Normed, OwnNorm()), lambda: drawn(ByFunction)])
def test_a_batchnorm_of_ones_own_has_the_statistics_of_the_batch_as_torchs_has(batch, bn, other):
    expected = scores(drawn(Normed), batch, bn=bn)

    assert equal(scores(other(), batch, bn=bn), expected)
    assert not equal(expected, scores(drawn(Normed), batch, bn="train" if bn == "eval" else "eval"))


def test_one_that_reads_running_statistics_says_what_to_do(batch):
    model = drawn(Normed, Reads(6))

    with pytest.raises(SuiteError, match=r"a BatchNorm of its own reads running statistics.* give bn=\"eval\""):
        scores(model, batch, bn="train")
    assert scores(model, batch, bn="eval")
