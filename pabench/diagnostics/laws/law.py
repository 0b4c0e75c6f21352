"""A check that a criterion passes or fails: its outcome has a figure, and a reason where it needs one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pabench.diagnostics.subject import Subject
from pabench.networks.network import Tensors
from pabench.scoring.selection import kept_count

Verdict = Literal["pass", "FAIL", "does not apply", "for information"]


@dataclass(frozen=True)
class CheckOutcome:
    """What came of one check: a figure (an error, a count, a correlation) and, unless it passed, why."""

    verdict: Verdict
    figure: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Law:
    """A check. One that `compares` two runs says nothing where two equal runs differ already.

    Its name, which criteria use in `exempt`, is that of its function with spaces, unless it is `called` otherwise.
    """

    check: Callable[[Subject], CheckOutcome]
    compares: bool = False
    called: str = ""

    @property
    def name(self) -> str:
        return self.called or self.check.__name__.replace("_", " ")


def judged(passed: bool, figure: str, reason: str) -> CheckOutcome:
    """`reason` says what is wrong where it did not pass."""
    return CheckOutcome("pass", figure) if passed else CheckOutcome("FAIL", figure, reason)


def inapplicable(reason: str) -> CheckOutcome:
    return CheckOutcome("does not apply", "", reason)


def information(figure: str) -> CheckOutcome:
    return CheckOutcome("for information", figure)


def worst(errors: Iterable[float]) -> float:
    """The largest error, 0 of none; NaN where there is one: it compares with nothing and would be passed over."""
    return max(errors, key=lambda error: math.inf if math.isnan(error) else error, default=0.0)


def flat(tensors: Tensors) -> Tensor:
    """All values in a row."""
    return torch.cat([t.flatten() for t in tensors.values()])


def relative_error(found: Tensors, expected: Tensors) -> float:
    """The largest difference of any layer, each relative to that layer's largest value; NaN where there is one.

    Infinities in equal places do not count.
    """
    errors = []
    for n, e in expected.items():
        f = found[n].to(e.dtype)
        # inf - inf is NaN: what is equal differs by 0
        difference = torch.where(f == e, torch.zeros_like(e), (f - e).abs())
        finite = e.abs()[e.isfinite()]
        scale = float(finite.max()) if finite.numel() else 0.0
        # a layer of zeros has no scale to be relative to: there the difference itself counts
        errors.append(float(difference.max()) / (scale or 1.0))
    return worst(errors)


def kept(masks: Tensors) -> int:
    """Weights kept in all layers together."""
    return sum(int(m.sum()) for m in masks.values())


def asked(masks: Tensors, density: float) -> int:
    """How many of their weights were to be kept."""
    return kept_count(density, sum(m.numel() for m in masks.values()))
