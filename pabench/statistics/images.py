"""What a difference of two criteria is a claim about: new seeds, new test images, or both.

Both criteria are asked for the same test images in each block, so that their differences are a table of seeds (rows) by
images (columns). Its mean is the difference of their accuracies. Three things may be new when the study is made again,
and each has an interval and a test of its own: the seeds, on these images; the images, for these networks; or both, on
this task (the dataset with its training images, the model and the recipe). Exact where a human could count, closed
forms elsewhere: nothing is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import fft

from pabench.statistics.intervals import LEVEL, Interval, StandardError, holm
from pabench.statistics.paired import Pair


@dataclass(frozen=True)
class Claim:
    """A difference in points with its interval, and the p of its test; None where it cannot be tested."""

    interval: Interval
    p: float | None = None

    @property
    def holds(self) -> bool:
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Claims:
    """One difference as a claim about new seeds on these images, about these networks on new images, and about both."""

    seeds: Claim
    images: Claim
    task: Claim

    def __iter__(self) -> Iterator[Claim]:
        yield from (self.seeds, self.images, self.task)


@dataclass(frozen=True)
class Table:
    """In how many of `sparsities` the first criterion alone is right, minus in how many the second alone is: whole
    numbers, seeds by images."""

    values: np.ndarray[Any, Any]
    sparsities: int = 1

    @classmethod
    def of(cls, first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> Table:
        """From bits (seeds, sparsities, images) of two criteria: whether each image is right.

        >>> Table.of(np.array([[[1, 1, 0]]]) == 1, np.array([[[1, 0, 0]]]) == 1).values.tolist()
        [[0, 1, 0]]
        """
        return cls((first.astype(np.int16) - second).sum(axis=1), first.shape[1])

    @cached_property
    def points(self) -> np.ndarray[Any, Any]:
        return self.values * (100 / self.sparsities)

    @cached_property
    def variances(self) -> tuple[float, float, float]:
        """Of the mean: what its rows say, what its columns say, and what both count (the residual, as if all numbers
        were independent). Over new seeds and new images it is the first and the second less the third (two-way random
        effects without replication). The first and the third are 0 for one seed."""
        seeds, images = self.points.shape
        rows, columns = self.points.mean(axis=1), self.points.mean(axis=0)
        of_images = float(columns.var(ddof=1)) / images
        if seeds < 2:
            return 0.0, of_images, 0.0
        rest = self.points - rows[:, None] - columns + self.points.mean()
        within = float((rest**2).sum()) / ((seeds - 1) * (images - 1)) / self.points.size
        return float(rows.var(ddof=1)) / seeds, of_images, within

    @cached_property
    def freedom(self) -> float:
        """Degrees of freedom of the variance over images: it is known the worse, the fewer images differ.

        Twice the squared mean of an estimated variance over its variance, which for values of kurtosis k is
        2 n / (k - 1). Where d images of many differ by one it is 2 d.
        """
        columns = self.points.mean(axis=0)
        deviations = columns - columns.mean()
        n, square = len(columns), float((deviations**2).mean())
        excess = float((deviations**4).mean()) / square**2 - 1 if square else 0.0
        return min(n - 1.0, 2 * n / excess) if excess > 0 else n - 1.0

    @property
    def images(self) -> Claim:
        """Of these networks, were they asked for other images of the same kind."""
        _, variance, _ = self.variances
        mean, n = float(self.points.mean()), self.points.shape[1]
        if not variance:
            return Claim(Interval(mean, n=n))
        return Claim(_interval(mean, variance, self.freedom, n, "t over images"), sign_test(self.values))

    def task(self, seeds: Claim, images: Claim) -> Claim:
        """Of new seeds and new images: no narrower than over seeds alone, and no smaller in p than either claim.

        Its variance is unbiased where what the images add is not estimated to be negative, its degrees of freedom are
        Satterthwaite's. None for one seed, or where the seeds are without spread or were not tested.
        """
        rows, columns, within = self.variances
        mean, n = float(self.points.mean()), len(self.points)
        if seeds.p is None or images.p is None or not rows:
            return Claim(Interval(mean, n=n))
        variance = rows + max(columns - within, 0.0)
        satterthwaite = variance**2 / (rows**2 / (n - 1) + columns**2 / self.freedom)
        # of a sum, known no worse than its worst part; here one part is taken away
        freedom = max(satterthwaite, min(n - 1.0, self.freedom))
        both = _interval(mean, variance, freedom, n, "crossed t")
        alone = _interval(mean, rows, n - 1, n, "crossed t")
        p = _error(variance, freedom).p(mean)
        return Claim(max(both, alone, key=lambda one: one.half or 0.0), max(p, seeds.p, images.p))


def _error(variance: float, freedom: float) -> StandardError:
    return StandardError(variance**0.5, (1.0,), (freedom,))


def _interval(mean: float, variance: float, freedom: float, n: int, method: str) -> Interval:
    """Of a difference in points, which is 100 at most."""
    return _error(variance, freedom).interval(mean, n=n, method=method).within(-100, 100)


def claims(pair: Pair, table: Table) -> Claims:
    """What `pair`, of one dataset and model, says beside the test images that its blocks were right on.

    Nothing is tested where cells failed or are missing. Where a cell collapsed there is no claim about the task, as
    there is no interval over seeds; what is said of these networks holds.
    """
    seeds = Claim(pair.interval, pair.test.p)
    images = table.images
    if pair.unfinished:
        images = Claim(images.interval)
    untested = Claim(Interval(pair.mean, n=pair.n))
    return Claims(seeds, images, untested if pair.collapsed else table.task(seeds, images))


def adjusted(found: Sequence[Claims]) -> list[Claims]:
    """The claims with Holm's p values: each of the three by itself, over all differences."""
    by_kind = [
        [replace(claim, p=p) for claim, p in zip(claims, holm([claim.p for claim in claims]), strict=True)]
        for claims in zip(*found, strict=True)
    ]
    return [Claims(*three) for three in zip(*by_kind, strict=True)]


def sign_test(values: np.ndarray[Any, Any]) -> float:
    """The p of whole numbers, networks by images, whose mean over both is 0 if each image's sum may have either sign.

    Exact. Of one network each it is McNemar's exact test (1947): of the images on which one of the two is right, half
    are the first one's.

    >>> round(sign_test(np.array([[1, 1, 1, 1, 1, -1, 0, 0]])), 4)  # 2 * (1 + 6) / 2 ** 6
    0.2188
    """
    sums = values.sum(axis=0)
    sizes = np.abs(sums[sums != 0])
    most, found = int(sizes.sum()), abs(int(sums.sum()))
    length = fft.next_fast_len(most + 1, real=True)
    # an image of size k adds k or 0, with one half each: the characteristic function is a product of cos(k x / 2), and
    # a phase, whose angle is whole turns but for what is left of an integer
    at = np.arange(length // 2 + 1)
    product = np.exp(-1j * np.pi * (at * most % (2 * length)) / length)
    for size, count in zip(*np.unique(sizes, return_counts=True), strict=True):
        product *= np.cos(np.pi * (at * size % (2 * length)) / length) ** count
    chances = np.clip(fft.irfft(product, length)[: most + 1], 0, None)
    return float(min(1.0, chances[np.abs(2 * np.arange(most + 1) - most) >= found].sum()))
