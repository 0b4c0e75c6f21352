"""A few images at a time: the same scores where they are means over images, sums of parts where BatchNorm looks at
its batch, and the memory of one part."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

import pabench
from pabench import registry
from pabench.errors import SuiteError
from pabench.networks.network import Network
from pabench.scoring.meter import Meter
from pabench.scoring.parts import IGNORED, Parted, Some
from pabench.scoring.pruning import context

CPU = torch.device("cpu")
SEEN: list[int] = []
"""How many images each forward pass of `Seeing` got."""
WHOLE = {"prospr", "widetopo"}
"""Look at whole batches: one differentiates through steps on them, one draws noise for each."""
CHEAP = {
    "force": {"steps": 2},
    "iter_snip": {"steps": 2},
    "px": {"steps": 1},
    "hutchinson": {"probes": 2},
    "hts": {"probes": 2},
}
BY_IMAGES = sorted(
    name
    for name, cls in registry.group("criteria").classes.items()
    if name not in WHOLE and registry.criterion(name).examples_per_class and not cls.trains
)


class Seeing(nn.Sequential):
    def forward(self, x):
        SEEN.append(len(x))
        return super().forward(x)


@pytest.fixture
def model():
    """Convolutions with BatchNorm whose stored statistics are not those of any batch."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False)]
    made = Seeing(*layers, nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    for norm in (made[1], made[4]):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    SEEN.clear()
    return made.double()


@pytest.fixture
def batch():
    """Eleven images of three classes, in no order."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(11, 3, 8, 8, generator=generator).double(), torch.tensor([2, 0, 1, 1, 0, 2, 2, 0, 0, 1, 2])


def largest_difference(found, expected):
    scale = max(float(s.abs().max()) for s in expected.values())
    return max(float((found[n] - s).abs().max()) for n, s in expected.items()) / scale


def in_mode(name, bn):
    """A criterion with BatchNorm in this mode; nothing where it has another one alone."""
    fixed = "bn" in registry.criterion(name).__dataclass_fields__ and registry.criterion(name).bn == bn
    try:
        return registry.criterion(name, {**CHEAP.get(name, {}), **({} if fixed else {"bn": bn})})
    except SuiteError:
        return None


def test_all_criteria_that_look_at_images_are_asked():
    assert BY_IMAGES == ["fisher", "force", "fts", "grad_norm", "grasp", "hts", "hutchinson", "iter_snip", "px", "snip"]


@pytest.mark.parametrize("name", BY_IMAGES)
def test_with_stored_statistics_the_scores_are_those_of_the_whole_batch(name, model, batch):
    rule = in_mode(name, "eval")

    whole = pabench.score(model, rule, batch=batch)
    SEEN.clear()
    parts = pabench.score(model, rule, batch=batch, at_once=4)

    assert largest_difference(parts, whole) < 1e-12
    assert max(SEEN) <= 4
    masks = [pabench.prune(model, rule, batch=batch, sparsity=0.7, **more) for more in ({}, {"at_once": 4})]
    assert all(torch.equal(masks[0][n], masks[1][n]) for n in whole)


@pytest.mark.parametrize("name", [name for name in BY_IMAGES if in_mode(name, "train")])
def test_with_statistics_of_the_batch_the_losses_of_the_parts_are_added_up(name, model, batch):
    """Sorted by class the places are 1 4 7 8, 2 3 9, 0 5 6 10; every third of them is a part."""
    x, y = batch
    rule = in_mode(name, "train")
    places = ([1, 8, 9, 6], [4, 2, 0, 10], [7, 3, 5])

    apart = pabench.score(model, rule, batch=[(x[list(p)], y[list(p)]) for p in places])
    parts = pabench.score(model, rule, batch=batch, at_once=4)

    assert largest_difference(parts, apart) < 1e-12
    assert largest_difference(parts, pabench.score(model, rule, batch=batch)) > 1e-3  # another definition


def test_a_batch_that_is_no_larger_is_looked_at_whole(model, batch):
    whole = pabench.score(model, "snip", batch=batch)
    SEEN.clear()

    found = pabench.score(model, "snip", batch=batch, at_once=11)

    assert all(torch.equal(found[n], s) for n, s in whole.items())
    assert max(SEEN) == 11


def test_rounds_with_batches_of_their_own_take_those_in_parts(model, batch):
    x, y = batch
    two = [(x[:6], y[:6]), (x[5:], y[5:])]
    rule = registry.criterion("force", {"bn": "eval", "fresh_batches": True, "steps": 2})

    whole, parts = (pabench.prune(model, rule, batch=two, sparsity=0.5, **more) for more in ({}, {"at_once": 4}))

    assert all(torch.equal(whole[n], parts[n]) for n in whole)


def test_halves_of_the_classes_are_taken_in_parts(model, batch):
    rule = registry.criterion("grasp", {"bn": "eval", "batch_split": "class-halves"})

    whole, parts = (pabench.score(model, rule, batch=batch, **more) for more in ({}, {"at_once": 3}))

    assert largest_difference(parts, whole) < 1e-12


def test_images_whose_labels_count_nothing_count_nothing_in_parts(model, batch):
    x, y = batch
    y = torch.tensor([IGNORED] * 9 + [0, 1])

    whole, parts = (pabench.score(model, "grad_norm", batch=(x, y), bn="eval", **more) for more in ({}, {"at_once": 2}))

    assert largest_difference(parts, whole) < 1e-12
    ctx = context(Network(model), registry.criterion("snip"), [(x, y)], seed=0, input_shape=(3, 8, 8), at_once=2)
    assert [len(part.batches[0][1]) for part in ctx.parts()] == [
        2,
        2,
    ]  # four of six hold no other


def test_parts_are_of_all_classes_and_one_image_apart():
    y = torch.arange(10).repeat_interleave(10)
    parted = Parted(((torch.arange(100.0)[:, None], y),), 30, own_statistics=False, prepare=lambda given: given)

    parts = list(parted.parts())

    assert [len(labels) for (_, labels), _ in parts] == [25, 25, 25, 25]
    assert all(set(labels.bincount().tolist()) == {2, 3} for (_, labels), _ in parts)
    assert sorted(i for (images, _), _ in parts for i in images[:].flatten().tolist()) == list(range(100))
    assert sum(share for _, share in parts) == 1


def test_pixelwise_labels_are_taken_in_turn():
    y = torch.zeros(5, 2, 2, dtype=torch.long)
    parted = Parted(((torch.arange(5.0)[:, None], y),), 2, own_statistics=False, prepare=lambda given: given)

    assert [images[:].flatten().tolist() for (images, _), _ in parted.parts()] == [[0, 3], [1, 4], [2]]


def test_batches_are_also_there_whole_and_in_slices():
    x = torch.arange(6.0)[:, None]
    parted = Parted(((x, x.flatten().long()), (x[:2], torch.tensor([0, 1]))), 2, False, lambda given: given)

    assert len(parted) == 2
    assert torch.equal(parted[0][0], x)
    assert len(parted[1:]) == 1
    assert parted[1:][0][1].tolist() == [0, 1]
    some = Some(x, torch.tensor([5, 1, 3]))
    assert (some.shape, len(some), some[1:].flatten().tolist()) == ((3, 1), 3, [1.0, 3.0])


def test_steps_of_sgd_are_taken_on_whole_batches(model, batch):
    whole, stated = (pabench.score(model, "prospr", batch=batch, **more) for more in ({}, {"at_once": 4}))

    assert largest_difference(stated, whole) == 0


def test_the_receipt_says_how_many_images_were_looked_at_at_once(model, batch):
    rule = registry.criterion("snip")

    assert pabench.prune(model, rule, batch=batch, sparsity=0.5, at_once=4).receipt["at_once"] == 4
    assert "at_once" not in pabench.prune(model, rule, batch=batch, sparsity=0.5).receipt


def test_less_than_one_image_is_refused(model, batch):
    with pytest.raises(SuiteError, match="at_once: 0 images; expected 1 or more"):
        pabench.score(model, "snip", batch=batch, at_once=0)


@pytest.mark.parametrize(("name", "bn"), [("snip", "train"), ("grasp", "train"), ("hutchinson", "eval")])
def test_the_memory_is_that_of_one_part(name, bn):
    """A graph holds seven activations of 256 KiB an image and more: 48 images take 84 MiB and more, 4 take 7."""
    layers = [nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.Tanh()]
    deep = nn.Sequential(*layers, nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).double()
    batch = torch.randn(48, 3, 64, 64), torch.arange(48) % 4
    rule = registry.criterion(name, {**CHEAP.get(name, {}), "bn": bn})

    peaks = {}
    for at_once in (None, 4):
        gc.collect()
        with Meter(CPU) as meter:
            pabench.score(deep, rule, batch=batch, at_once=at_once)
        peaks[at_once] = meter.peak_bytes

    if not peaks[None]:
        pytest.skip("the kernel tells no peak of this process")
    assert peaks[4] < peaks[None] / 4


class Centred(nn.Module):
    """Takes the mean of its batch away, as no BatchNorm in eval mode does; or draws noise."""

    def __init__(self, noise=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.noise = nn.Linear(6, 8), nn.Linear(8, 3), noise

    def forward(self, x):
        x = self.first(x)
        x = x + self.noise * torch.randn_like(x) if self.noise else x - x.mean(0)
        return self.last(x.relu())


def test_a_network_whose_outputs_depend_on_the_whole_batch_is_not_taken_in_parts():
    given = torch.randn(12, 6), torch.arange(12) % 3

    with pytest.raises(
        SuiteError, match=r"Centred: what it gives for an image depends on the others.* leave out at_once"
    ):
        pabench.score(Centred(), "snip", batch=given, bn="eval", at_once=4)
    # all of them at once; statistics of the batch, which those of a part are said to stand for; and noise of its own
    assert pabench.score(Centred(), "snip", batch=given, bn="eval", at_once=12)
    assert pabench.score(Centred(), "snip", batch=given, bn="train", at_once=4)
    assert pabench.score(Centred(0.1), "snip", batch=given, bn="eval", at_once=4)
