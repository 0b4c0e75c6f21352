"""A check that a criterion passes or fails: its outcome has a figure, and a reason where it needs one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from pabench.selection import Tensors
from pabench.subject import Subject

Verdict = Literal["pass", "FAIL", "does not apply", "for information"]


@dataclass(frozen=True)
class Outcome:
    """What came of one check: a figure (an error, a count, a correlation) and, unless it passed, why."""

    verdict: Verdict
    figure: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Law:
    """A check by name. One that `compares` two runs says nothing where two equal runs differ already."""

    name: str
    check: Callable[[Subject], Outcome]
    compares: bool = False


def judged(passed: bool, figure: str, reason: str) -> Outcome:
    """`reason` says what is wrong where it did not pass."""
    return Outcome("pass", figure) if passed else Outcome("FAIL", figure, reason)


def inapplicable(reason: str) -> Outcome:
    return Outcome("does not apply", "", reason)


def information(figure: str) -> Outcome:
    return Outcome("for information", figure)


def relative_error(found: Tensors, expected: Tensors) -> float:
    """The largest difference of any layer, each relative to that layer's largest value; NaN where there is one.

    Infinities in equal places do not count.
    """
    worst = 0.0
    for n, e in expected.items():
        f = found[n].to(e.dtype)
        difference = torch.where(f == e, torch.zeros_like(e), (f - e).abs())
        scale = e.abs()[e.isfinite()].max() if e.isfinite().any() else e.new_zeros(())
        error = float(difference.max()) / float(scale) if scale else float(difference.max())
        if math.isnan(error):
            return math.nan
        worst = max(worst, error)
    return worst


def jaccard(a: Tensors, b: Tensors) -> float:
    """Common kept weights over those that either keeps; 1 where both keep nothing."""
    both = sum(int((a[n].bool() & b[n].bool()).sum()) for n in a)
    either = sum(int((a[n].bool() | b[n].bool()).sum()) for n in a)
    return both / either if either else 1.0
