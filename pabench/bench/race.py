"""The race: contenders take turns, and the ratio of their times is taken turn by turn."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from pabench.scoring.meter import clock

Side = Callable[[], Callable[[], object]]
"""Makes everything ready, untimed, and returns what is timed: each turn starts from the same weights."""


@dataclass(frozen=True)
class Proof:
    """Whether both sides do the same work, and how that was seen."""

    holds: bool
    told: str


@dataclass(frozen=True)
class Contest:
    """One work: the plain loop's side (None where it has none), and pabench's, by what is set otherwise."""

    work: str
    ours: Mapping[str, Side]
    baseline: Side | None = None
    proof: Callable[[], Proof] = lambda: Proof(True, "")


@dataclass(frozen=True)
class Row:
    """What came of one side of pabench: seconds by turn, and those of the plain loop in the same turns."""

    work: str
    how: str
    proof: Proof
    seconds: tuple[float, ...] = ()
    baseline: tuple[float, ...] = ()

    @property
    def ratios(self) -> list[float]:
        """How many times faster than the plain loop, of each turn; the least first.

        >>> Row("", "", Proof(True, ""), (1.0, 2.0), (3.0, 4.0)).ratios
        [2.0, 3.0]
        """
        pairs = zip(self.baseline, self.seconds, strict=True) if self.baseline else ()
        return sorted(theirs / own for theirs, own in pairs)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": median(self.ratios) if self.ratios else None, "ratios": self.ratios}


def race(contest: Contest, device: torch.device, *, repeats: int, now: Callable[[], float] | None = None) -> list[Row]:
    """A row for each side of pabench: what both sides do is proved to be the same, then they are timed in turns.

    One turn more comes first and is not counted: caches fill, and kernels are chosen. Where the proof fails nothing is
    timed. `now` is the clock, in seconds; by default that of `device`.
    """
    proof = contest.proof()
    if not proof.holds:
        return [Row(contest.work, how, proof) for how in contest.ours]
    sides = {**({"": contest.baseline} if contest.baseline else {}), **contest.ours}
    now = now or (lambda: spent(device))
    times: dict[str, list[float]] = {how: [] for how in sides}
    gc.collect()
    gc.freeze()  # what is there stays: looking through it before every turn would take longer than many a turn
    for turn in range(repeats + 1):
        first = turn % len(sides)  # nobody is always the one who finds the caches warm
        for how in [*sides][first:] + [*sides][:first]:
            run = sides[how]()
            gc.collect()
            began = now()
            run()
            if turn:
                times[how].append(now() - began)
            else:
                now()
            del run
    gc.unfreeze()
    baseline = tuple(times.get("", ()))
    return [Row(contest.work, how, proof, tuple(times[how]), baseline) for how in contest.ours]


def spent(device: torch.device) -> float:
    """CPU seconds of this process and of its children that have ended; on another device seconds on the wall, with
    all that it had to do done. CPU seconds, because other processes of a busy machine are in the wall's."""
    if device.type != "cpu":
        return clock(device)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
