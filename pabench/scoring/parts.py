"""Scoring batches a few images at a time: what bounds the memory of a scoring, however many images it looks at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, overload

import torch
from torch import Tensor

IGNORED = -100
"""The label that cross-entropy passes over, by torch's default."""
Batch = tuple[Tensor, Tensor]
"""Images (N, C, H, W), in the dtype of scoring, and their labels int64 (N,)."""


class Images(Protocol):
    """Images (N, ...) that are looked at by indexing, as a tensor's are; they may lie in another form until then."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any, /) -> Tensor: ...


Given = tuple[Images, Tensor]
"""Images with their labels, int64 (N, ...)."""


@dataclass(frozen=True)
class Some:
    """Those of some images that stand at `places`, int64; none is copied before it is looked at."""

    images: Images
    places: Tensor

    @property
    def shape(self) -> Sequence[int]:
        return (len(self.places), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, chosen: Any, /) -> Tensor:
        return self.images[self.places[chosen]]


@dataclass(frozen=True)
class Parted(Sequence[Batch]):
    """Batches that come to the network (`prepare`) when they are looked at: whole by their number, or in `parts`.

    The loss of a batch is the mean over its images. Where the network takes statistics of what it is given
    (`own_statistics`), it has no such mean: the loss is then the sum of those of its parts.
    """

    given: tuple[Given, ...]
    at_once: int
    own_statistics: bool
    prepare: Callable[[Given], Batch]

    def __len__(self) -> int:
        return len(self.given)

    @overload
    def __getitem__(self, index: int) -> Batch: ...

    @overload
    def __getitem__(self, index: slice) -> Parted: ...

    def __getitem__(self, index: int | slice) -> Batch | Parted:
        if isinstance(index, slice):
            return replace(self, given=self.given[index])
        return self.prepare(self.given[index])

    def parts(self) -> Iterator[tuple[Batch, float]]:
        """Batches of `at_once` images at most, of all classes as evenly as can be, with what their mean losses count.

        One whose labels are all `IGNORED` has no loss, and is left out.
        """
        for x, y in self.given:
            counted = int((y != IGNORED).sum())
            for places in _evenly(y.cpu(), self.at_once):
                labels = y[places]
                own = int((labels != IGNORED).sum())
                if own:
                    yield self.prepare((Some(x, places), labels)), 1.0 if self.own_statistics else own / counted


def _evenly(y: Tensor, at_once: int) -> list[Tensor]:
    """Places of images in as few parts as do, which differ by one image at most, and by one of each class.

    Within a part images keep their order by class; a batch that is one part keeps its own. Labels of more than one
    number an image (pixels) are no classes to go by.
    """
    count = math.ceil(len(y) / at_once)
    order = y.argsort(stable=True) if count > 1 and y.dim() == 1 else torch.arange(len(y))
    return [order[part::count] for part in range(count)]
