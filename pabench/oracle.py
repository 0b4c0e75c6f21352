"""Results of official code on fixed networks, and how far a criterion is from them.

A folder of them holds `index.json` (which file belongs to which criterion), the results `<case>__<file>.npz`, the
networks with their images `case_<case>.npz`, and `plain_models.py`, which rebuilds the networks and is executed for it.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pabench.criterion import Batch
from pabench.errors import DataError, MissingError
from pabench.library import prune, score


@dataclass(frozen=True)
class Entry:
    """One line of the index: a criterion with parameters whose results the file `<case>__<file>.npz` holds.

    `sign` is -1 where the official code removes the highest score, `extra` how many weights it keeps more than pabench.
    `batches` are ranges of images, or "fetched": the file says which images came in which batch.
    """

    file: str
    criterion: str
    cases: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sign: int = 1
    extra: int = 0
    batches: tuple[tuple[int, int], ...] | Literal["fetched"] = ((0, 100),)
    sparsities: tuple[str, ...] = ("0.5", "0.9", "0.98", "0.999")


@dataclass(frozen=True)
class Distance:
    """The largest difference of scores over the largest official score, up to a factor; and weights kept by one of the
    two masks only, beyond those that their counts differ by."""

    error: float
    misplaced: int


def entries(folder: Path, criterion: str = "") -> list[Entry]:
    """The index of a folder; of one criterion (`grasp`, or `grasp@official`) if it is named."""
    path = folder / "index.json"
    if not path.is_file():
        raise MissingError(f"{path}: no such file; --reference names a folder of reference results")
    try:
        found = [_entry(item) for item in json.loads(path.read_text())]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    return [e for e in found if criterion in ("", e.criterion)]


def distance(folder: Path, entry: Entry) -> Distance:
    """How far the criterion is from the official results, at most over the cases and sparsities of an entry."""
    error, misplaced = 0.0, 0
    for letter in entry.cases:
        module, x, y = _case(folder, letter)
        with np.load(folder / f"{letter}__{entry.file}.npz") as file:
            official = dict(file)
        batches = _batches(entry, official, x, y)
        scores = score(module, entry.criterion, batch=batches, **entry.parameters)
        # the SynFlow file of 100 rounds has the scores of its float64 run under the shorter name
        prefix = "score64" if f"score64/{next(iter(scores))}" in official else "score"
        theirs = entry.sign * _flat(official, prefix, scores)
        mine = torch.cat([s.flatten() for s in scores.values()]).numpy()
        factor = np.dot(mine, theirs) / np.dot(mine, mine)
        close = np.abs(factor * mine - theirs).max() / np.abs(theirs).max() if factor > 0 else np.inf
        error = max(error, float(close))
        for sparsity in entry.sparsities:
            masks = prune(module, entry.criterion, sparsity=float(sparsity), batch=batches, **entry.parameters)
            ours = torch.cat([m.flatten() for m in masks.values()]).numpy()
            kept = _flat(official, f"mask64_{sparsity}", scores).astype(bool)
            misplaced += int((ours ^ kept).sum()) - abs(int(kept.sum()) - int(ours.sum()))
    return Distance(error, misplaced)


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry(**{key: _frozen(value) for key, value in item.items()})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@cache
def _case(folder: Path, letter: str) -> tuple[nn.Module, Tensor, Tensor]:
    """The network of a case with its images and labels."""
    path = folder / "plain_models.py"
    spec = importlib.util.spec_from_file_location("pabench_reference_models", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MissingError(f"{path}: no such file; it rebuilds the networks")
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    with np.load(folder / f"case_{letter}.npz") as file:
        module = models.build(json.loads(str(file["spec_json"])))
        module.load_state_dict({k.removeprefix("sd/"): torch.tensor(file[k]) for k in file.files if k[:3] == "sd/"})
        return module, torch.tensor(file["x"]), torch.tensor(file["y"])


def _batches(entry: Entry, official: Mapping[str, Any], x: Tensor, y: Tensor) -> list[Batch]:
    if entry.batches == "fetched":
        parts = np.split(official["fetched_index"], np.cumsum(official["chunk_sizes"])[:-1])
        return [(x[part], y[part]) for part in parts]
    return [(x[start:stop], y[start:stop]) for start, stop in entry.batches]


def _flat(official: Mapping[str, Any], prefix: str, names: Mapping[str, Tensor]) -> Any:
    return np.concatenate([official[f"{prefix}/{n}"].ravel() for n in names])
