"""What a page needs of a record. It is kept in place of the record, which takes ten times the room and is read once."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import nan
from typing import Any

from pabench.words import plain

# column of the frame: where its number lies in a record
NUMBERS = {
    "top1": ("result", "top1"),
    "top5": ("result", "top5"),
    "r2": ("result", "r2"),
    "loss": ("result", "loss"),
    "training_top1": ("training_images", "top1"),
    "training_r2": ("training_images", "r2"),
    "weights_on_paths": ("logits", "effective_weights"),
    "parameters_dense": ("result", "parameters", "dense"),
    "parameters_pruned": ("result", "parameters", "pruned"),
    "flops_dense": ("result", "flops", "dense"),
    "flops_pruned": ("result", "flops", "pruned"),
    "sparsity_reached": ("receipt", "sparsity"),
    "weights_total": ("receipt", "total"),
    "weights_kept": ("receipt", "kept"),
    "tied_at_threshold": ("receipt", "tied_at_threshold"),
    "kept_of_tied": ("receipt", "kept_of_tied"),
    "zero_scores": ("receipt", "zero_scores"),
    "rounds": ("receipt", "rounds"),
    "gradient_norm_before": ("receipt", "gradient_norm", "before"),
    "gradient_norm_after": ("receipt", "gradient_norm", "after"),
    "scoring_seconds": ("cost", "scoring_seconds"),
    "scoring_peak_bytes": ("cost", "scoring_peak_bytes"),
    "scoring_images": ("cost", "scoring_images"),
    "gradient_seconds": ("cost", "gradient_seconds"),
    "gradient_images": ("cost", "gradient_images"),
    "training_seconds": ("cost", "training_seconds"),
    "wall_seconds": ("cost", "wall_seconds"),
}
TEXTS = {
    "kind": ("kind",),
    "message": ("message",),
    "source": ("receipt", "source"),
    "dtype": ("receipt", "dtype"),
    "device": ("environment", "device"),
    "created": ("created",),
}
CURVE = "f"
"""The type of a curve's numbers in an array: curves are the most of what is told."""
COUNT = "q"
"""That of the weights that are left of layers, of which one can have more than four thousand million."""
POINTS = 24
"""Epochs of a curve that are told, the first and the last among them."""
Layers = tuple[tuple[str, int], ...]
"""The name of each layer and how many weights it has, from the first to the last."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A test set as a record tells it: the accuracy of guessing in percent, classes, images and their SHA-256.

    Of a record that does not say it `images` are 0, and the SHA-256 is ""."""

    chance: float
    classes: int
    images: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a record, with None, NaN or nothing where it does not say.

    `numbers` and `texts` are those of `NUMBERS` and `TEXTS`, `flags` the name and the detail of each. `kept` are the
    weights that the mask left of each of the `layers`; `version` is that of the criterion that made it, and `network`
    what was trained in place of the pruned one. `loss` and `top1` are the curve of the training at some of its
    `epochs`, which count from 0, with the seven digits of single precision (of a record whose two curves are not
    equally long `top1` is the last one); `right` are the images that the network gets right, as the record packs them.
    """

    status: str = "missing"
    numbers: Sequence[float] = (nan,) * len(NUMBERS)
    texts: tuple[str, ...] = ("",) * len(TEXTS)
    flags: tuple[tuple[str, str], ...] = ()
    traceback: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    pairing: Mapping[str, str] = field(default_factory=dict)
    mask: str = ""
    version: Any = None
    network: Mapping[str, Any] | None = None
    layers: Layers = ()
    kept: Sequence[float] = ()
    epochs: tuple[int, ...] = ()
    loss: Sequence[float] = ()
    top1: Sequence[float] = ()
    right: str = ""
    tested: Examined | None = None


NOTHING = Told()


class Teller:
    """Tells records. What many of them share, such as environments, pairings and layers, is one object."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def told(self, record: Mapping[str, Any]) -> Told:
        """What a record tells."""
        receipt, result = record.get("receipt") or {}, record.get("result") or {}
        curve, layers = result.get("curve") or {}, receipt.get("layers") or ()
        loss, top1 = curve.get("loss") or (), curve.get("top1") or ()
        epochs = evenly(len(loss), POINTS)
        return Told(
            status=self._one(record.get("status", "missing")),
            numbers=_numbers([value for path, names in _BY_PART for value in _of(at(record, path), names)]),
            texts=tuple([self._one(plain(at(record, path) or "")) for path in TEXTS.values()]),
            flags=tuple([(plain(flag["flag"]), plain(flag.get("detail", ""))) for flag in record.get("flags", ())]),
            traceback=self._one(plain(record.get("traceback", ""))),
            environment=self._alike(record.get("environment") or {}),
            pairing=self._alike(record.get("pairing") or {}),
            mask=str(receipt.get("mask") or ""),
            version=receipt.get("version"),
            network=receipt.get("model"),
            layers=self._one(tuple([(layer["name"], layer["total"]) for layer in layers])),
            kept=_counts([layer["kept"] for layer in layers]),
            epochs=epochs,
            loss=_numbers([loss[epoch] for epoch in epochs], CURVE),
            top1=_numbers([top1[epoch] for epoch in epochs] if len(top1) == len(loss) else top1[-1:], CURVE),
            right=result.get("right") or "",
            tested=self._one(_tested(record, layers)),
        )

    def _one(self, value: Any) -> Any:
        return self._known.setdefault(value, value)

    def _alike(self, part: Mapping[str, Any]) -> Any:
        return self._known.setdefault(repr(part), part)


@cache
def evenly(many: int, most: int) -> tuple[int, ...]:
    """Of so many places, counted from 0, at most so many from the first to the last.

    >>> evenly(10, 4), evenly(3, 4), evenly(0, 4)
    ((0, 3, 6, 9), (0, 1, 2), ())
    """
    points = min(many, most)
    return tuple(dict.fromkeys(round(place * (many - 1) / max(1, points - 1)) for place in range(points)))


def at(record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path, None where the path ends early."""
    value: Any = record
    for part in path:
        if type(value) is not dict and not isinstance(value, Mapping):  # the first look takes a tenth of the second
            return None
        value = value.get(part)
    return value


_BY_PART = [
    (path, [full[-1] for full in NUMBERS.values() if full[:-1] == path])
    for path in dict.fromkeys(full[:-1] for full in NUMBERS.values())
]
"""The numbers of each part of a record, which is looked for once; in `NUMBERS` they stand together."""


def _of(part: Any, names: Sequence[str]) -> list[Any]:
    found = part if type(part) is dict or isinstance(part, Mapping) else {}
    return [found.get(name) for name in names]


def _numbers(values: Sequence[float | None], kind: str = "d") -> array[float]:
    """A quarter of the room of a list."""
    try:
        return array(kind, values)  # type: ignore[arg-type]
    except TypeError:  # looking for None first takes as long again
        return array(kind, [nan if value is None else value for value in values])


def _counts(values: Sequence[Any]) -> Sequence[float]:
    """Whole numbers, as long as they are that."""
    try:
        return array(COUNT, values)
    except (TypeError, OverflowError):
        return _numbers(values)


def _tested(record: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> Examined | None:
    """The test set, as far as a record tells.

    An older one names no outcome: it is top-1, and guessing is right once in as many classes. Of a still older one the
    classes are the outputs of the last prunable layer, the classifier of all our networks.
    """
    if test := at(record, ("result", "test")):
        named = at(record, ("result", "compared_by", "chance"))
        chance = 100 / test["classes"] if named is None else named
        return Examined(chance, test.get("classes", 0), test["images"], test.get("sha256") or "")
    if not layers or not (shape := layers[-1].get("shape")) or (classes := int(shape[0])) < 2:
        return None
    return Examined(100 / classes, classes)
