"""The interface of a dataset, and batches out of it. Built-in ones: `pabench.data`."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from pabench.data import images
from pabench.data.augment import Stream, cutout_, epoch_order
from pabench.data.cache import decoded, sha256_of
from pabench.data.split import Images, Streamed, first_per_class
from pabench.errors import DataError, MissingError
from pabench.parameters import NonNegativeInt
from pabench.source import source_digest
from pabench.suite.digest import digest
from pabench.suite.specs import Augment

Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")
DECODING = 4  # raised when the same files decode to other arrays


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A training and a test split. Its fields are its parameters, validated and recorded.

    A subclass says `name`, `classes`, `shape` (C, H, W), `mean` and `std` (one number per channel, pixels in
    [0, 1]) as class attributes or properties. `path` says where it lies and is no part of its identity.
    """

    kind: ClassVar[str] = "datasets"
    path: str = ""

    name: ClassVar[str]
    augment: ClassVar[Augment] = Augment()  # what `augment: auto` in a recipe means

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many; labels are 0 to classes - 1."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""

    @property
    @abstractmethod
    def mean(self) -> tuple[float, ...]:
        """Of each channel, pixels in [0, 1]; subtracted before a network sees an image."""

    @property
    @abstractmethod
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, pixels in [0, 1]; divided by, so above 0."""

    @abstractmethod
    def missing(self) -> str:
        """Empty if the data are there; else one line: the path looked at, the command that gets them, their size."""

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of the content, 64 hexadecimal digits."""

    @abstractmethod
    def train(self) -> Images | Streamed:
        """The images that networks are trained on, and scored by. DataError: a file is not what it should be."""

    @abstractmethod
    def test(self) -> Images | Streamed:
        """The images that are looked at once, after the last epoch."""

    @property
    def groups(self) -> int:
        """What scoring batches are balanced over: so many samples are given for each of `examples_per_class`."""
        return self.classes

    @property
    def folder(self) -> Path:
        """Where it lies: `path`, else a folder of its name where datasets lie."""
        return place(self.name, self.path)

    @property
    def coding(self) -> str:
        """In what its pictures are encoded, as `JPEG and PNG`; "" where they are not, or it is not known."""
        return ""

    def notes(self) -> list[str]:
        """What its user should know of how the files are read, in one line each."""
        return []

    def fetch(self) -> None:
        """Downloads what is missing; raises MissingError if it cannot. Nothing else in pabench uses the network."""
        self.require()

    def require(self) -> None:
        """Raises MissingError unless the data are there."""
        if gap := self.missing():
            raise MissingError(gap)


@dataclass(frozen=True, kw_only=True)
class Regression(Dataset):
    """A dataset whose targets are numbers: labels of its splits are float32 (N, K), and `outputs` says K.

    Networks are trained for the squared error and compared by R². There are no classes: batches are random, and as
    large as those of `groups` classes.
    """

    groups: ClassVar[int] = 10  # type: ignore[assignment]

    @property
    @abstractmethod
    def outputs(self) -> int: ...

    @property
    def classes(self) -> int:
        """What a network has so many outputs for."""
        return self.outputs


@dataclass(frozen=True, kw_only=True)
class InMemory(Dataset):
    """A dataset small enough to be held as uint8; decoded once per machine (`pabench.data.cache`).

    `train_per_class` and `test_per_class` keep only the first images of each class in file order; 0 keeps all.
    `held_out_per_class`, to choose a recipe by: the last training images of each class stand in for the test images,
    which are not looked at, and training has the others.
    """

    train_per_class: NonNegativeInt = 0
    test_per_class: NonNegativeInt = 0
    held_out_per_class: NonNegativeInt = 0

    @abstractmethod
    def read(self, part: Part) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """All pixels, uint8 (N, C, H, W), and labels, 0 to classes - 1 (N,), of one split."""

    def decoding(self) -> dict[str, Any]:
        """The parameters, if any, that change what `read` gives from the same files."""
        return {}

    def train(self) -> Images:
        """The training images, the first `train_per_class` of each class; DataError: `read` gives another shape."""
        return self._images("train")

    def test(self) -> Images:
        """The test images, the first `test_per_class` of each class."""
        return self._images("test")

    def contents(self, part: Part) -> dict[str, np.ndarray[Any, Any]]:
        """What is kept of a split: `pixels` and `labels` as `read` gives them, and what a subclass adds."""
        pixels, labels = self.read(part)
        return {"pixels": pixels, "labels": labels}

    @cached_property
    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel over all training pixels, subset or not.

        The deviation of a channel that is the same everywhere counts as 1: it is 0 after normalising, and finite.
        DataError: all of them are.
        """
        mean, std = np.broadcast_to(self._arrays("train")["moments"], (2, self.shape[0])).tolist()
        if not any(std):
            where = f"{self.name}: {images.shown(self.folder)}"
            raise DataError(
                f"{where}: all training images are one even area of one value: nothing can be learned of it"
            )
        return tuple(mean), tuple(deviation or 1.0 for deviation in std)

    @property
    def is_subset(self) -> bool:
        """Whether a parameter leaves images out."""
        return bool(self.train_per_class or self.test_per_class or self.held_out_per_class)

    def _arrays(self, part: Part) -> dict[str, np.ndarray[Any, Any]]:
        self.require()

        def build() -> dict[str, np.ndarray[Any, Any]]:
            found = self.contents(part)
            pixels, labels = np.ascontiguousarray(found["pixels"]), found["labels"]
            if labels.dtype.kind not in "iu" or pixels.dtype != np.uint8 or pixels.ndim != 4:
                said = f"{pixels.dtype} {pixels.shape} and {labels.dtype} {labels.shape}"
                expected = "pixels uint8 (N, C, H, W) and labels of whole numbers (N,)"
                raise DataError(f"{self.name}: {part}: read gives {said}, expected {expected}")
            labels = labels.astype(np.int64)
            return {**found, "pixels": pixels, "labels": labels, "moments": _moments(pixels)}

        return decoded(digest([DECODING, self.name, self._content, part, self.decoding(), *_code(self)]), build)

    @cached_property
    def _content(self) -> str:
        """The fingerprint, which takes a look at every file: the same for as long as this object lives."""
        return self.fingerprint()

    def chosen(self, part: Part) -> Tensor:
        """Which images of the files a split has, their places in order; DataError: a class has too few of them."""
        held_out, per_class = self.held_out_per_class, self.train_per_class if part == "train" else self.test_per_class
        labels = torch.from_numpy(self._arrays("train" if held_out else part)["labels"])
        places, first = torch.arange(len(labels)), partial(first_per_class, classes=self.classes)
        if held_out:
            last = len(labels) - 1 - first(labels.flip(0), per_class=held_out, what=f"{self.name}: held_out_per_class")
            places = places[torch.zeros(len(labels), dtype=torch.bool).index_fill(0, last, True) == (part == "test")]
        if per_class:
            what = f"{self.name}: {part}_per_class" + (", those held out aside" if held_out else "")
            places = places[first(labels[places], per_class=per_class, what=what).sort().values]
        return places

    def _images(self, part: Part) -> Images:
        arrays = self._arrays("train" if self.held_out_per_class else part)
        pixels, labels = torch.from_numpy(arrays["pixels"]), torch.from_numpy(arrays["labels"])
        if pixels.shape[2:] != self.shape[1:] or pixels.shape[1] not in (1, self.shape[0]):
            found = f"{self.name}: {part}: images of shape {tuple(pixels.shape[1:])}"
            raise DataError(f"{found}, expected {self.shape} as the dataset says")
        # a grey split beside one in colour; no copy where the channels are right
        pixels = pixels.expand(-1, self.shape[0], -1, -1).contiguous()
        if self.is_subset:
            places = self.chosen(part)
            pixels, labels = pixels[places], labels[places]
        return Images(pixels, labels)


def place(name: str, path: str = "") -> Path:
    """Where a dataset lies: `path`, else $PABENCH_DATA/name, else ~/.cache/pabench/data/name.

    ~ and $VARIABLES are expanded; MissingError if `path` names one that is not set.
    """
    if path:
        expanded = os.path.expandvars(path)
        if "$" in expanded:
            raise MissingError(f"{name}: path {path!r} names an environment variable that is not set; set it")
        return Path(expanded).expanduser()
    root = os.environ.get("PABENCH_DATA") or "~/.cache/pabench/data"
    return Path(root).expanduser() / name


def identity(dataset: Dataset) -> str:
    """SHA-256 of everything a network sees of a dataset: its content, how its pixels are normalised, and, of a plugin,
    the code that makes images of the content.

    DataError: nothing can be learned of it, or its pixels cannot be normalised.
    """
    _check(dataset)
    seen = [dataset.fingerprint(), dataset.classes, *map(list, (dataset.shape, dataset.mean, dataset.std))]
    return digest([*seen, *_code(dataset)])


def content_digest(root: Path, files: Sequence[Path]) -> str:
    """SHA-256 over names (relative to `root`) and bytes of `files`, as 64 hexadecimal digits: a `fingerprint`."""
    return digest([[file.relative_to(root).as_posix(), _sha256(file)] for file in files])


def loader(
    split: Images | Streamed,
    *,
    batch_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str = "cpu",
    order_seed: int | None = None,
    augment: Augment | None = None,
    augment_seed: int = 0,
    epoch: int = 0,
    first_batch: int = 0,
    channels_last: bool = False,
    workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (x, y) of one epoch on a device: x float32 (B, C, H, W), normalised; y int64 (B,), or float32 (B, K).

    Without `order_seed`: file order, every image (evaluation). With it: the epoch's random order, and a last batch of
    one image is left out (its BatchNorm statistics would be that image alone, and undefined on 1 x 1 features); which
    image that is changes from epoch to epoch. `steps_per_epoch` counts the batches. Those before `first_batch` are left
    out, and nothing is read for them.
    """
    n = len(split)
    if order_seed is None:
        batches = torch.arange(n).split(batch_size)
    else:
        batches = epoch_order(n, order_seed, epoch).split(batch_size)[: steps_per_epoch(n, batch_size)]
    batches = batches[first_batch:]
    stream = Stream(augment or Augment(), augment_seed, epoch)
    side = stream.augment.cutout
    if side:
        cutouts = stream.centres(n, *split.shape[1:]).to(device)
    centre, scale = _constants(mean, std, device, split.white)
    for indices, pixels, labels in split.batches(batches, stream=stream, device=device, workers=workers):
        x = pixels.float().sub_(centre).div_(scale)
        if side:
            # after normalising: 0 is then the mean, and the square says nothing
            x = cutout_(x, cutouts[indices], side)
        yield x.contiguous(memory_format=torch.channels_last) if channels_last else x, labels


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Batches in a training epoch: all, save a last one of a single image when there are others.

    >>> steps_per_epoch(257, 128), steps_per_epoch(258, 128), steps_per_epoch(1, 128), steps_per_epoch(3, 1)
    (2, 3, 1, 3)
    """
    whole, rest = divmod(n, batch_size)
    return whole + (rest > 1 or (rest == 1 and whole == 0))


@dataclass(frozen=True)
class Picked:
    """Images of a split, at `indices`, as float32 (B, C, H, W), normalised and unaugmented, when they are looked at.

    Indexing copies those that are asked for out of a split in memory, and reads them from the files of a streamed one:
    10,000 images of 224 x 224 would be 5.6 GiB.
    """

    split: Images | Streamed
    indices: Tensor
    mean: Sequence[float]
    std: Sequence[float]

    @property
    def labels(self) -> Tensor:
        return self.split.labels[self.indices.to(self.split.labels.device)]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.indices), *self.split.shape)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, chosen: Any, /) -> Tensor:
        pixels, _ = self.split.pick(self.indices[chosen])
        centre, scale = _constants(self.mean, self.std, pixels.device, self.split.white)
        return pixels.float().sub_(centre).div_(scale)


def take(
    split: Images | Streamed, indices: Tensor, *, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """The images at these indices, float32 (B, C, H, W), normalised and unaugmented, with labels int64 (B,)."""
    picked = Picked(split, indices, mean, std)
    return picked[:], picked.labels


def _check(dataset: Dataset) -> None:
    """Raises DataError for one class, which every network gets right, and for constants that make no numbers."""
    where = f"{dataset.name}: {images.shown(dataset.folder)}"
    if dataset.classes < 2 and not isinstance(dataset, Regression):
        raise DataError(f"{where}: {dataset.classes} class, expected two or more: with one, every answer is right")
    channels = dataset.shape[0]
    for what, numbers in (("mean", dataset.mean), ("std", dataset.std)):
        if len(numbers) != channels:
            raise DataError(f"{where}: {what} has {len(numbers)} numbers, expected one for each of {channels} channels")
        if not all(math.isfinite(number) and (what == "mean" or number > 0) for number in numbers):
            kind = "numbers" if what == "mean" else "numbers above 0"
            raise DataError(f"{where}: {what} is {list(numbers)}, expected {kind} (`pixel_{what}` in a suite)")


def is_plugin(dataset: Dataset) -> bool:
    """Whether it is code of others, which may not give what its fingerprint says."""
    return type(dataset).__module__.partition(".")[0] != "pabench"


def _code(dataset: Dataset) -> list[str]:
    """The hash of a plugin's code, in a list. Of built-in ones `DECODING` says when it matters."""
    return [source_digest(type(dataset))] if is_plugin(dataset) else []


def _sha256(file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError as error:
        raise DataError(f"{images.shown(file)}: cannot be read ({error.strerror})") from None


def _constants(mean: Sequence[float], std: Sequence[float], device: torch.device | str, white: int) -> Tensor:
    """Mean and standard deviation of what a split holds, (2, C, 1, 1): of bytes 255 times those of pixels in [0, 1]."""
    # times 255 in float64: rounded once, they are the same on every device
    return torch.tensor([list(mean), list(std)], dtype=torch.float64).mul(white).float()[:, :, None, None].to(device)


def _moments(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(2, C): mean and standard deviation in [0, 1], exact sums by way of a histogram per channel."""
    values = np.arange(256) / 255
    counts = np.stack([np.bincount(pixels[:, c].ravel(), minlength=256) for c in range(pixels.shape[1])])
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    variance = np.maximum(share @ values**2 - mean**2, 0)  # of one value only, rounding can leave it below 0
    return np.stack([mean, np.sqrt(variance)])
