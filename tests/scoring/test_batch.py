"""What a caller gives as `batch`: taken in every usual form, and otherwise refused once, in one line."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pabench
from pabench.errors import SuiteError

MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
X, Y = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])


def loaded(n):
    return DataLoader(TensorDataset(X, Y), batch_size=n)


@pytest.mark.parametrize(
    "batch",
    [
        (X, Y),
        [X, Y],
        next(iter(loaded(4))),
        [(X, Y)],
        [[X, Y]],
        ((X, Y),),
        ((x, y) for x, y in [(X, Y)]),
        (X, Y.int()),
        (X, Y.to(torch.uint8)),
        (X.double(), Y),
    ],
    ids=lambda batch: type(batch).__name__,
)
def test_a_pair_in_any_form_is_that_pair(batch):
    masks = pabench.prune(MODEL, "snip", sparsity=0.5, batch=batch)
    expected = pabench.prune(MODEL, "snip", sparsity=0.5, batch=(X, Y))

    assert masks.receipt["kept"] == 270
    assert all(torch.equal(masks[n], expected[n]) for n in masks)


def test_two_images_in_a_list_are_one_batch_and_no_list_of_pairs():
    (batch,) = DataLoader(TensorDataset(X[:2], Y[:2]), batch_size=2)

    assert isinstance(batch, list)
    assert pabench.prune(MODEL, "snip", sparsity=0.5, batch=batch).receipt["kept"] == 270


def test_the_losses_of_several_pairs_add_up():
    once, twice = (pabench.score(MODEL, "snip", batch=[[X, Y]] * n) for n in (1, 2))

    assert all(torch.equal(twice[n], 2 * once[n]) for n in once)


WRONG = {
    "a DataLoader": (loaded(2), "not a DataLoader: give next"),
    "nothing": ([], "this is a list of nothing"),
    "a tensor": (X, r"batch is \(x, y\) or a list of such pairs"),
    "a dict": ({"x": X, "y": Y}, "both tensors; batch 0 is a str"),
    "a number": (3, "this is a int"),
    "three tensors": ((X, Y, Y), "both tensors; batch 0 is a Tensor"),
    "images without labels": ([(X,)], "both tensors; batch is a tuple of Tensor"),
    "an array": ((X.numpy(), Y.numpy()), "both tensors; batch 0 is a ndarray"),
    "other counts": ((X, Y[:3]), r"x is \(4, 3, 8, 8\) and y is \(3,\)"),
    "no batch dimension": ((X[0, 0, 0], Y[:1]), r"x is \(8,\)"),
    "one label": ((X, Y[0]), r"y is \(\)"),
    "an empty one": ((X[:0], Y[:0]), "batch is empty"),
    "the second empty": ([(X, Y), (X[:0], Y[:0])], "batch 1 is empty"),
    "soft labels": ((X, torch.full((4, 3), 1 / 3)), "labels are class indices, int64; these are torch.float32"),
    "truth values": ((X, Y > 0), "these are torch.bool"),
    "all labels ignored": ((X, torch.full((4,), -100)), "all labels are -100"),
    "a label too large": ((X, torch.tensor([0, 1, 2, 3])), "a label is 3, and Sequential has 3 classes: 0 to 2"),
    "a negative label": ((X, torch.tensor([0, 1, -1, 2])), "a label is -1"),
    "labels of pixels": ((X, torch.zeros(4, 8, 8, dtype=torch.int64)), r"gives \(2, 3\) .* \(N, classes, 8, 8\)"),
    "not a number": ((X / 0 * 0, Y), "infinite or not a number"),
    "other channels": ((X[:, :1], Y), r"the forward pass on x \(2, 1, 8, 8\) of torch.float32 fails"),
    "another size": ((X[..., :7], Y), r"Sequential \(in Linear\): the forward pass"),
    "bytes": (((X * 50).to(torch.uint8), Y), r"x \(2, 3, 8, 8\) of torch.uint8 fails"),
}


@pytest.mark.parametrize("call", ["score", "prune"])
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_batch_is_refused_in_one_line(kind, call):
    batch, message = WRONG[kind]

    with pytest.raises(SuiteError, match=message) as error:
        getattr(pabench, call)(MODEL, "snip", batch=batch, **({"sparsity": 0.5} if call == "prune" else {}))

    assert "\n" not in str(error.value)


def test_some_ignored_labels_are_left_to_the_loss():
    some = torch.tensor([0, 1, -100, 2])

    scores = pabench.score(MODEL, "snip", batch=(X, some))

    without = pabench.score(MODEL, "snip", batch=(X[some >= 0], some[some >= 0]))
    assert all(torch.allclose(scores[n], without[n], rtol=1e-9) for n in scores)


def test_tokens_stay_integers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 6), nn.Flatten(), nn.Linear(30, 3))

    masks = pabench.prune(model, "snip", sparsity=0.5, batch=(torch.randint(0, 7, (4, 5)), torch.arange(4) % 3))

    assert masks.receipt["kept"] == 45


def test_dense_predictions_are_scored_by_the_labels_of_their_pixels():
    model = nn.Conv2d(3, 5, 3, padding=1)
    labels = torch.randint(0, 5, (4, 8, 8), generator=torch.Generator().manual_seed(0))

    assert pabench.prune(model, "snip", sparsity=0.5, batch=(X, labels)).receipt["kept"] == 68  # 135 - 67


@pytest.mark.parametrize("out", ["sequence first", "no classes", "integers"])
def test_outputs_that_are_no_logits_are_refused(out):
    class Net(nn.Linear):
        def forward(self, x):
            found = super().forward(x.flatten(1))
            return {"sequence first": found[None], "no classes": found.sum(1), "integers": found.argmax(1)}[out]

    with pytest.raises(SuiteError, match=r"Net gives .* a loss needs logits of shape \(N, classes\)"):
        pabench.prune(Net(192, 3), "snip", sparsity=0.5, batch=(X, Y))


def test_metrics_check_their_batch_as_well():
    masks = pabench.prune(MODEL, "magnitude", sparsity=0.5)

    with pytest.raises(SuiteError, match="not a DataLoader"):
        pabench.measure(MODEL, masks, "effective_density", batch=loaded(2))
