"""Masked training: exact zeros, the recipe as written, reproducible, and hardly dearer than training without masks."""

from __future__ import annotations

import copy
import doctest
import math
import time
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.func import functional_call

from pabench.data.dataset import loader
from pabench.data.split import Images
from pabench.errors import DivergedError
from pabench.networks import models as models
from pabench.networks.network import prunable_weights
from pabench.suite.specs import Augment, ModelSpec, Recipe
from pabench.training import loop
from pabench.training.loop import Source, channels_last, evaluate, lr_factor, train

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch_size=8, lr=0.1, momentum=0.9, weight_decay=0.1, precision="float32")


@pytest.fixture
def source():
    """Two classes of 3x4x4 images, dark and bright: learnt in a few steps."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    pixels = torch.randint(0, 100, (40, 3, 4, 4), generator=generator, dtype=torch.uint8)
    pixels += (labels * 120).to(torch.uint8)[:, None, None, None]
    return Source(Images(pixels, labels), (0.5,) * 3, (0.25,) * 3)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))


def half(module):
    generator = torch.Generator().manual_seed(1)
    return {n: torch.rand(module.get_parameter(n).shape, generator=generator) < 0.5 for n in ("0.weight", "4.weight")}


def run(module, masks, source, recipe, **seeds):
    seeds = {"order_seed": 0, "augment_seed": 0} | seeds
    return train(module, masks, source, recipe, device=CPU, **seeds)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(loop).failed == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_pruned_weights_are_exactly_zero_after_every_step(source, monkeypatch, optimizer, precision):
    """Momentum, weight decay and mixed precision push pruned weights away from 0 in public code."""
    module = network()
    masks = half(module)
    seen = []
    zero = loop.zero_pruned

    def watched(weights, kept):
        zero(weights, kept)
        seen.append(sum(int((module.get_parameter(n)[~m] != 0).sum()) for n, m in masks.items()))

    monkeypatch.setattr(loop, "zero_pruned", watched)
    recipe = replace(RECIPE, optimizer=optimizer, precision=precision)

    run(module, masks, source, recipe)

    assert seen == [0] * 11  # once before training, then after each of 2 x 5 steps
    assert all((module.get_parameter(n)[m] != 0).all() for n, m in masks.items())


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(source):
    recipe = replace(RECIPE, augment=Augment(crop=1, flip=True, cutout=2))
    runs = []
    for seeds in ({}, {}, {"order_seed": 1}, {"augment_seed": 1}):
        module = network()
        curve = run(module, half(module), source, recipe, **seeds)
        runs.append((curve, module[4].weight.detach().clone()))

    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][1], runs[2][1])
    assert not torch.equal(runs[0][1], runs[3][1])


def test_it_learns_what_can_be_learnt(source):
    module = network()

    curve = run(module, {}, source, replace(RECIPE, epochs=8))
    outcome = evaluate(module, source, RECIPE, device=CPU)

    assert curve["loss"][-1] < curve["loss"][0]
    assert outcome.top1 == 100.0
    assert outcome.top5 == 100.0  # of two classes
    assert len(curve["loss"]) == len(curve["top1"]) == len(curve["lr"]) == 8


def test_evaluation_counts_what_a_human_counts():
    """Logits equal to the pixels: the first image is class 2 at rank 2, the second class 0 at rank 6."""
    pixels = torch.tensor([[10, 0, 9, 0, 0, 0], [1, 2, 3, 4, 5, 6]], dtype=torch.uint8).view(2, 6, 1, 1)
    source = Source(Images(pixels, torch.tensor([2, 0])), (0.0,) * 6, (1 / 255,) * 6)

    outcome = evaluate(nn.Flatten(), source, RECIPE, device=CPU)

    assert (outcome.top1, outcome.top5) == (0.0, 50.0)
    first = math.log(math.exp(10) + math.exp(9) + 4) - 9
    second = math.log(sum(math.exp(i) for i in range(1, 7))) - 1
    assert outcome.loss == pytest.approx((first + second) / 2, rel=1e-5)


def ranked(rows: int) -> Source:
    """Image i of three classes is given class i mod 3; its label is that but for every fifth image."""
    given = torch.arange(rows) % 3
    labels = (given + (torch.arange(rows) % 5 == 0).long()) % 3
    pixels = torch.zeros(rows, 3, 1, 1, dtype=torch.uint8)
    pixels[torch.arange(rows), given] = 200
    return Source(Images(pixels, labels), (0.0,) * 3, (1 / 255,) * 3)


def test_evaluation_tells_which_images_are_right_in_the_order_of_the_split():
    """601 images are two batches of 256 and a rest: all but 0, 5, 10, ... are right, unequal classes or not."""
    outcome = evaluate(nn.Flatten(), ranked(601), RECIPE, device=CPU)

    assert (~outcome.right).nonzero().flatten().tolist() == list(range(0, 601, 5))
    assert outcome.top1 == 100 * 480 / 601


READS = ("item", "tolist", "cpu", "numpy", "__int__", "__float__", "__bool__", "__index__")
"""What reads numbers from a tensor: on a GPU each waits for it."""


def test_evaluation_waits_for_the_device_as_often_for_many_batches_as_for_one(monkeypatch):
    reads = []
    for name in READS:
        of_torch = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, *args, of=of_torch: reads.append(of) or of(self, *args))
    counts = []
    for rows in (200, 2000):
        reads.clear()
        evaluate(nn.Flatten(), ranked(rows), RECIPE, device=CPU)
        counts.append(len(reads))

    assert counts[0] == counts[1] > 0


def test_the_schedule_reaches_the_optimizer(source):
    curve = run(network(), {}, source, replace(RECIPE, epochs=3, schedule="step", milestones=(1, 2), gamma=0.5))

    assert curve["lr"] == pytest.approx([0.1, 0.05, 0.025])


def test_cosine_ends_at_zero_and_warm_up_begins_there():
    recipe = Recipe(epochs=10, schedule="cosine", warmup=2)

    assert [lr_factor(recipe, e) for e in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_label_smoothing_is_in_the_loss(source):
    """With zero weights the logits are 0 and the loss log 2, smoothed or not; after learning it stays above."""
    plain = run(network(), {}, source, replace(RECIPE, epochs=6))
    smooth = run(network(), {}, source, replace(RECIPE, epochs=6, label_smoothing=0.2))

    # the least possible loss with smoothing 0.2 on two classes is the entropy of (0.9, 0.1) = 0.325
    assert smooth["loss"][-1] > 0.325 > plain["loss"][-1]


def test_a_loss_that_is_not_finite_ends_training_with_its_epoch(source):
    with pytest.raises(DivergedError, match="in epoch 1; last finite loss: None"):
        run(network(), {}, source, replace(RECIPE, lr=1e30, epochs=5))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("alive", "classes"), [(True, 2), (False, 1)])
def test_evaluation_counts_the_classes_given_and_how_far_logits_differ(source, precision, alive, classes):
    """300 images in batches of 256 and 44, whose rows are computed otherwise: equal logits differ by rounding."""
    recipe = replace(RECIPE, epochs=4, precision=precision)
    module, generator = network(), torch.Generator().manual_seed(2)
    run(module, {}, source, recipe)
    if not alive:
        module[0].weight.data.zero_()
    labels = torch.arange(300) % 2
    pixels = torch.randint(0, 100, (300, 3, 4, 4), generator=generator, dtype=torch.uint8)
    pixels += (labels * 120).to(torch.uint8)[:, None, None, None]

    found = evaluate(module, Source(Images(pixels, labels), (0.5,) * 3, (0.25,) * 3), recipe, device=CPU)

    assert found.classes == classes
    assert (found.spread > 0.5) is alive
    assert alive or found.spread < 1e-6


def test_of_one_image_nothing_is_said_of_how_far_logits_differ(source):
    alone = Source(Images(source.split.pixels[:1], source.split.labels[:1]), source.mean, source.std)

    assert evaluate(network(), alone, RECIPE, device=CPU).spread is None


def test_compiled_training_gives_the_same_curve(source, monkeypatch):
    """`compile: true` must reach torch.compile; its eager backend computes the same."""
    used = []
    compile_ = torch.compile

    def eager(module, *args, **kwargs):
        used.append(module)
        return compile_(module, backend="eager")

    monkeypatch.setattr(torch, "compile", eager)
    plain, compiled = (run(network(), {}, source, replace(RECIPE, compile=c)) for c in (False, True))

    assert len(used) == 1
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_pruned_weights_stay_zero_in_bfloat16(source):
    module = network()
    masks = half(module)

    train(
        module,
        masks,
        source,
        replace(RECIPE, precision="bfloat16"),
        device=torch.device("cuda"),
        order_seed=0,
        augment_seed=0,
    )

    assert all(int((module.get_parameter(n).cpu()[~m] != 0).sum()) == 0 for n, m in masks.items())


def test_masks_take_hold_after_the_dense_epochs_and_change_nothing_before(source):
    """Two of three epochs unpruned: the same curve as without masks, then exactly zero, and the third differs."""
    recipe = replace(RECIPE, epochs=3)

    def run(masks, dense_epochs):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
        zeros = []
        curve = train(
            model,
            masks,
            source,
            recipe,
            device=CPU,
            order_seed=1,
            augment_seed=2,
            dense_epochs=dense_epochs,
            report=lambda event: zeros.append(int((model[1].weight == 0).sum())),
        )
        return curve, zeros

    masks = {"1.weight": torch.arange(96).reshape(2, 48) % 2 == 0}

    dense, _ = run({}, 0)
    rewound, zeros = run(masks, 2)
    pruned, from_the_start = run(masks, 0)

    assert rewound["loss"][:2] == dense["loss"][:2]
    assert rewound["loss"][2] != dense["loss"][2]
    assert pruned["loss"][0] != dense["loss"][0]
    assert (zeros, from_the_start) == ([0, 0, 48], [48, 48, 48])


def test_training_that_begins_with_a_later_epoch_has_its_learning_rate_order_and_masks(source):
    """Begun with the third of four epochs, from the weights after the second, it is the rest of the whole training.

    Momentum begins anew and would differ: here there is none.
    """
    recipe = replace(RECIPE, epochs=4, schedule="cosine", momentum=0.0, lr=1.0)
    masks = {"1.weight": torch.arange(96).reshape(2, 48) % 2 == 0}
    states = []

    def run(model, **options):
        def seen(event):
            states.append((event["epoch"], {n: t.clone() for n, t in model.state_dict().items()}))

        return train(model, {}, source, recipe, device=CPU, order_seed=1, augment_seed=2, report=seen, **options)

    whole = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    curve = run(whole)
    later = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    later.load_state_dict(states[1][1])
    begun = run(later, first_epoch=2)

    assert {name: values[2:] for name, values in curve.items()} == begun
    assert [epoch for epoch, _ in states] == [1, 2, 3, 4, 3, 4]
    assert all(torch.equal(tensor, later.state_dict()[n]) for n, tensor in whole.state_dict().items())

    masked = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    train(masked, masks, source, recipe, device=CPU, order_seed=1, augment_seed=2, first_epoch=3)
    assert int((masked[1].weight == 0).sum()) == 48


def test_an_epoch_is_what_a_plain_loop_makes_of_it_in_float64(source):
    """Three epochs with momentum, decay and masks as factors in the forward pass, batch by batch from the loader."""
    recipe = replace(RECIPE, epochs=3, augment=Augment(crop=1, flip=True), weight_decay=0.01)
    module = network().double()
    masks = half(module)
    plain = copy.deepcopy(module)
    module.register_forward_pre_hook(lambda module, given: (given[0].double(),))
    curve = run(module, masks, source, recipe)

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    losses, right = [], []
    for epoch in range(3):
        batches = loader(
            source.split,
            batch_size=8,
            mean=source.mean,
            std=source.std,
            order_seed=0,
            augment=recipe.augment,
            augment_seed=0,
            epoch=epoch,
        )
        total, correct = 0.0, 0
        for x, y in batches:
            tensors = {n: p * masks[n] if n in masks else p for n, p in plain.named_parameters()}
            logits = functional_call(plain, tensors, (x.double(),))
            loss = nn.functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            correct += int((logits.argmax(1) == y).sum())
        losses.append(total / 40)
        right.append(100 * correct / 40)

    assert curve["loss"] == pytest.approx(losses, rel=1e-12)
    assert curve["top1"] == right


def test_batchnorm_has_counted_the_steps_when_training_ends(source):
    """2 epochs of 5 steps; a layer that averages plainly counts itself, and divides by its count."""
    module = network()
    average = nn.BatchNorm2d(8, momentum=None)
    module.insert(2, average)
    masks = {"0.weight": torch.ones(8, 3, 3, 3, dtype=torch.bool)}

    run(module, masks, source, RECIPE)

    assert module[1].num_batches_tracked.item() == average.num_batches_tracked.item() == 10
    assert "1.num_batches_tracked" in module.state_dict()


def test_evaluation_in_several_batches_counts_each_image_once(source):
    """40 images in one batch, and the same images 10 times in two: equal means."""
    module = network()
    tenfold = Source(
        Images(source.split.pixels.repeat(10, 1, 1, 1), source.split.labels.repeat(10)), source.mean, source.std
    )

    once, often = (evaluate(module, some, RECIPE, device=CPU) for some in (source, tenfold))

    assert (often.top1, often.top5) == (once.top1, once.top5)
    assert often.loss == pytest.approx(once.loss, rel=1e-6)


@pytest.mark.parametrize(("channels", "last"), [(16, True), (5, False), (1, True)])
def test_images_lie_channels_last_but_where_the_kernel_of_a_cpu_would_overrun(channels, last):
    """A 1 x 1 convolution with a stride whose input channels are no multiple of 8."""
    module = nn.Sequential(nn.Conv2d(3, channels, 3), nn.Conv2d(channels, 8, 1, stride=2))

    assert channels_last(module, Recipe(), torch.device("cpu")) is last
    assert channels_last(module, Recipe(), torch.device("cuda"))
    assert not channels_last(module, Recipe(channels_last=False), torch.device("cpu"))


def test_a_narrow_network_trains_to_the_same_bits(source):
    """With images channels last its heap was corrupted: trainings of one process differed, or it died."""
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 5, 1, stride=2), nn.Flatten(), nn.Linear(20, 2)
        )
        run(module, {}, source, RECIPE)
        found.append(torch.cat([p.detach().flatten() for p in module.parameters()]))

    assert torch.equal(*found)


@pytest.mark.slow
def test_a_masked_step_costs_at_most_a_tenth_more_than_an_unmasked_one():
    """ResNet-20, 32 x 32, batches of 32: epochs with and without masks in turn; the fastest of each are compared."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (96, 3, 32, 32), generator=generator, dtype=torch.uint8)
    source = Source(Images(pixels, torch.arange(96) % 10), (0.5,) * 3, (0.25,) * 3)
    recipe = replace(Recipe(), epochs=1, batch_size=32, lr=0.01, precision="float32")
    module = models.build(ModelSpec("resnet20"), 10, (3, 32, 32), seed=0)
    masks = {n: torch.rand(w.shape, generator=generator) < 0.1 for n, w in prunable_weights(module).items()}
    seconds: dict[bool, list[float]] = {False: [], True: []}

    for _ in range(12):
        for masked in (False, True):
            began = time.perf_counter()
            train(
                module,
                masks if masked else {},
                source,
                recipe,
                device=torch.device("cpu"),
                order_seed=0,
                augment_seed=0,
            )
            seconds[masked].append(time.perf_counter() - began)

    ratio = min(seconds[True]) / min(seconds[False])
    print(f"masked / unmasked: {ratio:.3f}")
    assert ratio < 1.1
