"""SynFlow: |w| dR/d|w|, in rounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch
from pabench_criteria.synflow import SynFlow
from torch import nn

import pabench
from pabench.networks import models
from pabench.networks.network import Network, scoring_mode
from pabench.networks.rewire import Rewired
from pabench.scoring.pruning import context
from pabench.suite.specs import ModelSpec


def test_scores_the_sum_over_paths_through_each_weight():
    """Two layers, no data: a weight's score is the product of |w| along its paths, summed."""
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    module[0].weight.data = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    module[2].weight.data = torch.tensor([[-5.0, 7.0]])

    scores = pabench.score(module, "synflow", input_shape=(2,))

    assert scores["0.weight"].tolist() == [[5.0, 10.0], [21.0, 0.0]]
    assert scores["2.weight"].tolist() == [[15.0, 21.0]]


def test_conserves_the_flow_from_layer_to_layer(case):
    """Without biases every layer's scores add up to R (Tanaka et al. 2020, theorem 2)."""
    module = case("a").module
    for layer in (module.fc1, module.fc2, module.fc3):
        layer.bias.data.zero_()

    totals = [s.sum().item() for s in pabench.score(module, "synflow", input_shape=(64,)).values()]

    assert totals == pytest.approx([totals[0]] * 3, rel=1e-12)


def test_a_hundred_rounds_keep_layers_alive_that_one_round_kills(case):
    module = case("b").module

    one = pabench.prune(module, "synflow", sparsity=0.998, input_shape=(3, 16, 16), steps=1)
    many = pabench.prune(module, "synflow", sparsity=0.998, input_shape=(3, 16, 16))

    assert one.receipt["dead_layers"]
    assert not many.receipt["dead_layers"]
    assert one.receipt["kept"] == many.receipt["kept"] == 5064 - 5053


def test_stays_finite_where_float32_overflows():
    """Forty layers of gain 1e2 have R = 1e80: float64 holds it."""
    module = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(40)))
    for layer in module:
        layer.weight.data.fill_(100.0)

    scores = pabench.score(module, "synflow", input_shape=(1,))

    assert scores["0.weight"].item() == pytest.approx(1e80)


def test_has_no_batchnorm_in_train_mode(case):
    with pytest.raises(pabench.errors.SuiteError, match="synflow: bn: input should be 'eval', not 'train'"):
        pabench.score(case("b").module, "synflow", input_shape=(3, 16, 16), bn="train")


def test_a_clamp_that_saturates_takes_the_flow_and_can_be_switched_off():
    """1 -> 10 -> ReLU6 -> 3: clamped at 6, R = 18 and does not depend on the first weight; unclamped R = 30."""
    module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU6(), nn.Linear(1, 1, bias=False))
    module[0].weight.data.fill_(10.0)
    module[2].weight.data.fill_(-3.0)

    paper = pabench.score(module, "synflow", input_shape=(1,))
    lifted = pabench.score(module, "synflow", input_shape=(1,), clamps="off")

    assert [s.item() for s in paper.values()] == [0.0, 18.0]
    assert [s.item() for s in lifted.values()] == [30.0, 30.0]


def test_a_layernorm_takes_the_positivity_and_can_be_reduced_to_its_scale():
    """x = (1, 1) -> (3, 1) -> scale (2, 5) -> sum: R = 11, of which 2 * 3 and 5 * 1 through the two rows."""
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.LayerNorm(2), nn.Linear(2, 1, bias=False))
    module[0].weight.data = torch.tensor([[1.0, -2.0], [0.5, 0.5]])
    module[1].weight.data = torch.tensor([2.0, 5.0])
    module[2].weight.data = torch.tensor([[1.0, 1.0]])

    doubtful = pabench.prune(module, "synflow", sparsity=0.5, input_shape=(2,), steps=1)
    scores = pabench.score(module, "synflow", input_shape=(2,), norms="scale")
    healthy = pabench.prune(module, "synflow", sparsity=0.5, input_shape=(2,), steps=1, norms="scale")

    assert "doubtful" in {f["flag"] for f in doubtful.flags}
    assert healthy.flags == []
    assert scores["0.weight"].tolist() == [[2.0, 4.0], [2.5, 2.5]]
    assert scores["2.weight"].tolist() == [[6.0, 5.0]]
    assert healthy.receipt["parameters"]["norms"] == "scale"


def test_linear_attention_has_scores_when_a_head_is_pruned_away():
    """In round 4 of the zoo's 100 no query is left of some heads: 0 / (0 + 1e-5) beside 2^138 in timm's own float32.

    Without the cast to float32 all of it is within float64, and the plain scores say what the carried ones must be.
    """
    module = models.build(ModelSpec("efficientvit_b0"), 10, (3, 32, 32), 0)
    unlimited = {"clamps": "off", "norms": "scale", "range": "unlimited"}
    rule, plain = SynFlow(**unlimited), SynFlow(**unlimited | {"range": "dtype"})
    with scoring_mode(torch.device("cpu")):
        ctx = context(Network(module), rule, (), seed=0, input_shape=(3, 32, 32))
        *_, third, fourth = islice(rule.rounds(ctx, 0.1), 4)
        with Rewired({"float": lambda x: x}):
            expected = plain.score(replace(ctx, mask={n: m.double() for n, m in third.selection.masks.items()}))

    carried, wide = (torch.cat([s.flatten() for s in scores.values()]) for scores in (fourth.scores, expected))
    assert carried.isfinite().all()
    assert torch.equal(carried == 0, wide == 0)
    # of the largest score: the slope of a quotient is the difference of two float32 numbers
    torch.testing.assert_close(carried / carried.max(), wide / wide.max(), rtol=1e-4, atol=1e-6)
