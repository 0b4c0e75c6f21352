"""A split that is not what its dataset says of itself is refused, with the remedy."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from pabench.data.checked import split_of
from pabench.data.dataset import Dataset, InMemory, Regression, identity
from pabench.data.digits import Digits
from pabench.data.split import Images, Streamed
from pabench.errors import DataError

N = 12
PIXELS = torch.randint(0, 256, (N, 3, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(N) % 3


@dataclass(frozen=True, kw_only=True)
class Mine(Dataset):
    """A dataset that gives whatever it is made with."""

    given: Any = None
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    name, classes, shape, std = "mine", 3, (3, 5, 4), (0.3, 0.3, 0.3)

    def missing(self) -> str:
        return ""

    def fingerprint(self) -> str:
        return "1" * 64

    def train(self) -> Images:
        return self.given

    def test(self) -> Images:
        return self.given


@dataclass(frozen=True, kw_only=True)
class Numbers(Mine, Regression):
    outputs = 2


def test_what_a_dataset_promises_is_given_as_it_is():
    for given in (Images(PIXELS, LABELS), Images(PIXELS.float() / 255, LABELS)):
        assert split_of(Mine(given=given), "train") is given
    numbers = Images(PIXELS.float() / 255, torch.randn(N, 2))
    assert split_of(Numbers(given=numbers), "test") is numbers
    assert len(split_of(Digits(), "test")) == 360


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((PIXELS, LABELS), r"a tuple, expected Images\(pixels, labels\) or Streamed"),
        (Images(PIXELS.numpy(), LABELS), r"pixels are a ndarray, expected a tensor \(torch.as_tensor\)"),
        (Images(PIXELS, LABELS.tolist()), r"labels are a list, expected a tensor"),
        (Images(PIXELS.double(), LABELS), r"pixels are float64 \(12, 3, 5, 4\), expected uint8, or float32"),
        (
            Images(PIXELS.permute(0, 2, 3, 1), LABELS),
            r"\(5, 4, 3\), expected \(3, 5, 4\) .*permute",
        ),
        (Images(PIXELS[:, 0], LABELS), r"images of shape \(5, 4\), expected \(3, 5, 4\) as the dataset says$"),
        (Images(PIXELS[:0], LABELS[:0]), r"no images"),
        (
            Images(PIXELS.float(), LABELS),
            r"mean of the inputs is \[1\d\d.* says \[0.5.*: scale",
        ),
        (Images(PIXELS / 0.0, LABELS), r"inputs are not all finite"),
        (Images(PIXELS, LABELS[:-1]), r"12 images with 11 labels"),
        (Images(PIXELS, LABELS.int()), r"int32 \(12,\), expected int64 \(12,\): give labels.flatten\(\).long\(\)$"),
        (
            Images(PIXELS, LABELS[:, None]),
            r"int64 \(12, 1\), .*: give labels.flatten\(\).long\(\)$",
        ),
        (
            Images(PIXELS, torch.eye(3)[LABELS]),
            r"float32 \(12, 3\), .*labels.argmax\(1\); .* a Regression$",
        ),
        (Images(PIXELS, torch.eye(3).long()[LABELS]), r"int64 \(12, 3\), .*: give labels.argmax\(1\)$"),
        (Images(PIXELS, LABELS.float()), r"float32 \(12,\), .*: give labels.long\(\); where targets are numbers"),
        (Images(PIXELS, LABELS + 1), r"labels from 1 to 3, expected 0 to 2"),
        (Images(PIXELS, LABELS - 1), r"labels from -1 to 1, expected 0 to 2"),
        (Streamed(("a.png",) * 3, torch.tensor([0, 1]), 4), r"3 images with 2 labels"),
    ],
)
def test_what_would_train_on_something_else_is_refused(given: Any, message: str):
    with pytest.raises(DataError, match=f"^mine: test: .*{message}"):
        split_of(Mine(given=given), "test")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (LABELS, r"targets are int64 \(12,\), expected float32 \(12, 2\)"),
        (torch.randn(N), r"targets are float32 \(12,\), expected float32 \(12, 2\)"),
        (torch.randn(N, 3), r"targets are float32 \(12, 3\), expected float32 \(12, 2\)"),
        (torch.full((N, 2), torch.nan), "targets are not all finite"),
    ],
)
def test_so_are_targets_that_are_not_as_many_numbers(targets: torch.Tensor, message: str):
    with pytest.raises(DataError, match=f"^mine: train: {message}"):
        split_of(Numbers(given=Images(PIXELS, targets)), "train")


def test_the_mean_of_pixels_is_that_of_numbers_up_to_one():
    with pytest.raises(DataError, match=r"the mean of pixels is said to be \[125.3, .* in \[0, 1\]"):
        split_of(Mine(given=Images(PIXELS, LABELS), mean=(125.3, 123.0, 113.9)), "train")


def test_labels_that_are_read_are_not_rounded(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    @dataclass(frozen=True, kw_only=True)
    class Read(Mine, InMemory):
        def train(self) -> Images:
            return self._images("train")

        def read(self, part: str) -> tuple[np.ndarray, np.ndarray]:
            return PIXELS.numpy(), LABELS.numpy() + 0.5

    with pytest.raises(DataError, match=r"mine: train: read gives uint8 \(12, 3, 5, 4\) and float64 \(12,\), expected"):
        split_of(Read(), "train")


PLUGIN = """
from dataclasses import dataclass
import numpy as np
from pabench.plugins import InMemory

@dataclass(frozen=True, kw_only=True)
class Drawn(InMemory):
    name, classes, shape, mean, std = "drawn", 2, (1, 2, 2), (0.5,), (0.5,)

    def missing(self):
        return ""

    def fingerprint(self):
        return "2" * 64

    def read(self, part):
        return np.full((4, 1, 2, 2), VALUE, np.uint8), np.arange(4) % 2
"""


def test_an_edited_dataset_is_another_one_and_is_read_again(monkeypatch, tmp_path):
    """Where its author forgot to change the fingerprint, what had been decoded was taken, under the same keys."""
    monkeypatch.setenv("PABENCH_CACHE", str(tmp_path / "cache"))
    found = []
    for name, value in (("one", 7), ("again", 7), ("edited", 9)):
        (tmp_path / f"{name}.py").write_text(PLUGIN.replace("VALUE", str(value)))
        monkeypatch.syspath_prepend(tmp_path)
        dataset = importlib.import_module(name).Drawn()
        found.append((identity(dataset), int(split_of(dataset, "train").pixels.max())))

    assert found[0] == found[1]
    assert found[2][0] != found[0][0]
    assert [value for _, value in found] == [7, 7, 9]
