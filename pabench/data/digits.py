"""Handwritten digits of 8 x 8 pixels, embedded in the package: the dataset of tests and the quickstart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pabench.data.cache import sha256_of
from pabench.data.dataset import InMemory, Part

FILE = Path(__file__).with_name("digits.npz")


class Digits(InMemory):
    """1,437 training and 360 test images (Alpaydin & Kaynak 1998, UCI); see pabench/data/README.md.

    `path` is not used. Not augmented: a shift by one pixel is an eighth of the picture, and mirrored digits are none.
    """

    name = "digits"
    classes = 10
    shape = (1, 8, 8)
    mean = (0.2874,)
    std = (0.3540,)

    def missing(self) -> str:
        return ""

    def fingerprint(self) -> str:
        return sha256_of(FILE)

    def read(self, part: Part) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        with np.load(FILE) as stored:
            return stored[f"{part}_pixels"], stored[f"{part}_labels"]

    def _arrays(self, part: Part) -> dict[str, np.ndarray[Any, Any]]:
        pixels, labels = self.read(part)  # quicker than any cache
        return {"pixels": pixels, "labels": labels.astype(np.int64)}


class Digits32(Digits):
    """The same digits as images of 3 x 32 x 32: each pixel four times as wide and as high, in three equal channels.

    For what is asked of a network made for CIFAR at its own size, and not of its pictures: nothing to download.
    """

    name = "digits32"
    shape = (3, 32, 32)
    mean = Digits.mean * 3  # type: ignore[assignment]  # three channels
    std = Digits.std * 3  # type: ignore[assignment]

    def read(self, part: Part) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        pixels, labels = super().read(part)
        return pixels.repeat(4, axis=2).repeat(4, axis=3).repeat(3, axis=1), labels
