"""Studies of two criteria whose truth is known: accuracies that collapse or fail by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pabench.statistics.paired import Pair, pairs

SEED_SD, CORRELATION = 0.34, 0.55
"""Points of top-1 over seeds, and how alike two criteria of a block are."""


@dataclass(frozen=True)
class Truth:
    """A criterion: its gain in points where it trains, and how often its cells fail or collapse."""

    gain: float = 0.0
    fails: float = 0.0
    falls: float = 0.0


def study(rng: np.random.Generator, n: int, *truths: Truth, sparsities: int = 1) -> pd.DataFrame:
    """Cells of criteria a, b, ... in `n` blocks."""
    names = "abcdefgh"[: len(truths)]
    block = rng.normal(0, SEED_SD * CORRELATION**0.5, n)
    rows = []
    for name, truth in zip(names, truths, strict=True):
        for s in range(sparsities):
            top1 = 90 + truth.gain + block + rng.normal(0, SEED_SD * (1 - CORRELATION) ** 0.5, n)
            fell, failed = rng.random(n) < truth.falls, rng.random(n) < truth.fails
            top1 = np.where(failed, np.nan, np.where(fell, rng.normal(10, 0.3, n), top1))
            outcome = np.where(failed, "failed", np.where(fell, "collapsed", "trained"))
            rows.append(pd.DataFrame({"criterion": name, "block": range(n), "sparsity": s, "top1": top1,
                                      "outcome": outcome}))  # fmt: skip
    flags = {"stratum": "d · m", "dataset": "d", "model": "m", "flags": [()], "status": "ok", "reference_line": ""}
    frame = pd.concat(rows, ignore_index=True).assign(chance=10.0, scoring_seconds=1.0)
    return frame.assign(**{k: v * len(frame) if k == "flags" else v for k, v in flags.items()})


def pair(rng: np.random.Generator, n: int, a: Truth, b: Truth, sparsities: int = 1) -> Pair:
    return pairs(study(rng, n, a, b, sparsities=sparsities), ["a", "b"])["a", "b"]


def separates(found: Pair) -> bool:
    p = found.test.p
    return p is not None and p < 0.05
