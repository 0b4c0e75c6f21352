"""What the stages of a cell have in common: plugins, the criterion made again, and errors as parts of a record."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import torch

from pabench import registry
from pabench.errors import DataError, DivergedError, MissingError
from pabench.scoring.criterion import Criterion
from pabench.scoring.donor import donor_identity
from pabench.scoring.pruning import SkippedError
from pabench.source import source_digest
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.training.faults import fault, remedy
from pabench.words import plain


def device_of(payload: Mapping[str, Any]) -> torch.device:
    """The device of a task, which this process then uses wherever none is named.

    Otherwise each worker of another GPU would open a context on the first one, too, and hold memory there.
    """
    device = torch.device(payload["device"])
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def store_of(payload: Mapping[str, Any]) -> Store:
    """The results folder of a task."""
    return Store(payload["store"], guest=bool(payload.get("plugins")))


def load_plugins(payload: Mapping[str, Any]) -> None:
    """Say where the plugins are that a task may ask for; one is imported, and told if it is broken, when it does."""
    registry.expect(payload.get("plugins", {}))


def rebuild(cell: Cell) -> Criterion:
    """The criterion of a cell, from its name and all of its parameters."""
    assert cell.criterion is not None
    rule = registry.criterion(cell.criterion.name.partition("@")[0], cell.criterion.args)
    if source_digest(type(rule)) != cell.criterion.source:
        raise DataError(f"{rule.name}: its file has changed since the run began; start the run again")
    if donor_identity(rule) != cell.criterion.donor:
        raise DataError(f"{rule.allocation}: the criterion has changed since the run began; start the run again")  # type: ignore[attr-defined]
    return rule


def without_weights(pairing: Mapping[str, str]) -> dict[str, str]:
    """What another network shares with the cells of its block: order, augmentation and images, but no weights."""
    return {part: value for part, value in pairing.items() if part != "weights"}


def failure(error: BaseException, device: torch.device) -> dict[str, Any]:
    """What a record says of an error on a device: its kind, one line, and where it came from."""
    if isinstance(error, SkippedError):
        return {"status": "skipped", "kind": error.kind, "message": plain(error)}
    found = {**described(error), "kind": _kind(error), "receipt": None, "result": None}
    if known := fault(error):
        found |= {"kind": known.kind, "message": f"{found['message']} ({remedy(known, device)})"}
    return found


def described(error: BaseException) -> dict[str, Any]:
    """An error in words: what a plugin raises may be of any length, and a record is read into memory as a whole."""
    return {
        "status": "failed",
        "message": registry.complaint(error),
        "traceback": plain("".join(traceback.format_exception(error)))[-20000:],  # the end names the place
    }


def _kind(error: BaseException) -> str:
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, (DataError, MissingError)):
        return "data"
    return "io" if isinstance(error, OSError) else "plugin-error"
