"""SynFlow: |w| dR/d|w|, in rounds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pabench


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
