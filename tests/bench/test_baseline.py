"""The plain loop: scores that a human can derive, and the masks and losses of pabench where both do the same."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pabench.bench import baseline

CPU = torch.device("cpu")


def flat(tensors):
    return [number for tensor in tensors for number in tensor.flatten().tolist()]


def test_connection_sensitivity_is_weight_times_gradient_in_parts_of_the_sum(softmax):
    """On softmax regression the gradient is (p - y) x: 1.4621, 2.1932, and 0 where the weight is 0."""
    module, batch = softmax

    scores = baseline.connection_sensitivity(baseline.masked(nn.Sequential(module)), batch)

    assert flat(scores) == pytest.approx([0.4, 0.6, 0, 0], abs=1e-4)  # 1.4621 and 2.1932 of 3.6553


def test_synaptic_flow_multiplies_the_weights_along_each_path_and_leaves_the_network_as_it_was():
    """Two layers with one unit between them: every weight of size 2 or 3 lies on the one path, of product 6."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    network[0].weight.data.fill_(-2)
    network[1].weight.data.fill_(3)
    own = baseline.masked(network)

    scores = baseline.synaptic_flow(own, (torch.zeros(1, 1), torch.zeros(1)))

    assert flat(scores) == [6, 6]
    assert [layer.layer.weight.item() for layer in baseline.layers(own)] == [-2, 3]


def test_gradient_signal_is_weight_times_hessian_times_gradient():
    """One weight w, logits (w x, 0) / 200 with x = 1 and class 0: dL/dw = (p - 1) / 200, its slope p (1 - p) / 200^2.

    There is a single weight that is not 0, so the score in parts of the size of the sum is its sign: (p - 1) w < 0.
    """
    network = nn.Sequential(nn.Linear(1, 2, bias=False))
    network[0].weight.data = torch.tensor([[1.0], [0.0]])

    scores = baseline.gradient_signal(baseline.masked(network), (torch.ones(1, 1), torch.zeros(1, dtype=torch.int64)))

    assert flat(scores) == pytest.approx([-1, 0])


def test_a_threshold_over_all_layers_keeps_the_asked_number():
    """Weights 1 to 10, half in each of two layers: at density 0.3 the three largest stay."""
    network = nn.Sequential(nn.Linear(5, 1, bias=False), nn.Linear(1, 5, bias=False))
    network[0].weight.data = torch.tensor([[1.0, 10, 2, 9, 3]])
    network[1].weight.data = torch.tensor([[8.0], [4], [7], [5], [6]])
    own = baseline.masked(network)

    masks = baseline.prune(own, baseline.weight_size, (torch.ones(1, 5), torch.zeros(1)), 0.3)

    assert flat(masks) == [False, True, False, True, False, True, False, False, False, False]
    # 10 + 9 go into the unit between, and 8 goes out of it
    assert own(torch.ones(1, 5)).tolist() == [[152, 0, 0, 0, 0]]


def test_pictures_are_normalised_and_stay_as_they_are_without_augmentation():
    """White is (1 - 0.5) / 0.25 = 2, black -2."""
    pixels = torch.tensor([[[[255, 0]]] * 3], dtype=torch.uint8)

    ((x, y),) = baseline.Pictures(pixels, torch.tensor([7]), (0.5,) * 3, (0.25,) * 3).loader(4, shuffle=False)

    assert x.tolist() == [[[[2.0, -2.0]]] * 3]
    assert y.tolist() == [7]


def test_masked_weights_take_no_part_and_an_epoch_tells_its_mean_loss():
    """All weights masked: both logits are 0, the loss log 2 in every step, and no weight has a gradient."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False))
    before = network[0].weight.detach().clone()
    own = baseline.under(network, [torch.zeros(2, 2)])
    batches = [(torch.ones(3, 2), torch.tensor([0, 1, 1])), (torch.ones(1, 2), torch.tensor([0]))]

    loss = baseline.train_epoch(own, batches, torch.optim.SGD(own.parameters(), lr=1.0), CPU)

    assert loss == pytest.approx(math.log(2))
    assert torch.equal(baseline.layers(own)[0].layer.weight, before)


def test_evaluation_counts_right_answers():
    """The logits are the pixels: 9 of class 2 is right, 6 of class 5 is not class 0."""
    x = torch.tensor([[1.0, 0, 9, 0, 0, 0], [1, 2, 3, 4, 5, 6]])

    top1, _ = baseline.evaluate(nn.Identity(), [(x, torch.tensor([2, 0]))], CPU)

    assert top1 == 50
