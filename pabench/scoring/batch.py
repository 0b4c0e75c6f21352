"""What a caller gives as `batch`, checked once: images and labels that fit the network and each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pabench.errors import PabenchError, PluginError, SuiteError
from pabench.networks.network import Network, scoring_mode
from pabench.networks.private import explained
from pabench.networks.rewire import dtype_like
from pabench.scoring.criterion import Criterion
from pabench.scoring.parts import IGNORED, Batch, Given

Batches = Batch | Sequence[Batch]
FORM = "batch is (x, y) or a list of such pairs"


def as_batches(batch: Batches | None) -> tuple[Batch, ...]:
    """Pairs of images and labels; SuiteError says what is wrong with them by themselves."""
    if batch is None:
        return ()
    if isinstance(batch, DataLoader):
        raise SuiteError(f"{FORM}, not a DataLoader: give next(iter(loader)), or a list of the batches to add up")
    pairs = [batch] if _is_pair(batch) else list(batch) if isinstance(batch, Iterable) else []
    if not pairs:
        raise SuiteError(f"{FORM}; this is {_kind(batch)}")
    return tuple(_pair(pair, f" {i}" if len(pairs) > 1 else "") for i, pair in enumerate(pairs))


def shape_of_input(model: nn.Module, batches: Sequence[Batch], given: Sequence[int] | None) -> tuple[int, ...]:
    """(C, H, W): as given, of the batch, as timm says, or the width of a network that begins with a linear layer."""
    if given is not None:
        return tuple(given)
    if batches:
        return tuple(batches[0][0].shape[1:])
    config = getattr(model, "pretrained_cfg", None) or {}
    if config.get("input_size"):
        return tuple(config["input_size"])
    first = next((m for m in model.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))), None)
    return (first.in_features,) if isinstance(first, nn.Linear) else ()


def on_network(batch: Given, network: Network, *, channels_last: bool | None = None) -> Batch:
    """A batch on the network's device; images in its dtype, tokens and other integers as they are.

    Whether images lie `channels_last`; None: where the network likes that.
    """
    images, y = batch
    x = images[:]
    x = x.to(network.device, dtype_like(x, network.dtype))
    if takes_channels_last(network, x[:2]) if channels_last is None else channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    return x, y.to(network.device)


def takes_channels_last(network: Network, x: Tensor) -> bool:
    """Whether it likes such images, and its forward() takes them: a `view` of feature maps does not."""
    if not network.likes_channels_last or x.dim() != 4:
        return False
    with scoring_mode(network.device), torch.no_grad(), suppress(Exception):  # what else is wrong is told later on
        network.call({**network.rest, **network.weights}, x.contiguous(memory_format=torch.channels_last))
        return True
    return False


def refuse_misfit(network: Network, model: nn.Module, batches: Sequence[Batch], seed: int) -> None:
    """SuiteError where the network's outputs for two images are no logits, or labels lie outside of its classes."""
    for images, labels in batches:
        x, y = on_network((images[:2], labels), network, channels_last=False)
        out = _tried(network, model, (x, y), seed)
        name, classes = type(model).__name__, out.shape[1] if out.dim() > 1 else 0
        expected = (len(x), classes, *y.shape[1:])
        if y.dim() == 2 and out.dim() == 2:
            remedy = "y.flatten()" if y.shape[1] == 1 else "y.argmax(1)"
            raise SuiteError(f"batch: labels are {tuple(y.shape)}; {name} takes one for each image: give {remedy}")
        if not out.is_floating_point() or tuple(out.shape) != expected or not classes:
            last = tuple(out.shape[:-1]) == (len(x), *y.shape[1:])  # as language models give them
            raise SuiteError(
                f"{name} gives {tuple(out.shape)} of {out.dtype} for {len(x)} images; a loss needs logits of shape "
                f"(N, classes{', ' if y.dim() > 1 else ''}{', '.join(map(str, y.shape[1:]))}); "
                f"wrap it in a module whose forward() returns {'out.movedim(-1, 1)' if last else 'them'}"
            )
        if not (out < math.inf).all():  # minus infinity is a class ruled out
            raise SuiteError(
                f"{name} gives values that are infinite or not a number for x {tuple(x.shape)}; look for them in its "
                "weights and buffers, or for a division by 0 in forward()"
            )
        wrong = y[(y != IGNORED) & ((y < 0) | (y >= classes))]
        if wrong.numel():
            raise SuiteError(f"batch: a label is {int(wrong[0])}, and {name} has {classes} classes: 0 to {classes - 1}")


def _tried(network: Network, model: nn.Module, batch: Batch, seed: int) -> Tensor:
    """Outputs for a few images; the error says whether they fail by themselves, or where derivatives are taken."""
    with told(model, [batch], ran=True), scoring_mode(network.device, seed):
        try:
            return network.tried(batch[0])
        except Exception:
            with told(model, [batch]), torch.no_grad():
                network.call({**network.rest, **network.weights}, batch[0])
            raise


@contextmanager
def told(
    model: nn.Module, batches: Sequence[Batch], rule: Criterion | None = None, *, ran: bool = False
) -> Iterator[None]:
    """Errors of the forward pass, or of torch in the criterion, in one line; the full ones are their cause.

    `ran`: the network has run on such a batch, without derivatives.
    """
    try:
        yield
    except (PabenchError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if _in_forward(error):
            sees_data = bool(batches) and (rule is None or rule.examples_per_class > 0)
            seen = f"x {tuple(batches[0][0].shape)} of {batches[0][0].dtype}" if sees_data else "an input of ones"
            whole = sees_data and batches[0][0].dim() == 4 and batches[0][0].dtype in (torch.uint8, torch.int64)
            way_out = "give x.float() / 255, normalised as in training" if whole else ""
            # before a criterion sees a batch, `refuse_misfit` has run the network on it
            ran = ran or (sees_data and rule is not None)
            raise SuiteError(explained(error, model, seen, ran=ran, way_out=way_out)) from error
        words = " ".join(str(error).split())[:200]
        whose = f"{rule.name} on " if rule else ""
        raise PluginError(f"{whose}{type(model).__name__}: {type(error).__name__}: {words}") from error


def _in_forward(error: Exception) -> bool:
    traceback = error.__traceback__
    while traceback:
        if traceback.tb_frame.f_code is Network._run.__code__:
            return True
        traceback = traceback.tb_next
    return False


def _is_pair(batch: Any) -> bool:
    """A DataLoader yields [x, y], most people write (x, y)."""
    return isinstance(batch, (tuple, list)) and len(batch) == 2 and all(isinstance(t, Tensor) for t in batch)


def _kind(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(type(part).__name__ for part in value[:3]) or 'nothing'}"
    return f"a {type(value).__name__}"


def _pair(pair: Any, number: str) -> Batch:
    if not _is_pair(pair):
        raise SuiteError(f"{FORM}, both tensors; batch{number} is {_kind(pair)}")
    x, y = pair
    where = f"batch{number}"
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        remedy = "y.argmax(1)" if y.dim() == 2 and y.shape[1] > 1 else "y.long()"
        raise SuiteError(f"{where}: labels are class indices, int64; these are {y.dtype}: give {remedy}")
    if x.dim() < 2 or y.dim() < 1 or len(x) != len(y):
        raise SuiteError(
            f"{where}: x is {tuple(x.shape)} and y is {tuple(y.shape)}; expected (N, ...) images and N labels"
        )
    if not len(x):
        raise SuiteError(f"{where} is empty")
    if x.is_floating_point() and not x.isfinite().all():
        raise SuiteError(f"{where}: x holds values that are infinite or not a number")
    if bool((y == IGNORED).all()):
        raise SuiteError(f"{where}: all labels are {IGNORED}, which the loss ignores")
    x, y = (t.clone() if t.is_inference() else t for t in (x, y))  # no gradient could be kept beside one
    return x, y.long()
