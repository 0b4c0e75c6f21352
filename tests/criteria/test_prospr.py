"""ProsPr: |dL_k/dm| through k steps of SGD."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pabench
from pabench import registry
from pabench.errors import SuiteError
from pabench.networks.network import Network
from pabench.scoring.pruning import context


def scalar(a: float) -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Two classes and one weight that counts: x = (1, 0), logits (a, 0), so L = log(1 + exp(-a))."""
    module = nn.Linear(2, 2, bias=False)
    module.weight.data = torch.tensor([[a, 0.0], [0.0, 0.0]])
    return module, [(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))]


def test_scores_a_network_by_hand():
    """One step of lr 1 from a = 1: g = sigmoid(a) - 1 on the first logit and -g on the second, by symmetry.

    u = first - second logit moves from m to m + 2 (1 - s(m)), and dL/dm = (s(u) - 1) (1 - 2 s(m) (1 - s(m))).
    s(1) = 0.73106, u = 1.53788, s(u) = 0.82316, so |dL/dm| = 0.17684 * 0.60678 = 0.10730; first order: 0.17684.
    """
    module, batches = scalar(1.0)

    full = pabench.score(module, "prospr", batch=batches, inner_steps=1, inner_lr=1.0)["weight"]
    first = pabench.score(module, "prospr", batch=batches, inner_steps=1, inner_lr=1.0, meta_gradient="first-order")[
        "weight"
    ]

    assert full.flatten().tolist() == pytest.approx([0.10730, 0, 0, 0], abs=1e-5)
    assert first.flatten().tolist() == pytest.approx([0.17684, 0, 0, 0], abs=1e-5)


def after_training(module, batches, scale, index, *, steps, lr, momentum, masks=None):
    """L_k when one weight starts at `scale` times its value, by torch's own SGD; pruned weights stay at 0."""
    net = copy.deepcopy(module).train()
    with torch.no_grad():
        net.get_parameter(index[0])[index[1:]] *= scale
        for name, mask in (masks or {}).items():
            net.get_parameter(name).mul_(mask)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    for x, y in batches[:steps]:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        for name, mask in (masks or {}).items():
            net.get_parameter(name).grad.mul_(mask)
        optimizer.step()
    x, y = batches[steps]
    return F.cross_entropy(net(x), y).item()


@pytest.mark.parametrize("letter", ["a", "b"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_predicts_the_loss_after_training_when_a_weight_shrinks(case, letter, momentum):
    """d L_k / dm by really training twice: weights, biases and BatchNorm's parameters, with torch's optimizer."""
    reference = case(letter)
    module = reference.module.double()
    batches = [(reference.x[i : i + 30].double(), reference.y[i : i + 30]) for i in (0, 30, 60, 90)]
    scores = pabench.score(module, "prospr", batch=batches, inner_momentum=momentum)
    name = {"a": "fc2.weight", "b": "c2.weight"}[letter]
    options = {"steps": 3, "lr": 0.1, "momentum": momentum}

    for flat in (0, 77, 500):
        index = (name, *np.unravel_index(flat, scores[name].shape))
        below, above = (after_training(module, batches, s, index, **options) for s in (1 - 1e-4, 1 + 1e-4))
        assert abs(above - below) / 2e-4 == pytest.approx(scores[name].flatten()[flat].item(), rel=2e-4, abs=1e-9)


def test_momentum_is_differentiated_through(case):
    """The authors' code detaches the buffer at its first step: with one step, "full" is first order exactly there."""
    reference = case("a")
    batches = [(reference.x[:30], reference.y[:30]), (reference.x[30:60], reference.y[30:60])]
    one_step = {"batch": batches, "inner_steps": 1, "inner_momentum": 0.9, "inner_lr": 1.0}

    full = pabench.score(reference.module, "prospr", **one_step)["fc1.weight"]
    first = pabench.score(reference.module, "prospr", meta_gradient="first-order", **one_step)["fc1.weight"]
    plain = pabench.score(reference.module, "prospr", **{**one_step, "inner_momentum": 0.0})["fc1.weight"]

    assert torch.equal(full, plain)  # the first step of SGD knows no momentum yet
    assert (full - first).abs().max() > 0.1 * full.abs().max()


def test_no_steps_ahead_it_is_snip(case):
    """As the learning rate goes to 0, L_k is the loss on the last batch at initialization: |w * g|."""
    reference = case("a")
    batch = reference.batch

    prospr = pabench.score(reference.module, "prospr", batch=batch, inner_lr=1e-12)
    snip = pabench.score(reference.module, "snip", batch=batch)

    for name in reference.names:
        torch.testing.assert_close(prospr[name], snip[name], rtol=1e-6, atol=1e-12)


def test_asks_for_a_batch_for_each_step_and_one_for_the_loss():
    assert registry.criterion("prospr", {"inner_steps": 5}).batch_count() == 6
    assert registry.criterion("prospr@official", {"inner_steps": 5}).batch_count() == 1


def test_batches_are_used_in_turn_where_they_are_few(case):
    reference = case("a")
    one, two = (reference.x[:30], reference.y[:30]), (reference.x[30:60], reference.y[30:60])

    short = pabench.score(reference.module, "prospr", batch=[one, two])["fc1.weight"]
    long = pabench.score(reference.module, "prospr", batch=[one, two, one, two])["fc1.weight"]
    official = pabench.score(reference.module, "prospr@official", batch=[one, two])["fc1.weight"]

    assert torch.equal(short, long)
    assert torch.equal(official, pabench.score(reference.module, "prospr", batch=one)["fc1.weight"])
    assert not torch.equal(official, short)


def test_running_statistics_are_not_trained(case):
    """With stored statistics they are buffers of the network: SGD must not move them."""
    reference = case("b")
    module = reference.module.double().eval()
    x, y = reference.batch
    x = x.double()
    scores = pabench.score(module, "prospr", batch=(x, y), bn="eval", inner_steps=1)["fc.weight"]
    before = {n: p.clone() for n, p in module.named_parameters()}

    def loss_after(scale: float) -> float:
        module.load_state_dict(before, strict=False)
        module.fc.weight.data[0, 0] *= scale
        gradients = torch.autograd.grad(F.cross_entropy(module(x), y), list(module.parameters()))
        for p, g in zip(module.parameters(), gradients, strict=True):
            p.data -= 0.1 * g
        return F.cross_entropy(module(x), y).item()

    assert abs(loss_after(1 + 1e-4) - loss_after(1 - 1e-4)) / 2e-4 == pytest.approx(scores[0, 0].item(), rel=1e-4)


def test_pruned_weights_take_no_steps_in_later_rounds(case):
    """The second round scores the network as it would be trained: with its pruned weights at 0 throughout."""
    reference = case("a")
    module = reference.module.double()
    batches = [(reference.x[i : i + 30].double(), reference.y[i : i + 30]) for i in (0, 30, 60, 90)]
    rule = registry.criterion("prospr", {})
    masks = pabench.prune(module, "magnitude", sparsity=0.5)
    ctx = context(Network(module, bn="train"), rule, batches, seed=0, input_shape=(1, 8, 8))
    scores = rule.score(replace(ctx, mask={n: m.double() for n, m in masks.items()}))["fc2.weight"]
    i, j = masks["fc2.weight"].nonzero()[5].tolist()
    options = {"steps": 3, "lr": 0.1, "momentum": 0.0, "masks": masks}

    below, above = (
        after_training(module, batches, scale, ("fc2.weight", i, j), **options) for scale in (1 - 1e-4, 1 + 1e-4)
    )

    assert abs(above - below) / 2e-4 == pytest.approx(scores[i, j].item(), rel=1e-5)


def test_a_learning_rate_of_zero_is_refused(case):
    with pytest.raises(SuiteError, match="prospr: inner_lr: input should be greater than 0"):
        pabench.score(case("a").module, "prospr", batch=case("a").batch, inner_lr=0.0)


# --- Official results -------------------------------------------------------------------------------------------------


def official_batch(reference):
    """Three steps and the loss, all on x[:30]: `new_data_in_inner` is False."""
    return reference.x[:30], reference.y[:30]


@pytest.mark.parametrize("letter", ["a", "b"])
def test_scores_equal_the_official_ones(case, letter):
    reference = case(letter)
    official = reference.flat(reference.official("prospr_official"), "score64")

    scores = pabench.score(reference.module, "prospr@official", batch=official_batch(reference))

    mine = torch.cat([s.flatten() for s in scores.values()]).numpy()
    assert np.abs(mine - official).max() < 1e-6 * np.abs(official).max()


@pytest.mark.parametrize("letter", ["a", "b"])
@pytest.mark.parametrize("sparsity", ["0.5", "0.9", "0.98", "0.999"])
def test_masks_equal_the_official_ones(case, letter, sparsity):
    """The official count is ceil(N d): at these sparsities that of N - floor((1 - d) N)."""
    reference = case(letter)
    official = reference.flat(reference.official("prospr_official"), f"mask64_{sparsity}").astype(bool)

    masks = pabench.prune(
        reference.module, "prospr@official", sparsity=float(sparsity), batch=official_batch(reference)
    )

    mine = torch.cat([m.flatten() for m in masks.values()]).numpy()
    assert np.array_equal(mine, official)
