"""Datasets of encoded pictures: brought to one size and one number of channels, and looked at for what is wrong."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from pabench.data import images
from pabench.data.dataset import PARTS, InMemory, Part
from pabench.words import count

Bits = Annotated[int, Ge(0), Le(16)]  # of 16-bit pictures: how many count; 0: not said, all of them


class Pictures(InMemory):
    """Encoded pictures, brought to `size` (0: all are of one); channels, extent and moments are found by looking.

    They are read in colour if any picture of either split is. No dataclass: a subclass lists `size`, `bits`,
    `pixel_mean` and `pixel_std` among its fields, where records have them, or says `shape`, `mean` and `std` itself.
    """

    size: int
    bits: int = 0
    pixel_mean: Sequence[float]
    pixel_std: Sequence[float]

    @abstractmethod
    def pictures(self, part: Part) -> Iterator[tuple[str, str | bytes]]:
        """Where each picture of a split is, for errors, and its path or its bytes."""

    @abstractmethod
    def labels(self, part: Part) -> np.ndarray[Any, Any]:
        """Their labels, 0 to classes - 1 (N,)."""

    def read(self, part: Part) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        found = self.contents(part)
        return found["pixels"], found["labels"]

    def contents(self, part: Part) -> dict[str, np.ndarray[Any, Any]]:
        """As of every dataset, in `marks` how many pictures have each of `images.MARKS`, their `codings`, and of each
        the hash of its pixels (`prints`)."""
        labels = self.labels(part)
        extent = () if self.size or part == "train" else self._arrays("train")["pixels"].shape[2:]
        what = f"{images.shown(self.folder)}: {part}"
        pixels, marks, codings = images.stack(
            self.pictures(part), what=what, count=len(labels), size=self.size, bits=self.bits, extent=extent
        )
        prints = np.array([images.fingerprint(picture) for picture in pixels], dtype=np.uint64)
        return {"pixels": pixels, "labels": labels, "marks": marks, "codings": np.array(codings), "prints": prints}

    @property
    def coding(self) -> str:
        return " and ".join(sorted({str(coding) for part in PARTS for coding in self._arrays(part)["codings"]}))

    def of_pictures(self) -> list[str]:
        """The notes on what the pictures of both splits turned out to be; decodes them."""
        marks = sum(self._arrays(part)["marks"] for part in PARTS)
        lines = list(images.told(dict(zip(images.MARKS, marks.tolist(), strict=True)), self.bits))
        deviations = self._arrays("train")["moments"][1]
        if not deviations.all():
            same = ", ".join(str(channel) for channel in np.flatnonzero(deviations == 0))
            lines.append(f"all training images have one and the same value in channel {same}, which says nothing")
        return [*lines, *self._alike()]

    def _alike(self) -> Iterator[str]:
        """Pictures that are the same, pixel for pixel, where they should not be."""
        prints, labels = ({part: self._arrays(part)[name].tolist() for part in PARTS} for name in ("prints", "labels"))
        first = dict(zip(reversed(prints["train"]), reversed(labels["train"]), strict=True))
        if seen := [place for place, found in enumerate(prints["test"]) if found in first]:
            yield (
                f"{len(seen):,} of {count(len(prints['test']), 'test picture')} also in training, pixel for pixel "
                f"({self._picture('test', seen[0])}): their accuracy is that of training images"
            )
        for part in PARTS:
            pairs = zip(prints[part], labels[part], strict=True)
            if other := [place for place, (found, label) in enumerate(pairs) if first.get(found, label) != label]:
                yield (
                    f"{part}: {count(len(other), 'picture')} also in another class, pixel for pixel "
                    f"({self._picture(part, other[0])}): one of the labels is wrong"
                )

    def _picture(self, part: Part, place: int) -> str:
        """Where a picture of a split is."""
        return next(islice(self.pictures(part), place, None))[0]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        (channels, height, width), (others, *_) = (self._arrays(part)["pixels"].shape[1:] for part in PARTS)
        return max(channels, others), height, width

    @property
    def mean(self) -> tuple[float, ...]:
        return tuple(self.pixel_mean) or self.moments[0]

    @property
    def std(self) -> tuple[float, ...]:
        return tuple(self.pixel_std) or self.moments[1]
