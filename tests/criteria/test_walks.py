"""Random walks along the wiring of a network."""

from __future__ import annotations

from itertools import pairwise

import pytest
import timm
import torch
from pabench_criteria.phew import walks_of
from torch import nn

from pabench import registry
from pabench.networks.network import Network
from pabench.scoring.pruning import context

from .test_phew import Split


def chain(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(widths)))


def walks(module, shape):
    ctx = context(Network(module), registry.criterion("phew", {}), [], seed=0, input_shape=shape)
    return walks_of(ctx)


def test_walks_visit_weights_as_often_as_their_probability():
    """20,000 pairs through one layer of 2 x 2: forward from each input, backward from each output, in turn."""
    module = nn.Linear(2, 2, bias=False)
    module.weight.data = torch.tensor([[1.0, 2.0], [3.0, 2.0]])

    visits = walks(module, (2,)).draw(0, 20_000, torch.Generator().manual_seed(0))

    share = torch.bincount(visits) / len(visits)
    # forward (1/4, 1/2, 3/4, 1/2) and backward (1/3, 2/3, 3/5, 2/5), each unit having half of the walks
    expected = [(f + b) / 4 for f, b in zip((1 / 4, 1 / 2, 3 / 4, 1 / 2), (1 / 3, 2 / 3, 3 / 5, 2 / 5), strict=True)]
    assert share.tolist() == pytest.approx(expected, abs=0.01)  # standard deviation 0.0025


def test_walks_alternate_and_take_their_starts_in_turn():
    """Paths of three weights: out from inputs 0, 1, 2, 3, 0, ..., back from outputs 0, 1, 0, ..."""
    module = chain(4, 5, 2)
    visits = walks(module, (4,)).draw(0, 8, torch.Generator().manual_seed(0)).view(16, 2)
    there, back = visits[::2], visits[1::2]

    assert (there[:, 0] % 4).tolist() == [0, 1, 2, 3] * 2
    assert ((back[:, 0] - 20) // 5).tolist() == [0, 1] * 4
    # the second weight starts where the first ends: hidden unit i of weight (i, input) and (output, i)
    assert torch.equal(there[:, 0] // 4, (there[:, 1] - 20) % 5)
    assert torch.equal(back[:, 1] // 4, (back[:, 0] - 20) % 5)


def test_walks_go_past_no_layer_by_an_identity():
    """ResNet-20: 20 layers on a walk, but for the two blocks whose projection stands for two convolutions."""
    torch.manual_seed(0)
    found = walks(timm.create_model("resnet20"), (3, 8, 8))
    sizes = torch.tensor([w.weights.numel() for w in found.forward.values()]).cumsum(0)

    lengths = []
    for number in range(20):
        layers = torch.bucketize(found.draw(number, 1, torch.Generator().manual_seed(number)), sizes, right=True)
        turn = layers.tolist().index(21) + 1  # forward ends at the classifier, where backward begins
        lengths += [turn, len(layers) - turn]

    # 20 with both convolutions twice, 18 with both projections: 1/4, 1/2, 1/4
    assert set(lengths) == {18, 19, 20}
    assert 10 < lengths.count(19) < 30


def test_grouped_layers_and_split_channels_are_followed():
    """A walk through channels 0 and 1 has two weights, one through 2 and 3 three; a group keeps its channel."""
    torch.manual_seed(0)
    found = walks(Split(), (2, 4, 4))  # weights 0-7 are a's, 8-25 b's, 26-33 c's

    for number in range(30):
        visits = found.draw(number, 1, torch.Generator().manual_seed(number)).tolist()
        there = visits[: next(i for i, v in enumerate(visits) if v >= 26) + 1]
        unit = there[0] // 2
        assert len(there) == (2 if unit < 2 else 3)
        if unit >= 2:
            assert (there[1] - 8) // 9 == unit - 2
        assert (there[-1] - 26) % 4 == unit
