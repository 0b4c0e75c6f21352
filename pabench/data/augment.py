"""The random streams of training: the order of the images and their augmentation.

Both are drawn on the CPU from (seed, epoch) alone, so they are the same on any device, for any criterion and batch
size, and an epoch can be repeated without the ones before it. What happens to an image in an epoch depends on its
index in the split, not on its place in the order.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from pabench.suite.digest import canonical, derive_seed
from pabench.suite.specs import Augment


@dataclass(frozen=True)
class Stream:
    """The augmentation of one epoch. Each kind has its own generator: switching one off leaves the others alone."""

    augment: Augment
    seed: int
    epoch: int

    @property
    def moves(self) -> bool:
        """Whether images are cropped or mirrored."""
        return bool(self.augment.crop or self.augment.flip)

    def shifts(self, n: int) -> Tensor:
        """Corner (row, column) of each crop in the padded image, int64 (n, 2), 0 to 2 * crop; crop = unmoved."""
        return torch.randint(0, 2 * self.augment.crop + 1, (n, 2), generator=self._generator("crop"))

    def flips(self, n: int) -> Tensor:
        """Which images are mirrored, bool (n,)."""
        if not self.augment.flip:
            return torch.zeros(n, dtype=torch.bool)
        return torch.rand(n, generator=self._generator("flip")) < 0.5

    def centres(self, n: int, height: int, width: int) -> Tensor:
        """Centre (row, column) of each cutout, int64 (n, 2)."""
        generator = self._generator("cutout")
        rows = torch.randint(0, height, (n,), generator=generator)
        return torch.stack([rows, torch.randint(0, width, (n,), generator=generator)], dim=1)

    def image_seed(self, index: int) -> int:
        """Seed of one image that is augmented on its own (a split read file by file)."""
        return derive_seed("augmentation", self.seed, self.epoch, index)

    def _generator(self, kind: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed("augmentation", self.seed, self.epoch, kind))


def epoch_order(n: int, order_seed: int, epoch: int) -> Tensor:
    """Order of the n training images in one epoch, int64 (n,)."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(derive_seed("order", order_seed, epoch)))


def crop_and_flip(pixels: Tensor, shifts: Tensor, flips: Tensor, crop: int) -> Tensor:
    """Pads uint8 (B, C, H, W) by `crop` zeros on each side, cuts H x W at each corner in `shifts`, mirrors `flips`."""
    b, c, h, w = pixels.shape
    padded = pixels.new_zeros(b, c, h + 2 * crop, w + 2 * crop)
    padded[:, :, crop : crop + h, crop : crop + w] = pixels
    columns = torch.arange(w, device=pixels.device)
    rows = shifts[:, :1] + torch.arange(h, device=pixels.device)
    columns = shifts[:, 1:] + torch.where(flips[:, None], w - 1 - columns, columns)
    # one gather over flat pixel positions: 3 to 6 times faster on a CPU than indexing by batch, channel, row and column
    positions = rows[:, :, None] * (w + 2 * crop) + columns[:, None, :]
    return padded.view(b, c, -1).gather(2, positions.view(b, 1, -1).expand(b, c, -1)).view(b, c, h, w)


def cutout_(x: Tensor, centres: Tensor, side: int) -> Tensor:
    """Sets a square of `side` pixels to 0, the mean of normalised x (B, C, H, W), in place; borders clip the square.

    An even square reaches one pixel further up and left of its centre than down and right, as in the authors' code
    (DeVries & Taylor 2017, arXiv:1708.04552).
    """
    rows, columns = (torch.arange(extent, device=x.device) for extent in x.shape[2:])
    first = centres - side // 2
    in_rows = (rows >= first[:, :1]) & (rows < first[:, :1] + side)
    in_columns = (columns >= first[:, 1:]) & (columns < first[:, 1:] + side)
    return x.masked_fill_((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0.0)


def order_digest(n: int, order_seed: int) -> str:
    """SHA-256 that stands for the order of n images in all epochs: the seed, and epoch 0 as it is really drawn."""
    return _digest(["order", n, order_seed], epoch_order(n, order_seed, 0))


def augment_digest(n: int, shape: tuple[int, int, int], augment: Augment, augment_seed: int) -> str:
    """SHA-256 that stands for the augmentation of n images (C, H, W) in all epochs: parameters, seed and epoch 0."""
    stream = Stream(augment, augment_seed, 0)
    drawn = [stream.shifts(n), stream.flips(n), stream.centres(n, shape[1], shape[2])]
    return _digest(["augmentation", n, list(shape), asdict(augment), augment_seed], *drawn)


def _digest(parameters: list[object], *drawn: Tensor) -> str:
    sha = hashlib.sha256(canonical(parameters).encode())
    for tensor in drawn:
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()
