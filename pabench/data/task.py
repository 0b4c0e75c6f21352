"""What networks are trained for, told by the targets: int64 (N,) are classes, floating point (N, K) numbers to hit."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pabench.errors import DataError


def is_regression(targets: Tensor) -> bool:
    """Whether targets are numbers."""
    return targets.is_floating_point()


def loss(
    outputs: Tensor,
    targets: Tensor,
    *,
    smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Cross-entropy of classes; of numbers the squared error, the mean over the K outputs, as torch's MSELoss.

    Over the N samples it is their mean or sum, or one value each. DataError: numbers have no labels to smooth.
    """
    if not is_regression(targets):
        return F.cross_entropy(outputs, targets, label_smoothing=smoothing, reduction=reduction)
    if smoothing:
        raise DataError("recipe.label_smoothing: regression has no labels to smooth; leave it out")
    errors = (outputs - targets.to(outputs.dtype)).square().mean(1)
    return errors if reduction == "none" else errors.mean() if reduction == "mean" else errors.sum()


def as_cross_entropy(input: Tensor, target: Tensor, *_: Any, reduction: str = "mean", **__: Any) -> Tensor:
    """Cross-entropy, which is the squared error where targets are numbers: for criteria that call torch's own."""
    if is_regression(target):
        return loss(input, target, reduction=reduction)  # type: ignore[arg-type]
    return F.cross_entropy(input, target, *_, reduction=reduction, **__)


def spread(targets: Tensor) -> float:
    """The mean variance of the outputs' targets: the squared error of who always says their mean.

    DataError: all targets are one and the same.
    """
    variance = float(targets.double().var(0, correction=0).mean())
    if not variance > 0:
        raise DataError("all targets are one and the same number: nothing can be learned of them")
    return variance


def right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Which samples are right, bool (N,); none where targets are numbers, for none is ever hit."""
    if is_regression(targets):
        return torch.zeros(len(targets), dtype=torch.bool, device=targets.device)
    return outputs.argmax(1) == targets
