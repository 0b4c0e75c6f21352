"""Slips of the library's callers are told in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import pabench
from pabench.errors import SuiteError

X, Y = torch.rand(6, 3, 8, 8), torch.arange(6) % 3


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


def prune(**options):
    given = {"model": network(), "criterion": "snip", "sparsity": 0.5, "batch": (X, Y), **options}
    return pabench.prune(given.pop("model"), given.pop("criterion"), **given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": None}, "model: expected a torch.nn.Module, not None"),
        ({"model": nn.Linear}, r"model: .* not the class Linear; make one: model = Linear\(...\)"),
        ({"model": "resnet18"}, "model: .* not 'resnet18'"),
        ({"criterion": None}, "criterion: expected a name, or an instance of a Criterion, not None"),
        ({"criterion": int}, "criterion: .* not the class int"),
        ({"sparsity": "0.5"}, r"sparsity: '0.5' is not in \[0, 1\)"),
        ({"sparsity": None}, r"sparsity: None is not in \[0, 1\)"),
        ({"sparsity": torch.tensor([0.5, 0.6])}, r"sparsity: a tensor of shape \(2,\) is not in"),
        ({"sparsity": True}, "sparsity: True is not in"),
        ({"sparsity": 90}, "sparsity: 90 is not in .* 0.9 removes 90 %"),
        ({"seed": None}, "seed: expected a whole number, not None"),
        ({"seed": 1.5}, "seed: expected a whole number, not 1.5"),
        ({"input_shape": 3}, r"input_shape: expected sizes, as in \(3, 32, 32\), not 3"),
        ({"input_shape": (3, -1, 8)}, "input_shape: expected sizes"),
        ({"input_shape": "3,8,8"}, "input_shape: expected sizes"),
        ({"dtype": "float64"}, "dtype: expected torch.float32 or torch.float64, not 'float64'"),
        ({"dtype": torch.float16}, "dtype: .* not torch.float16"),
        ({"include": None}, "include: expected a list of kinds.* not None"),
        ({"at_once": "2"}, "at_once: '2' images; expected 1 or more"),
        ({"at_once": 2.5}, "at_once: 2.5 images"),
        ({"at_once": 0}, "at_once: 0 images"),
        ({"batch": ((X * 255).byte(), Y)}, "of torch.uint8 fails; give x.float"),
        ({"batch": ((X * 255).long(), Y)}, "of torch.int64 fails; give x.float"),
        ({"batch": (X, Y[:, None])}, r"labels are \(6, 1\); .* one for each image: give y.flatten"),
        ({"batch": (X, torch.eye(3)[Y])}, r"these are torch.float32: give y.argmax\(1\)"),
        ({"batch": (X, torch.eye(3).long()[Y])}, r"labels are \(6, 3\); .* give y.argmax\(1\)"),
        ({"batch": (X, Y.float())}, r"these are torch.float32: give y.long\(\)"),
    ],
)
def test_an_argument_of_another_kind_is_told_with_one_that_is_right(options, message):
    with pytest.raises(SuiteError, match=message) as found:
        prune(**options)

    assert "\n" not in str(found.value)


def test_what_numpy_and_torch_make_of_the_same_numbers_is_taken():
    expected = prune(input_shape=[3, 8, 8])
    masks = prune(sparsity=np.float32(0.5), seed=np.int64(0), input_shape=X.shape[1:])

    assert all(torch.equal(mask, expected[name]) for name, mask in masks.items())


def test_images_and_labels_that_were_made_in_inference_mode_are_taken():
    with torch.inference_mode():
        batch = X.clone(), Y.clone()

    assert prune(batch=batch).receipt["kept"] == prune().receipt["kept"]


def test_a_network_that_takes_bytes_is_given_them():
    class Scales(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x):
            return self.inner(x.to(self.inner[0].weight.dtype) / 255)

    assert prune(model=Scales(), batch=((X * 255).byte(), Y)).receipt["kept"] == prune().receipt["kept"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda masks: pabench.shuffle([1, 2], seed=0), "masks are a dict of tensors by parameter name, not a list"),
        (lambda masks: pabench.shuffle(masks, seed="a"), "seed: expected a whole number, not 'a'"),
        (lambda masks: pabench.apply(None, masks), "model: expected a torch.nn.Module, not None"),
        (lambda masks: pabench.remove(None), "model: expected a torch.nn.Module, not None"),
        (lambda masks: pabench.compact(network(), None, input_shape=(3, 8, 8)), "masks are a dict"),
        (lambda masks: pabench.compact(network(), masks), "the shape of the input is not known; give input_shape"),
        (lambda masks: pabench.measure(network(), "masks", "ntk", batch=(X, Y)), "masks are a dict .* not a str"),
        (
            lambda masks: pabench.measure(network(), masks, "ntk", batch=(X, Y + 5)),
            "a label is 5, and Sequential has 3",
        ),
        (lambda masks: pabench.load(None), "load: expected the path of a results folder, not a NoneType"),
    ],
)
def test_so_do_the_other_functions(call, message):
    with pytest.raises(SuiteError, match=message):
        call(prune())
