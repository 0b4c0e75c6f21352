"""Checkpoints of a training: a task that was killed goes on from the last one, to the numbers of one that was not.

checkpoints/<task>/<training>/<steps>-<SHA-256>.safetensors: what changes while a network is trained. What does not
(data, masks, recipe) is made again from the cell, and an epoch's order and augmentation from its number.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pabench.errors import DataError, Interrupted, RefusedError
from pabench.store import files
from pabench.store.store import SHA256, Store, checkpoints_of

KEPT = 2
"""The newest may be broken, by a disk that lied: then the one before it counts."""
SHARE = 0.02
"""Of the time of a training that its checkpoints may take."""
LEAST_SECONDS = 10.0
"""Shorter trainings are sooner made again than looked after."""
BYTES_PER_SECOND = 100e6
"""What writing is taken to do before it was measured: a slow disk, which syncs."""
MAX_BYTES = 64 * 2**30


@dataclass(frozen=True)
class Snapshot:
    """A training between two of its steps: its tensors by name, and what JSON can hold, exactly."""

    steps: int
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training in a folder of its own.

    `made` says by what it is computed (versions, device, threads): a checkpoint that something else has made is of no
    use, since going on from it would give a curve that neither of them gives. `seconds` is the time of the training
    that was spent before, by processes that have ended.
    """

    def __init__(self, folder: Path, made: Mapping[str, Any]) -> None:
        self._folder, self._made = folder, dict(made)
        self._began = self._last = time.monotonic()
        self._cost: float | None = None
        self._asked: int | None = None
        self.seconds = 0.0

    def newest(self) -> Snapshot | None:
        """The last whole one that was made as this training is; others are taken away, since none of them will be."""
        for path in reversed(_stored(self._folder)):
            with contextlib.suppress(DataError, FileNotFoundError, RefusedError):
                found, made, seconds = _read(path)
                if made == self._made:
                    self.seconds = seconds
                    return found
            path.unlink(missing_ok=True)
        return None

    def due(self, size: int) -> bool:
        """Whether one is to be written now, of a training that takes so many bytes: it was asked to stop, or there is
        enough to lose."""
        if self._asked is not None:
            return True
        cost = size / BYTES_PER_SECOND if self._cost is None else self._cost
        return time.monotonic() - self._last >= max(LEAST_SECONDS, cost / SHARE)

    def write(self, taken: Snapshot, began: float) -> None:
        """Keep one, which was begun to be taken at `began` (monotonic). One that cannot be written stops no training.

        Interrupted: the process was asked to stop.
        """
        seconds = self.seconds + time.monotonic() - self._began
        told = {"steps": taken.steps, "numbers": taken.numbers, "made": self._made, "seconds": seconds}
        with contextlib.suppress(RefusedError, OSError):  # a full disk is told by the record that finds no room
            tensors = {n: t.detach().to("cpu", copy=True).contiguous() for n, t in taken.tensors.items()}
            data = save(tensors, {"pabench": json.dumps(told)})
            files.make_folders(self._folder)
            sha = hashlib.sha256(data).hexdigest()
            files.write_once(self._folder / f"{taken.steps:012}-{sha}.safetensors", data)
            for old in _stored(self._folder)[:-KEPT]:
                with contextlib.suppress(OSError):
                    old.unlink()
        self._last = time.monotonic()
        self._cost = self._last - began
        if self._asked is not None:
            raise Interrupted(signal.Signals(self._asked).name)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM, and SIGINT where somebody waits for it, make a checkpoint due; who else waits is told, too.

        Signals come to the main thread alone: in another one nothing is asked.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {int(number): signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        if before[signal.SIGINT] in (signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL, None):
            del before[signal.SIGINT]

        def ask(number: int, frame: FrameType | None) -> None:
            self._asked = number
            if callable(others := before[number]):
                others(number, frame)

        for number in before:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """States of torch's own generators, from which networks draw while they train (dropout, stochastic depth)."""
    found = {"cpu": torch.get_rng_state()}
    return found | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(kind: str, state: Tensor, device: torch.device) -> None:
    """Give the generator of a kind (`random_states`) a state."""
    if kind == "cpu":
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)


@contextlib.contextmanager
def as_many_threads(folder: Path, most: int) -> Iterator[None]:
    """Inside, torch computes with as many threads as the trainings of a task that left checkpoints in this folder, so
    that they go on to the same numbers; with its own where there are none, or where that were more than `most`."""
    before = torch.get_num_threads()
    used = _threads(folder) or before
    torch.set_num_threads(used if used <= most else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def forget(folder: Path) -> None:
    """Remove the checkpoints of a task."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(store: Store) -> None:
    """Remove what was left by tasks that were killed between their record and this."""
    for folder in checkpoints_of(store.folder, "").glob("*"):
        record = store.get("records", folder.name) if SHA256.fullmatch(folder.name) else None
        if record is not None and record["status"] != "failed":  # a failed one may be tried again, from there
            forget(folder)


def _stored(folder: Path) -> list[Path]:
    """Files of a training's checkpoints, the oldest first."""
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(".safetensors"))
    except OSError:
        return []


def _threads(folder: Path) -> int | None:
    """Those of a training on a CPU that left checkpoints in a folder of the task's."""
    for path in (path for training in sorted(folder.glob("*")) for path in reversed(_stored(training))):
        with contextlib.suppress(DataError, FileNotFoundError, RefusedError):
            threads = _read(path)[1].get("threads")
            return int(threads) if threads else None
    return None


def _read(path: Path) -> tuple[Snapshot, dict[str, Any], float]:
    """A checkpoint, what made it, and the seconds its training had taken. DataError: it is not as it was written."""
    data = files.read(path, limit=MAX_BYTES)
    if hashlib.sha256(data).hexdigest() != path.stem.partition("-")[2]:
        raise DataError(f"{path}: does not match its SHA-256 (truncated or altered)")
    told = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["pabench"])
    return Snapshot(told["steps"], load(data), told["numbers"]), told["made"], told["seconds"]
