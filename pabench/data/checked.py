"""A split of a dataset, once it has been looked at: what a plugin gives may be anything, and much of it would train.

Labels of one example for each class would be numbers to hit, labels that are missing would leave images out, and
pixels up to 255 that are said to be in [0, 1] would be a hundred deviations from the mean: all without a word.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pabench.data import images
from pabench.data.dataset import Dataset, Part, Regression
from pabench.data.split import Images, Streamed
from pabench.errors import DataError

FAR = 10.0
"""A split whose mean is so many standard deviations from the stated one is another kind of numbers."""


def split_of(dataset: Dataset, part: Part) -> Images | Streamed:
    """The training or the test split. DataError: it is not what the dataset says of itself, with the remedy."""
    split = dataset.train() if part == "train" else dataset.test()
    if found := _flaw(dataset, split):
        where = f"{images.shown(dataset.folder)}: " if dataset.path else ""  # one that is made has no files
        raise DataError(f"{dataset.name}: {where}{part}: {found}")
    return split


def _flaw(dataset: Dataset, split: Images | Streamed) -> str:
    """What is wrong with a split, in words; "" if nothing is."""
    if not isinstance(split, (Images, Streamed)):
        return f"a {type(split).__name__}, expected Images(pixels, labels) or Streamed"
    for what, value in (("pixels", getattr(split, "pixels", split.labels)), ("labels", split.labels)):
        if not isinstance(value, Tensor):
            return f"{what} are a {type(value).__name__}, expected a tensor (torch.as_tensor)"
    return (_of_pixels(dataset, split) if isinstance(split, Images) else "") or _of_labels(dataset, split)


def _of_pixels(dataset: Dataset, split: Images) -> str:
    pixels = split.pixels
    if pixels.dtype not in (torch.uint8, torch.float32):
        return f"pixels are {_short(pixels)}, expected uint8, or float32 for inputs that are no pictures"
    shape = tuple(pixels.shape[1:])
    if shape != tuple(dataset.shape):
        last = shape == (*dataset.shape[1:], dataset.shape[0])
        remedy = "; channels come first: give pixels.permute(0, 3, 1, 2)" if last else ""
        return f"images of shape {shape}, expected {tuple(dataset.shape)} as the dataset says{remedy}"
    if not len(pixels):
        return "no images"
    if pixels.dtype == torch.uint8:
        if max(dataset.mean) > 1:
            return f"the mean of pixels is said to be {list(dataset.mean)}, expected that of pixels in [0, 1]"
        return ""
    mean = pixels.mean((0, 2, 3), dtype=torch.float64)
    if not mean.isfinite().all():
        return "inputs are not all finite"
    away = (mean - torch.tensor(dataset.mean, dtype=torch.float64)) / torch.tensor(dataset.std, dtype=torch.float64)
    if away.abs().max() > FAR:
        found, said = [round(m, 4) for m in mean.tolist()], f"{list(dataset.mean)} +- {list(dataset.std)}"
        return f"the mean of the inputs is {found}, and the dataset says {said}: scale the inputs, or say theirs"
    return ""


def _of_labels(dataset: Dataset, split: Images | Streamed) -> str:
    labels, n = split.labels, len(split.pixels) if isinstance(split, Images) else len(split.files)
    if isinstance(dataset, Regression):
        if labels.dtype != torch.float32 or labels.dim() != 2 or labels.shape[1] != dataset.outputs:
            return f"targets are {_short(labels)}, expected float32 ({n}, {dataset.outputs})"
        if not labels.isfinite().all():
            return "targets are not all finite"
    elif labels.dtype != torch.int64 or labels.dim() != 1:
        return f"labels are {_short(labels)}, expected int64 ({n},){_remedy(labels, n)}"
    elif len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < dataset.classes:
        return f"labels from {int(labels.min())} to {int(labels.max())}, expected 0 to {dataset.classes - 1}"
    if len(labels) != n:
        return f"{n} images with {len(labels)} labels"
    return "" if n else "no images"


def _remedy(labels: Tensor, n: int) -> str:
    if labels.dim() == 2 and labels.shape[1] > 1:
        numbers = "; where targets are numbers, make the dataset a Regression" if labels.is_floating_point() else ""
        return f": give labels.argmax(1){numbers}"
    if labels.is_floating_point():
        return ": give labels.long(); where targets are numbers, make the dataset a Regression"
    return ": give labels.flatten().long()" if labels.numel() == n else ""


def _short(tensor: Tensor) -> str:
    """Type and shape: `float32 (60, 10)`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
