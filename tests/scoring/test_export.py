"""Masks in the forms of other libraries give what pabench's own do."""

from __future__ import annotations

import copy
import doctest
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.sparse import _semi_structured_conversions as layout

import pabench
from pabench.errors import SuiteError
from pabench.scoring import export


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(export) == (0, 1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


@pytest.fixture
def masks(model):
    return pabench.prune(model, "magnitude", sparsity=0.5)


def trained(model, steps=3):
    """SGD with momentum and weight decay, which move a weight whose gradient is 0."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    x, y = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.eval()
    return model(x)


def test_a_network_trained_under_torchs_own_masks_is_that_trained_under_ours(model, masks):
    ours = pabench.apply(copy.deepcopy(model), masks)
    theirs = masks.torch_prune(model)

    torch.testing.assert_close(trained(theirs), trained(ours))
    assert prune.is_pruned(theirs)
    assert torch.equal(theirs[4].weight == 0, ~masks["4.weight"])


def test_what_apply_did_comes_off_before_torch_takes_over(model, masks):
    pabench.apply(model, masks)

    masks.torch_prune(model)
    trained(model)
    prune.remove(model[4], "weight")

    assert torch.equal(model[4].weight == 0, ~masks["4.weight"])
    assert [hook for module in model.modules() for hook in module._state_dict_pre_hooks] == []


def test_a_shared_weight_is_masked_under_each_of_its_names():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    masks = pabench.Masks({"0.weight": torch.eye(4, dtype=torch.bool)}, {}, [])

    masks.torch_prune(model)

    assert model[0].weight_orig is model[1].weight_orig
    assert torch.equal(model[1].weight != 0, torch.eye(4, dtype=torch.bool))


def test_a_mask_that_does_not_fit_is_refused_and_the_model_stays(model, masks):
    before = copy.deepcopy(model.state_dict())

    with pytest.raises(SuiteError, match=r"4\.weight: mask is \(3, 4\), the weight is \(3, 16\)"):
        export.torch_prune(model, {**masks, "4.weight": masks["4.weight"][:, :4]})

    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert not prune.is_pruned(model)


def test_plain_weights_are_those_of_the_model_where_they_are_kept_and_0_elsewhere(model, masks):
    before = copy.deepcopy(model.state_dict())

    state = masks.state_dict(model)

    assert list(state) == list(before)
    for name, tensor in state.items():
        expected = before[name] * masks[name] if name in masks else before[name]
        assert torch.equal(tensor, expected), name
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())


class Holds(nn.Module):
    """A lock, which cannot be copied, and an activation with its history, which deepcopy refuses."""

    def __init__(self):
        super().__init__()
        self.a, self.lock = nn.Linear(4, 2), threading.Lock()

    def forward(self, x):
        self.kept = self.a(x)
        return self.kept


def test_plain_weights_of_a_model_that_deepcopy_refuses():
    model = Holds()
    model(torch.randn(3, 4))
    mask = torch.arange(8).reshape(2, 4) % 2 == 0

    state = export.state_dict(model, {"a.weight": mask})

    assert torch.equal(state["a.weight"], model.a.weight * mask)
    assert bool(model.a.weight.all())


class Itself(nn.Linear):
    def __deepcopy__(self, memo):
        return self


@pytest.mark.parametrize("made", [export.state_dict, lambda *a: pabench.compact(*a, input_shape=(4,))])
def test_a_model_whose_copy_is_itself_is_refused_and_stays(made):
    model = nn.Sequential(Itself(4, 2))
    before = model[0].weight.clone()

    with pytest.raises(SuiteError, match=r"copy\.deepcopy gives the same weights"):
        made(model, {"0.weight": torch.zeros(2, 4, dtype=torch.bool)})
    assert torch.equal(model[0].weight, before)


def test_safetensors_takes_them_from_tied_and_channels_last_networks(tmp_path):
    """Shared or strided tensors it refuses."""
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)).to(memory_format=torch.channels_last)
    model[1].weight = model[0].weight
    masks = pabench.prune(model, "magnitude", sparsity=0.5)

    save_file(masks.state_dict(model), tmp_path / "weights.safetensors")

    read = load_file(tmp_path / "weights.safetensors")
    assert torch.equal(read["1.weight"] != 0, masks["0.weight"])


def test_two_of_four_names_matrices_alone():
    """A convolution has no rows for these kernels, and a row of six no whole fours."""
    half = torch.tensor([True, False]).repeat(8)
    masks = pabench.Masks({"fc": half.view(2, 8), "conv": half.view(2, 2, 2, 2), "odd": half[:12].view(2, 6)}, {}, [])

    assert masks.two_of_four() == ["fc"]
    masks["fc"] = torch.tensor([[True, True, True, False]])
    assert masks.two_of_four() == []


def test_torchs_layout_holds_those_that_fit_and_drops_weights_of_others():
    """By torch's own conversion, which is plain tensor code and runs anywhere, unlike the kernels."""
    torch.manual_seed(0)
    fits = torch.tensor([True, False, False, True]).repeat(64 * 128 // 4).view(64, 128)
    for mask in (fits, torch.ones(64, 128, dtype=torch.bool)):
        weight = (torch.randn(64, 128) * mask).half()
        kept = layout.sparse_semi_structured_to_dense_cutlass(*layout.sparse_semi_structured_from_dense_cutlass(weight))
        assert torch.equal(kept, weight) == (export.two_of_four({"w": mask}) == ["w"])
