"""Results of official code on fixed networks, and how far a criterion is from them.

A folder of them holds `index.json` (which file belongs to which criterion), the results `<case>__<file>.npz`, the
networks with their images `case_<case>.npz`, and `plain_models.py`, which rebuilds the networks and is executed for it.
"""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from pabench.errors import DataError, MissingError
from pabench.scoring.context import Batch
from pabench.scoring.library import prune, score

Flat: TypeAlias = np.ndarray[Any, Any]
"""The values of all layers in a row."""


@dataclass(frozen=True)
class Official:
    """One line of the index: a criterion with parameters whose results the file `<case>__<file>.npz` holds.

    `sign` is -1 where the official code removes the highest score, `extra` how many weights it keeps more than pabench.
    `batches` are ranges of images, or "fetched": the file says which images came in which batch.
    """

    file: str
    criterion: str
    cases: Sequence[str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sign: int = 1
    extra: int = 0
    batches: Sequence[tuple[int, int]] | Literal["fetched"] = ((0, 100),)
    sparsities: Sequence[str] = ("0.5", "0.9", "0.98", "0.999")


def index(folder: Path, criterion: str = "") -> list[Official]:
    """The index of a folder; of one criterion (`grasp`, or `grasp@official`) if it is named."""
    path = folder / "index.json"
    if not path.is_file():
        raise MissingError(f"{path}: no such file; --reference names a folder of reference results")
    try:
        found = [Official(**item) for item in json.loads(path.read_text())]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    return [official for official in found if criterion in ("", official.criterion)]


def distance(folder: Path, official: Official) -> tuple[float, int]:
    """How far the criterion is from the official results: the largest error and all misplaced weights of its cases.

    An error is the largest difference of scores over the largest official score, up to a factor. Misplaced are weights
    that only one of two masks keeps, beyond those that their counts differ by.
    """
    error, misplaced = 0.0, 0
    for letter in official.cases:
        module, x, y = _case(folder, letter)
        with np.load(folder / f"{letter}__{official.file}.npz") as file:
            results = dict(file)
        batches = _batches(official, results, x, y)
        how = {"batch": batches, "dtype": torch.float64, **official.parameters}
        scores = score(module, official.criterion, **how)
        error = max(error, _score_error(_flat(scores), official.sign * _named(results, "score64", scores)))
        for sparsity in official.sparsities:
            masks = prune(module, official.criterion, sparsity=float(sparsity), **how)
            theirs = _named(results, f"mask64_{sparsity}", scores).astype(bool)
            misplaced += _misplaced(_flat(masks), theirs)
    return error, misplaced


def _score_error(ours: Flat, theirs: Flat) -> float:
    """The largest difference over the largest official score, once ours are scaled to theirs by least squares."""
    factor = np.dot(ours, theirs) / np.dot(ours, ours)
    if not factor > 0:  # the reverse ranking, or no number
        return math.inf
    return float(np.abs(factor * ours - theirs).max() / np.abs(theirs).max())


def _misplaced(ours: Flat, theirs: Flat) -> int:
    """Weights that only one of the two keeps; as many of them as the counts differ by are not out of place."""
    return int((ours ^ theirs).sum()) - abs(int(theirs.sum()) - int(ours.sum()))


@cache
def _case(folder: Path, letter: str) -> tuple[nn.Module, Tensor, Tensor]:
    """The network of a case with its images and labels."""
    path = folder / "plain_models.py"
    if not path.is_file():
        raise MissingError(f"{path}: no such file; it rebuilds the networks")
    build = runpy.run_path(str(path))["build"]
    with np.load(folder / f"case_{letter}.npz") as file:
        module = build(json.loads(str(file["spec_json"])))
        state = [key for key in file.files if key.startswith("sd/")]
        module.load_state_dict({key.removeprefix("sd/"): torch.tensor(file[key]) for key in state})
        return module, torch.tensor(file["x"]), torch.tensor(file["y"])


def _batches(official: Official, results: Mapping[str, Flat], x: Tensor, y: Tensor) -> list[Batch]:
    if official.batches == "fetched":
        parts = np.split(results["fetched_index"], np.cumsum(results["chunk_sizes"])[:-1])
        return [(x[part], y[part]) for part in parts]
    return [(x[start:stop], y[start:stop]) for start, stop in official.batches]


def _flat(tensors: Mapping[str, Tensor]) -> Flat:
    return torch.cat([t.flatten() for t in tensors.values()]).numpy()


def _named(results: Mapping[str, Flat], prefix: str, names: Iterable[str]) -> Flat:
    return np.concatenate([results[f"{prefix}/{n}"].ravel() for n in names])
