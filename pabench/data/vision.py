"""CIFAR, MNIST, Fashion-MNIST and SVHN, downloaded, checked and read by torchvision."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pabench.data.dataset import InMemory, Part, content_digest
from pabench.errors import DataError, MissingError
from pabench.store.files import replace
from pabench.suite.specs import Augment


@dataclass(frozen=True, kw_only=True)
class TorchvisionDataset(InMemory):
    """Raw files in torchvision's own layout below `path`; `fetch` downloads them, torchvision checks the MD5.

    Those below have no parameters of their own, and so need not be decorated.
    """

    classes = 10
    source: ClassVar[str]  # name of the class in torchvision.datasets
    raw: ClassVar[tuple[str, ...]]  # files below the folder, all needed
    size: ClassVar[str]  # of the download

    def missing(self) -> str:
        absent = [name for name in self.raw if not (self.folder / name).is_file()]
        if not absent:
            return ""
        get = f"get it with `pabench fetch {self.name}` ({self.size}), or set its path or PABENCH_DATA"
        return f"{self.name}: {self.folder / absent[0]} is not there; {get}"

    def fingerprint(self) -> str:
        self.require()
        return content_digest(self.folder, [self.folder / name for name in self.raw])

    def fetch(self) -> None:
        """Downloads into a folder of its own first: only whole, checked files ever appear under their names."""
        if not self.missing():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=self.folder.parent) as temporary:
            try:
                for part in ("train", "test"):
                    self._torchvision(temporary, part, download=True)
            except (OSError, RuntimeError) as error:
                raise MissingError(f"{self.missing()}; the download failed: {error}") from None
            for name in self.raw:
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(temporary) / name, target)

    def read(self, part: Part) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        try:
            stored = self._torchvision(str(self.folder), part, download=False)
        except (RuntimeError, ValueError, EOFError) as error:
            remedy = f"delete the folder and `pabench fetch {self.name}`"
            raise DataError(f"{self.name}: {self.folder}: corrupt files ({error}); {remedy}") from None
        pixels = np.asarray(stored.data)
        labels = np.asarray(stored.labels if self.source == "SVHN" else stored.targets)
        if pixels.shape[-1] == 3:  # only CIFAR has the colours last
            pixels = pixels.transpose(0, 3, 1, 2)
        return pixels.reshape(-1, *self.shape), labels

    def _torchvision(self, root: str, part: Part, *, download: bool) -> Any:
        from torchvision import datasets

        which = {"split": part} if self.source == "SVHN" else {"train": part == "train"}
        return getattr(datasets, self.source)(root, download=download, **which)


class Cifar10(TorchvisionDataset):
    """50,000 and 10,000 colour images in 10 classes (Krizhevsky 2009)."""

    name = "cifar10"
    shape = (3, 32, 32)
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    augment = Augment(crop=4, flip=True)
    source = "CIFAR10"
    raw = (
        *(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
        "cifar-10-batches-py/test_batch",
        "cifar-10-batches-py/batches.meta",
    )
    size = "170 MB"


class Cifar100(TorchvisionDataset):
    """50,000 and 10,000 colour images in 100 classes (Krizhevsky 2009)."""

    name = "cifar100"
    classes = 100
    shape = (3, 32, 32)
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    augment = Augment(crop=4, flip=True)
    source = "CIFAR100"
    raw = ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta")
    size = "169 MB"


class Mnist(TorchvisionDataset):
    """60,000 and 10,000 grey handwritten digits (LeCun et al. 1998)."""

    name = "mnist"
    shape = (1, 28, 28)
    mean = (0.1307,)
    std = (0.3081,)
    source = "MNIST"
    raw = tuple(
        f"MNIST/raw/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    )
    size = "12 MB"


class FashionMnist(TorchvisionDataset):
    """60,000 and 10,000 grey pieces of clothing in 10 classes (Xiao et al. 2017, arXiv:1708.07747).

    Not augmented: its small networks learn it less well from cropped and mirrored images (`docs/datasets.md`).
    """

    name = "fashion_mnist"
    shape = (1, 28, 28)
    mean = (0.2860,)
    std = (0.3530,)
    source = "FashionMNIST"
    raw = tuple(file.replace("MNIST", "FashionMNIST") for file in Mnist.raw)
    size = "31 MB"
    debian: ClassVar[Path] = Path("/usr/share/datasets/fashion-mnist")

    def fetch(self) -> None:
        """From the files of Debian's package dataset-fashion-mnist where it is installed, or else downloaded."""
        if self.missing() and self.debian.is_dir():
            self._unpack_debian()
        super().fetch()

    def _unpack_debian(self) -> None:
        """Debian packs the files anew, so the sums of the downloads are of no use; gzip's own tell a damaged one."""
        for name in self.raw:
            packed, target = self.debian / f"{Path(name).name}.gz", self.folder / name
            try:
                content = gzip.decompress(packed.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"{packed}: {error}; install dataset-fashion-mnist again") from None
            target.parent.mkdir(parents=True, exist_ok=True)
            replace(target, content)


class Svhn(TorchvisionDataset):
    """73,257 and 26,032 colour house-number digits (Netzer et al. 2011), without the extra set. Not mirrored."""

    name = "svhn"
    shape = (3, 32, 32)
    mean = (0.4377, 0.4438, 0.4728)
    std = (0.1980, 0.2010, 0.1970)
    augment = Augment(crop=4)
    source = "SVHN"
    raw = ("train_32x32.mat", "test_32x32.mat")
    size = "246 MB"
