"""Images in one folder per class: your own, Tiny ImageNet, ImageNet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from pabench.data import images
from pabench.data.dataset import Dataset, Part, Pictures, content_digest
from pabench.data.split import Images, Streamed
from pabench.errors import DataError
from pabench.parameters import NonNegativeInt, PositiveInt
from pabench.suite.digest import digest
from pabench.suite.specs import Augment

Labelled = list[tuple[Path, int]]


class ClassFolders(Dataset):
    """`train/<class>/*` and the same under a held-out folder; classes are numbered in the order of their names.

    No dataclass: a subclass may have `title` among its fields. Held out is the first folder of `held_out` that is
    there: val where, as in both ImageNets, test holds images without labels.
    """

    title: str = ""
    held_out: ClassVar[tuple[str, ...]] = ("val",)
    get: ClassVar[str]  # how to come by it, and its size

    def missing(self) -> str:
        for parts in (("train",), self.held_out):
            if not any((self.folder / part).is_dir() for part in parts):
                looked_for = " or ".join(str(self.folder / part) for part in parts)
                return f"{self.title or self.name}: {looked_for} is not there; {self.get}"
        return ""

    def fingerprint(self) -> str:
        """SHA-256 over relative paths and sizes: the bytes of a million files are not read."""
        return digest([[file.relative_to(self.folder).as_posix(), file.stat().st_size] for file in self._paths])

    def pictures(self, part: Part) -> Iterator[tuple[str, str]]:
        return ((str(file), str(file)) for file, _ in self._files[part])

    def labels(self, part: Part) -> np.ndarray[Any, Any]:
        return np.array([label for _, label in self._files[part]])

    @cached_property
    def _files(self) -> dict[Part, Labelled]:
        """The labelled files of both splits, sorted by class and name."""
        self.require()
        classes = _classes(self.folder)
        if not classes or len(classes) != self.classes:
            found = f"{len(classes)} class folders, expected {self.classes or 'at least one'}"
            raise DataError(f"{self.folder / 'train'}: {found}; unpack it again")
        test = next(self.folder / part for part in self.held_out if (self.folder / part).is_dir())
        list_test = _annotated if (test / "val_annotations.txt").is_file() else _by_class
        return {"train": _by_class(self.folder / "train", classes), "test": list_test(test, classes)}

    @property
    def _paths(self) -> list[Path]:
        return [file for file, _ in [*self._files["train"], *self._files["test"]]]


@dataclass(frozen=True, kw_only=True)
class Folder(ClassFolders, Pictures):
    """`train/<class>/*` and `test/<class>/*` (or `val`); classes are numbered in the order of their names.

    `size` brings all images to one size. `pixel_mean` and `pixel_std` replace the ones computed from the training
    images. Colour or grey is decided by the first training image.
    """

    name = "folder"
    augment = Augment(crop=4, flip=True)
    held_out = ("test", "val")
    get = "put train/<class>/ and test/<class>/ there or give another path; its size is that of your images"

    title: str = ""
    size: NonNegativeInt = 0
    pixel_mean: Sequence[float] = ()
    pixel_std: Sequence[float] = ()

    def fingerprint(self) -> str:
        return content_digest(self.folder, self._paths)

    @cached_property
    def classes(self) -> int:
        self.require()
        return len(_classes(self.folder))

    def decoding(self) -> dict[str, Any]:
        return {"size": self.size}


class TinyImagenet(ClassFolders, Pictures):
    """100,000 and 10,000 colour images of 64 x 64 pixels in 200 classes (CS231n): the folder tiny-imagenet-200.

    The test split is the validation set, in its own layout (val/images and val_annotations.txt) or in class folders.
    """

    name = "tiny_imagenet"
    classes = 200
    size = 64
    shape = (3, 64, 64)
    mean = (0.4802, 0.4481, 0.3975)
    std = (0.2770, 0.2691, 0.2821)
    augment = Augment(crop=4, flip=True)
    get = "`curl -O http://cs231n.stanford.edu/tiny-imagenet-200.zip`, unzip it there (248 MB), or give its path"


@dataclass(frozen=True, kw_only=True)
class Imagenet(ClassFolders):
    """ImageNet-1k (Russakovsky et al. 2015, arXiv:1409.0575): train/<wnid>/* and val/<wnid>/*, read file by file.

    The test split is the validation set. Training images are random resized crops; see `Streamed`.
    """

    name = "imagenet"
    classes = 1000
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    augment = Augment(crop=32, flip=True)
    get = "register at image-net.org, unpack train/<wnid>/ and val/<wnid>/ there (150 GB), or give its path"

    size: PositiveInt = 224

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)

    def train(self) -> Images | Streamed:
        return self._streamed("train")

    def test(self) -> Images | Streamed:
        return self._streamed("test")

    def _streamed(self, part: Part) -> Streamed:
        files = tuple(where for where, _ in self.pictures(part))
        return Streamed(files, torch.from_numpy(self.labels(part)), self.size)


def _classes(folder: Path) -> list[str]:
    with os.scandir(folder / "train") as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _by_class(folder: Path, classes: Sequence[str]) -> Labelled:
    listed: Labelled = []
    for label, name in enumerate(classes):
        found = [(file, label) for file in (folder / name).rglob("*") if file.suffix.lower() in images.SUFFIXES]
        if not found:
            raise DataError(f"{folder / name}: no images, expected some of each class in train")
        listed += sorted(found)  # a folder is listed in another order on every machine
    return listed


def _annotated(folder: Path, classes: Sequence[str]) -> Labelled:
    """Tiny ImageNet's validation set: a line per image, file name, class and box separated by tabs."""
    numbers = {name: label for label, name in enumerate(classes)}
    listed: Labelled = []
    for number, line in enumerate((folder / "val_annotations.txt").read_text().splitlines(), 1):
        file, name = (*line.split("\t"), "")[:2]
        if name not in numbers:
            raise DataError(f"{folder / 'val_annotations.txt'}:{number}: class {name!r} has no folder in train")
        listed.append((folder / "images" / file, numbers[name]))
    return sorted(listed, key=lambda entry: (entry[1], entry[0]))
