"""The library's score and prune: exact, pure, and what is wrong with a request said in one line."""

from __future__ import annotations

import copy
import random
import threading

import numpy as np
import pytest
import timm
import torch
from torch import nn

import pabench
from pabench.errors import DegenerateWarning, SuiteError

from ..training.test_reference import LATE

CRITERIA = ["random", "magnitude", "snip", "grasp", "synflow"]
CRITERIA += ["iter_snip", "force", "grad_norm", "fisher", "fts", "hutchinson", "hts", "synflow_l2"]
CRITERIA += ["grasp@official-redrawn"]
QUICK = {
    **{name: {"steps": 5} for name in ("synflow", "synflow_l2", "iter_snip", "force")},
    "hutchinson": {"probes": 1},
    "hts": {"probes": 1},
}


def state(module):
    """Everything that scoring must leave as it was."""
    return {
        "tensors": {n: t.clone() for n, t in module.state_dict().items()},
        "modes": [m.training for m in module.modules()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in module.parameters()],
        "requires": [p.requires_grad for p in module.parameters()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),
        "python": random.getstate(),
        "settings": (torch.get_default_dtype(), torch.get_num_threads(), torch.backends.cudnn.allow_tf32),
    }


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return a == b


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("training", [True, False])
def test_scoring_and_pruning_leave_no_trace(case, criterion, training):
    """Buffers, modes, gradients, hooks and every global random state; public code changes running statistics."""
    reference = case("b")
    reference.module.train(training)
    reference.module(reference.x[:8]).sum().backward()
    before = copy.deepcopy(state(reference.module))

    quick = QUICK.get(criterion, {})
    pabench.score(reference.module, criterion, batch=reference.batch, **quick)
    pabench.prune(reference.module, criterion, sparsity=0.9, batch=reference.batch, **quick)

    assert same(before, state(reference.module))


def test_permuting_hidden_units_permutes_the_scores(case):
    reference = case("a")
    permuted = copy.deepcopy(reference.module)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    permuted.fc1.weight.data, permuted.fc1.bias.data = permuted.fc1.weight[order].data, permuted.fc1.bias[order].data
    permuted.fc2.weight.data = permuted.fc2.weight[:, order].data

    for criterion in ("magnitude", "snip", "grasp", "synflow", "grad_norm", "fisher", "synflow_l2"):
        a = pabench.score(reference.module, criterion, batch=reference.batch)
        b = pabench.score(permuted, criterion, batch=reference.batch)
        torch.testing.assert_close(a["fc1.weight"][order], b["fc1.weight"], rtol=1e-9, atol=0)


def test_a_float32_network_is_scored_in_what_the_criterion_needs_unless_told_otherwise(case):
    """SNIP does with float32, in one round; Iterative SNIP and SNIP in rounds do not. A float64 network stays one."""
    reference = case("a")
    module, batch = copy.deepcopy(reference.module).float(), reference.batch

    def scored_in(criterion, module=module, **options):
        return pabench.score(module, criterion, batch=batch, **options)["fc1.weight"].dtype

    assert scored_in("snip") == torch.float32
    assert scored_in("iter_snip") == scored_in("snip", steps=2) == torch.float64
    assert (scored_in("snip", dtype=torch.float64), scored_in("iter_snip", dtype=torch.float32)) == (
        torch.float64,
        torch.float32,
    )
    assert scored_in("snip", module=reference.module, dtype=torch.float32) == torch.float64


def test_scores_that_float32_does_not_hold_are_made_again_in_float64():
    """Weights of 1e-20 and a gradient of 1e-20 or so: their product is 0 in float32 and 1e-40 in float64."""
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    for layer in module:
        layer.weight.data = torch.tensor([[1e-23, 2e-23], [3e-23, 4e-23]])
    batch = (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([0, 1]))

    with pytest.warns(DegenerateWarning, match="8 of 8 scores are exactly 0"):
        pabench.score(module, "snip", batch=batch, dtype=torch.float32)
    scores = pabench.score(module, "snip", batch=batch)
    masks = pabench.prune(module, "snip", sparsity=0.5, batch=batch)

    assert all(s.dtype == torch.float64 and (s > 0).all() for s in scores.values())
    assert masks.receipt["dtype"] == "float64"
    assert masks.flags == []


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_bare_linear_layer_is_a_network(criterion):
    module = nn.Linear(6, 3)
    batch = (torch.randn(9, 6), torch.arange(9) % 3)

    masks = pabench.prune(module, criterion, sparsity=0.5, batch=batch, **QUICK.get(criterion, {}))

    assert int(masks["weight"].sum()) == 9


def test_dropout_is_off_while_scoring():
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    batch = (torch.ones(3, 4), torch.tensor([0, 1, 0]))

    a, b = (pabench.score(module, "snip", batch=batch)["0.weight"] for _ in range(2))

    assert torch.equal(a, b)


def test_attention_has_second_derivatives():
    """Fused kernels have none: GraSP on a ViT raises in public code."""
    module = timm.create_model("test_vit", num_classes=4, img_size=32)
    torch.manual_seed(0)
    batch = (torch.randn(4, 3, 32, 32), torch.arange(4))

    scores = pabench.score(module, "grasp", batch=batch)

    nonzero = sum(int((s != 0).sum()) for s in scores.values()) / sum(s.numel() for s in scores.values())
    assert nonzero > 0.9
    assert all(s.isfinite().all() for s in scores.values())


def test_hard_sigmoids_have_second_derivatives_while_scoring():
    """PyTorch's kernel has none: GraSP on MobileNetV3 raises in public code."""
    torch.manual_seed(0)
    module = timm.create_model("mobilenetv3_small_050", num_classes=4)
    batch = (torch.randn(4, 3, 64, 64), torch.arange(4))

    masks = pabench.prune(module, "grasp", sparsity=0.5, batch=batch, dtype=torch.float32)

    assert masks.receipt["zero_scores"] / masks.receipt["total"] < 0.1
    assert any(isinstance(m, nn.Hardsigmoid) for m in module.modules())


def test_synflow_is_doubtful_where_a_network_is_not_positive():
    """LayerNorm subtracts a mean: products turn negative and R conserves no flow."""
    module = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    plain = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))

    doubtful = pabench.prune(module, "synflow", sparsity=0.5, steps=1)
    fine = pabench.prune(plain, "synflow", sparsity=0.5, steps=1)

    assert [f["flag"] for f in doubtful.flags] == ["doubtful"]
    assert "are negative" in doubtful.flags[0]["detail"]
    assert fine.flags == []


def test_synflow_asks_for_the_shape_it_cannot_know():
    with pytest.raises(SuiteError, match="give input_shape="):
        pabench.score(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), "synflow")


@pytest.mark.parametrize(
    ("criterion", "parameters", "message"),
    [
        ("snp", {}, "no criterion named 'snp'; did you mean 'snip'"),
        ("grasp@offical", {}, "grasp has no variant 'offical'; did you mean 'official'"),
        ("grasp", {"temprature": 1.0}, "temprature: unknown parameter of grasp; did you mean 'temperature'"),
        ("grasp", {"temperature": 0.0}, "temperature: input should be greater than 0, not 0.0"),
        ("snip", {"steps": "3"}, "steps: input should be a valid integer, not '3'"),
        ("snip", {"allocation": "egalitarian"}, "allocation: input should be"),
        ("snip", {"allocation": "as:"}, "or string should match pattern '^as:"),
        ("fisher", {"bn": "train"}, "bn: input should be 'eval', not 'train'"),
        ("magnitude", {"examples_per_class": 3}, "examples_per_class: input should be 0, not 3"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_one_line(case, criterion, parameters, message):
    reference = case("a")

    with pytest.raises(SuiteError) as error:
        pabench.score(reference.module, criterion, batch=reference.batch, **parameters)

    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_sparsity_out_of_range_is_refused(case):
    for sparsity in (-0.1, 1.0, 90):
        with pytest.raises(SuiteError, match="is not in"):
            pabench.prune(case("a").module, "magnitude", sparsity=sparsity)


def test_data_is_asked_for_where_a_criterion_needs_it(case):
    with pytest.raises(SuiteError, match=r"snip scores by data: give batch=\(x, y\)"):
        pabench.score(case("a").module, "snip")


def test_the_library_says_what_trained_weights_are_needed_for():
    module = nn.Linear(2, 2, bias=False)
    trained = {"weight": torch.tensor([[0.1, -4.0], [3.0, 0.2]])}

    with pytest.raises(SuiteError, match="trained weights are not known; run it in a suite, or give trained="):
        pabench.prune(module, LATE, sparsity=0.5)
    with pytest.raises(SuiteError, match=r"trained: weight is \(1,\), the model's weight is \(2, 2\)"):
        pabench.prune(module, LATE, sparsity=0.5, trained={"weight": torch.ones(1)})
    with pytest.raises(SuiteError, match="trained: weight is missing"):
        pabench.prune(module, LATE, sparsity=0.5, trained={})
    with pytest.raises(SuiteError, match="small_dense prunes nothing, it trains another network: run it in a suite"):
        pabench.prune(module, "small_dense", sparsity=0.5)

    masks = pabench.prune(module, LATE, sparsity=0.5, trained=trained)
    assert masks["weight"].tolist() == [[False, True], [True, False]]
    scores = pabench.score(module, LATE, trained=trained)["weight"]
    assert scores.flatten().tolist() == pytest.approx([0.1, 4.0, 3.0, 0.2], abs=1e-6)


def test_a_compacted_network_keeps_its_masks_in_anybodys_loop_and_goes_back_into_the_model():
    """Of 4 channels nothing uses the first; the model is masked itself, and stays as it is."""
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).double()
    masks = {"0.weight": torch.ones(4, 2, 1, 1, dtype=torch.bool), "3.weight": torch.ones(3, 16, dtype=torch.bool)}
    masks["3.weight"][:, :4], masks["3.weight"][1, 5] = False, False
    pabench.apply(model, masks)
    before = copy.deepcopy(model.state_dict())

    small = pabench.compact(model, masks, input_shape=(2, 2, 2))

    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert small.module[3].weight.shape == (3, 12)
    optimizer = torch.optim.SGD(small.module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        small.module(torch.ones(2, 2, 2, 2, dtype=torch.float64)).square().sum().backward()
        optimizer.step()
    assert small.module[3].weight[1, 1] == 0
    assert not torch.equal(small.module[0].weight, before["0.weight"][1:])
    small.restore(model)
    x = torch.randn(5, 2, 2, 2, dtype=torch.float64)
    assert (model(x) - small.module(x)).abs().max() < 1e-12
    assert torch.equal(model[0].weight[0], before["0.weight"][0])


class Peculiar(nn.Module):
    """Holds a lock and an activation, has one weight under two names, and unfolds what a convolution gives."""

    def __init__(self):
        super().__init__()
        self.conv, self.fold, self.fc = nn.Conv2d(3, 8, 3, bias=False), nn.Unfold(2, stride=2), nn.Linear(32, 10)
        self.first, self.second, self.lock = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), threading.Lock()
        self.second.weight = self.first.weight

    def forward(self, x):
        self.kept = self.conv(self.second(self.first(x))).relu()
        return self.fc(self.fold(self.kept).mean(-1))


def test_a_peculiar_network_is_compacted():
    model = Peculiar()
    x = torch.randn(4, 3, 9, 9)
    model(x)
    diagonal, half = torch.eye(3, dtype=torch.bool)[:, :, None, None], torch.ones(8, 3, 3, 3, dtype=torch.bool)
    half[:4] = False

    found = pabench.compact(model, {"second.weight": diagonal, "conv.weight": half}, input_shape=(3, 9, 9))

    assert set(found.masks) == {"first.weight", "conv.weight"}
    assert (found.module.conv.weight.shape, found.module.fc.weight.shape) == ((4, 3, 3, 3), (10, 16))
    pabench.apply(model, {"second.weight": diagonal, "conv.weight": half})
    torch.testing.assert_close(found.module(x), model(x))


def test_a_model_that_is_in_use_everywhere_is_not_compacted():
    with pytest.raises(pabench.DeclinedError, match="Linear is not compacted: all channels are in use"):
        pabench.compact(nn.Linear(4, 3), {"weight": torch.ones(3, 4, dtype=torch.bool)})
