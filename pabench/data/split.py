"""A split of a dataset: images held in memory, or read file by file when they are too many."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from PIL.Image import Image
from torch import Tensor

from pabench.data import images
from pabench.data.augment import Stream, crop_and_flip
from pabench.data.task import is_regression
from pabench.errors import DataError
from pabench.suite.digest import canonical, digest
from pabench.suite.specs import Augment

Raw = tuple[Tensor, Tensor, Tensor]  # indices int64 (B,), pixels (B, C, H, W), labels, both as their split has them


@dataclass(frozen=True)
class Images:
    """A split held in memory: pixels uint8 (N, C, H, W), labels int64 (N,).

    Inputs that are no pictures are float32 (N, C, H, W); the targets of regression are float32 (N, K).
    """

    pixels: Tensor
    labels: Tensor

    @property
    def white(self) -> int:
        """What a value of 1 is in `mean` and `std`: 255 of pixels, and 1 of numbers."""
        return 1 if self.pixels.is_floating_point() else 255

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def to(self, device: torch.device | str) -> Images:
        """The split on a device: move it once per training, or the loader copies it once per epoch."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def pick(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels uint8 (B, C, H, W) and labels of some images, unaugmented, on the split's device."""
        indices = indices.to(self.pixels.device)
        return self.pixels.index_select(0, indices), self.labels.index_select(0, indices)

    def subset(self, indices: Tensor) -> Images:
        """The split of these images alone."""
        return Images(*self.pick(indices))

    def digest(self) -> str:
        """SHA-256 of which images these are, in which order, with which labels."""
        # labels written as numbers: int64 lies otherwise in the memory of other machines
        sha = hashlib.sha256(canonical([list(self.pixels.shape), self.labels.tolist()]).encode())
        sha.update(self.pixels.cpu().contiguous().numpy())
        return sha.hexdigest()

    def batches(
        self, indices: Sequence[Tensor], *, stream: Stream | None, device: torch.device | str, workers: int = 0
    ) -> Iterator[Raw]:
        """The images of each batch of indices, cropped and mirrored by `stream`. `workers` is for streamed splits."""
        held = self.to(device)
        moving = stream if stream and stream.moves else None
        if moving:
            # drawn for the whole split: what happens to an image does not depend on its batch
            shifts, flips = moving.shifts(len(self)).to(device), moving.flips(len(self)).to(device)
        # one copy for the whole epoch: a copy of pageable memory in every step would wait for the device
        for batch in torch.cat(list(indices)).to(device).split([len(batch) for batch in indices]):
            pixels, labels = held.pick(batch)
            if moving:
                pixels = crop_and_flip(pixels, shifts[batch], flips[batch], moving.augment.crop)
            yield batch, pixels, labels


@dataclass(frozen=True)
class Streamed:
    """A split read file by file: paths, labels int64 (N,), `size` pixels a side, colour `mode` RGB or L.

    Unaugmented: the shorter side is resized to size / 0.875 and the centre cut out. In training a `crop` other than 0
    is a random resized crop (8 to 100 % of the area, Szegedy et al. 2014, arXiv:1409.4842) and not a padded one.
    """

    files: tuple[str, ...]
    labels: Tensor
    size: int
    mode: str = "RGB"
    white: ClassVar[int] = 255

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return (3 if self.mode == "RGB" else 1, self.size, self.size)

    def to(self, device: torch.device | str) -> Streamed:
        """Itself: its batches are moved one by one."""
        return self

    def pick(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels uint8 (B, C, H, W) and labels of some images, unaugmented, on the CPU."""
        indices = indices.cpu()
        return torch.stack([self.read(int(i), None) for i in indices]), self.labels[indices]

    def subset(self, indices: Tensor) -> Streamed:
        """The split of these images alone."""
        indices = indices.cpu()
        return replace(self, files=tuple(self.files[int(i)] for i in indices), labels=self.labels[indices])

    def digest(self) -> str:
        """SHA-256 of which images these are, in which order, with which labels, by the names of files and folders.

        Their bytes are not read, as for the fingerprint of their dataset, and where it lies does not count.
        """
        names = ["/".join(Path(file).parts[-2:]) for file in self.files]
        return digest([self.size, self.mode, names, self.labels.tolist()])

    def batches(
        self, indices: Sequence[Tensor], *, stream: Stream | None, device: torch.device | str, workers: int = 0
    ) -> Iterator[Raw]:
        """The images of each batch of indices, read and augmented by `workers` processes (0: by this one)."""
        on_gpu = torch.device(device).type == "cuda"
        files: torch.utils.data.DataLoader[Raw | DataError] = torch.utils.data.DataLoader(
            _Batches(self, [batch.tolist() for batch in indices], stream),
            batch_size=None,  # an item is a batch
            num_workers=workers,
            pin_memory=on_gpu,
            generator=torch.Generator(),  # its own, or the loader would advance the global one
        )
        for read in files:
            if isinstance(read, DataError):
                raise read
            batch, pixels, labels = read
            yield batch.to(device), pixels.to(device, non_blocking=on_gpu), labels.to(device)

    def read(self, index: int, stream: Stream | None) -> Tensor:
        """One image, uint8 (C, size, size), augmented if there is a stream."""
        image = images.load(self.files[index], images.shown(self.files[index]), self.mode)
        if stream and stream.moves:
            image = self._moved(image, stream.augment, stream.image_seed(index))
        else:
            image = self._centre(image)
        return torch.from_numpy(images.to_array(image))

    def _centre(self, image: Image) -> Image:
        # the usual evaluation of ImageNet: 224 of 256 pixels
        return images.centre(image, round(self.size / 0.875), self.size)

    def _moved(self, image: Image, augment: Augment, seed: int) -> Image:
        """The image cropped and mirrored at random, both from its own seed."""
        from torchvision.transforms import v2

        # the transforms draw from the global generator; seeding only the CPU's leaves a GPU's stream untouched
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            image = v2.RandomResizedCrop(self.size)(image) if augment.crop else self._centre(image)
            return v2.RandomHorizontalFlip()(image) if augment.flip else image


@dataclass(frozen=True)
class _Batches(torch.utils.data.Dataset["Raw | DataError"]):
    split: Streamed
    indices: Sequence[list[int]]
    stream: Stream | None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> Raw | DataError:
        """A batch; what is wrong with one of its files comes back as it is: raised in a worker process it would arrive
        as that process's traceback."""
        indices = self.indices[number]
        try:
            pixels = torch.stack([self.split.read(i, self.stream) for i in indices])
        except DataError as error:
            return error
        return torch.tensor(indices), pixels, self.split.labels[indices]


def groups_of(split: Images | Streamed, groups: int) -> Tensor:
    """What batches are balanced over, int64 (N,) on the CPU: classes; where targets are numbers, samples in turn."""
    labels = split.labels.cpu()
    return torch.arange(len(labels)) % groups if is_regression(labels) else labels


def scoring_batch(split: Images | Streamed, *, classes: int, per_class: int, seed: int) -> Tensor:
    """Indices of a random class-balanced batch, int64 (classes * per_class,), sorted by class.

    A larger batch of the same seed begins, class by class, with the images of the smaller one.
    Raises DataError if a class has fewer than `per_class` images; exactly that many suffice.
    """
    labels = groups_of(split, classes)
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return shuffled[first_per_class(labels[shuffled], classes=classes, per_class=per_class, what="scoring batch")]


def some_per_class(split: Images | Streamed, *, classes: int, most: int, seed: int) -> Tensor:
    """Indices of `most` random images at most, as many of each class as there is room for, or as it has.

    Unlike `scoring_batch` it needs no class to have any.
    """
    labels = groups_of(split, classes)
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    counts = torch.bincount(labels, minlength=classes)
    starts = counts.cumsum(0) - counts
    place = torch.arange(len(labels)) - starts[labels[by_class]]
    return by_class[place < max(1, most // classes)][:most]


def first_per_class(labels: Tensor, *, classes: int, per_class: int, what: str) -> Tensor:
    """Positions of the first `per_class` labels of each class, sorted by class, then position."""
    counts = torch.bincount(labels, minlength=classes)
    if len(counts) > classes:
        raise DataError(f"{what}: label {len(counts) - 1} found, expected 0 to {classes - 1}")
    if counts.min() < per_class:
        scarce = int(counts.argmin())
        raise DataError(f"{what}: class {scarce} has {int(counts[scarce])} images, {per_class} per class are needed")
    starts = counts.cumsum(0) - counts
    by_class = labels.argsort(stable=True)
    return by_class[(starts[:, None] + torch.arange(per_class)).flatten()]
